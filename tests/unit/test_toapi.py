"""From manifests and pins to the JSON that an apiserver is sent."""

from __future__ import annotations

import json

import pytest
import yaml

from lab.errors import UsageError
from lab.model import fromapi, toapi
from lab.model.manifests import Objects, load_manifests
from lab.model.pins import Pin

NGINX = """
apiVersion: extensions/v1beta1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 3
      containers: [{name: nginx, image: nginx, ports: [{containerPort: 80, name: http}], env: [{name: A, value: "1"}]}]
---
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Service
    metadata: {name: web, namespace: shop}
    spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}], type: NodePort}
  - {apiVersion: v1, kind: Pod, metadata: {name: one}, spec: {containers: [{name: c, image: ubuntu, livenessProbe: {exec: {command: [x]}}}]}}
"""
PINS = (Pin("web-123-abcde", "web", "node1", "10.244.1.9"), Pin("one", "", "node2", "10.244.2.9"))


def test_files_go_as_they_stand() -> None:
    """Every field, namespaces first, and what the text does not name is not made up."""
    found = toapi.documents(load_manifests(NGINX, "x.yaml"))
    deployment, items = yaml.safe_load_all(NGINX)
    service, pod = items["items"]
    pod["metadata"]["namespace"] = "default"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    assert found == [namespace, service, deployment, pod]


PASSED = """
apiVersion: v1
kind: ConfigMap
metadata: {name: page, namespace: site}
data: {a: b}
---
apiVersion: v1
kind: Endpoints
metadata: {name: outside}
subsets: [{addresses: [{ip: 192.0.2.1}], ports: [{port: 80}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: full}
spec:
  hostNetwork: true
  volumes: [{name: v, configMap: {name: page, defaultMode: 0400}}]
  initContainers: [{name: first, image: busybox}]
  containers: [{name: c, image: ubuntu, envFrom: [{configMapRef: {name: page}}], lifecycle: {preStop: {exec: {command: [x]}}}}]
"""


def test_what_the_lab_does_not_read_reaches_the_apiserver() -> None:
    """Volumes, init containers, hooks; other kinds, before the pods that need them, with the namespaces that they name."""
    objects = load_manifests(PASSED, "x.yaml")
    namespace, page, outside, pod = toapi.documents(objects)
    assert namespace["metadata"]["name"] == "site" and (page["data"], outside["kind"]) == ({"a": "b"}, "Endpoints")
    assert pod["spec"] == list(yaml.safe_load_all(PASSED))[2]["spec"]
    assert [one.name for one in objects.pods[0].containers] == ["c"], "init containers do not stay"


def test_pins_become_annotations() -> None:
    """A deployment carries its pods' pins and their hash; a pod its own address and node."""
    _, _, deployment, pod = toapi.documents(load_manifests(NGINX, "x.yaml"), PINS)
    annotations = deployment["metadata"]["annotations"]
    assert json.loads(annotations[toapi.PINS]) == [{"name": "web-123-abcde", "node": "node1", "ip": "10.244.1.9"}]
    assert annotations[toapi.HASH] == "123"
    assert pod["spec"]["nodeName"] == "node2" and pod["metadata"]["annotations"] == {toapi.POD_IP: "10.244.2.9"}


@pytest.mark.parametrize(("pin", "said"), [(Pin("x"), "no pod of that name"), (Pin("x", "y"), "no deployment y")])
def test_a_pin_that_fits_nothing(pin: Pin, said: str) -> None:
    """It is named."""
    with pytest.raises(UsageError, match=said):
        toapi.documents(load_manifests(NGINX, "x.yaml"), [pin])


def test_too_many_pins() -> None:
    """More than replicas."""
    with pytest.raises(UsageError, match="2 replicas but 3 pins"):
        toapi.documents(load_manifests(NGINX, "x.yaml"), [Pin(f"p{number}", "web") for number in range(3)])


def test_the_labs_own_objects_survive_the_way_there_and_back() -> None:
    """What the lab knows of an object is in its JSON."""
    read = load_manifests(NGINX, "x.yaml")
    made = Objects(read.pods, read.deployments, read.services)
    _, service, deployment, pod = toapi.documents(made)
    assert fromapi.service_of(service) == read.services[0]
    assert fromapi.pod_of(pod) == read.pods[0]
    assert tuple(fromapi.container_of(one) for one in deployment["spec"]["template"]["spec"]["containers"]) == read.deployments[0].containers
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": "web"}}
