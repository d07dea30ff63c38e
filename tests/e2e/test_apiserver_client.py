"""The Python client `kubernetes` with the lab's apiserver and the real etcd."""

from __future__ import annotations

import sys

import pytest

from tests.e2e.flannel_sandbox import Sandbox
from tests.e2e.master_sandbox import SERVER, Master

pytestmark = pytest.mark.e2e

SCRIPT = f"""
from kubernetes import client, watch
configuration = client.Configuration(host="{SERVER}")
api = client.ApiClient(configuration)
core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
core.create_namespace({{"metadata": {{"name": "py"}}}})
assert "py" in [one.metadata.name for one in core.list_namespace().items]
at = core.list_namespaced_config_map("py").metadata.resource_version
core.create_namespaced_config_map("py", client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={{"x": "1"}}))
core.patch_namespaced_config_map("a", "py", {{"data": {{"x": "2"}}}})
core.delete_namespaced_config_map("a", "py")
seen = []
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, "py", resource_version=at, timeout_seconds=20):
    seen.append((event["type"], event["object"].data["x"]))
    if event["type"] == "DELETED":
        watcher.stop()
assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen
labels = {{"app": "web"}}
pods = client.V1PodSpec(containers=[client.V1Container(name="c", image="nginx", ports=[client.V1ContainerPort(container_port=80)])])
template = client.V1PodTemplateSpec(metadata=client.V1ObjectMeta(labels=labels), spec=pods)
spec = client.V1DeploymentSpec(replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template)
made = apps.create_namespaced_deployment("py", client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec))
assert made.metadata.generation == 1 and made.spec.strategy.type == "RollingUpdate"
apps.patch_namespaced_deployment_scale("web", "py", {{"spec": {{"replicas": 4}}}})
found = apps.read_namespaced_deployment("web", "py")
assert (found.spec.replicas, found.metadata.generation) == (4, 2)
ports = [client.V1ServicePort(port=80, target_port=8080)]
service = core.create_namespaced_service("py", client.V1Service(metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1ServiceSpec(selector=labels, ports=ports)))
assert service.spec.cluster_ip.startswith("10.")
try:
    core.create_namespaced_service("py", {{"metadata": {{"name": "No"}}, "spec": {{"ports": [{{"port": 80}}]}}}})
except client.ApiException as error:
    assert error.status == 422, error
else:
    raise AssertionError("a name that is none")
try:
    core.read_namespaced_pod("none", "py")
except client.ApiException as error:
    assert error.status == 404 and error.reason == "Not Found"
core.delete_namespace("py")
print("all went well")
"""


def test_the_python_client_creates_changes_and_watches(sandbox: Sandbox) -> None:
    master = Master(sandbox)
    master.start_apiserver()
    assert sandbox.run([sys.executable, "-c", SCRIPT]).endswith("all went well\n")
