"""A scenario's objects as a cluster elsewhere can take them. Pure.

What the lab pins is dropped there: cluster IPs, node ports, pod addresses, nodes. So are the lab's annotations, and objects of other
namespaces than `default`: kube-system, for one, belongs to the cluster. Deployments of extensions/v1beta1 become apps/v1, which needs
a selector. Every object carries the labels of the run, and pods do as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.model import toapi
from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.remote import images

Json = dict[str, Any]

MANAGED, RUN = "app.kubernetes.io/managed-by", "kubernetes-network-lab/run"
MANAGER = "kubernetes-network-lab"
CALLER = "lab-caller"
"""The pod from which services are called where a scenario in the lab does so from the master."""

GRACE_SECONDS = 1
"""How long a pod that only waits may take to end. sleep, as a container's first process, does not hear SIGTERM."""

_OURS = "lab.network/"


@dataclass(frozen=True)
class Wish:
    """What the scenario pins, (its word, what it is about): services' addresses and node ports, pods' names and addresses.

    services   (name, cluster IP)
    ports      (service, port's number, node port)
    pods       as the scenario declares them, and as the manifests do
    """

    services: tuple[tuple[str, str], ...]
    ports: tuple[tuple[str, int, int], ...]
    pods: tuple[Pin, ...]


def labels(run: str) -> dict[str, str]:
    """The labels of everything that belongs to a run."""
    return {MANAGED: MANAGER, RUN: run}


def documents(objects: Objects, run: str, own: Mapping[str, str]) -> list[Json]:
    """The objects, those first that others need; without a namespace. own: images (lab.remote.images)."""
    every = toapi.documents(objects)
    return [_changed(item, run, own) for item in every if item["kind"] != "Namespace" and _in_default(item)]


def caller(run: str, own: Mapping[str, str]) -> Json:
    """The pod that calls services."""
    spec = {"containers": [{"name": "tools", "image": images.image_of("ubuntu", own), "command": ["sleep", "infinity"]}]}
    return _pod(CALLER, run, spec)


def node_pod(name: str, node: str, run: str, own: Mapping[str, str]) -> Json:
    """A privileged pod in the network of one node, also of one that takes no ordinary pods."""
    tools = {"name": "tools", "image": images.image_of("ubuntu", own), "command": ["sleep", "infinity"], "securityContext": {"privileged": True}}
    spec = {"nodeName": node, "hostNetwork": True, "hostPID": True, "tolerations": [{"operator": "Exists"}], "containers": [tools]}
    return _pod(name, run, spec)


def _pod(name: str, run: str, spec: Json) -> Json:
    whole = {**spec, "terminationGracePeriodSeconds": GRACE_SECONDS, "automountServiceAccountToken": False}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels(run)}, "spec": whole}


def wish(objects: Objects, pins: Sequence[Pin]) -> Wish:
    """What the scenario and its manifests pin, of the namespace `default` and of kube-system's DNS service."""
    every = toapi.documents(objects, pins)
    services = [one for one in every if one["kind"] == "Service" and _in_default(one)]
    addresses = [(one["metadata"]["name"], one["spec"].get("clusterIP") or "None") for one in services]
    ports = [
        (one["metadata"]["name"], int(port["port"]), int(port["nodePort"]))
        for one in services
        for port in one["spec"].get("ports") or ()
        if port.get("nodePort")
    ]
    pods = [pin for one in every if _in_default(one) for pin in _pins(one)]
    return Wish(tuple((name, address) for name, address in addresses if address != "None"), tuple(ports), tuple(pods))


def _pins(item: Json) -> Iterable[Pin]:
    name = item["metadata"]["name"]
    annotations = item["metadata"].get("annotations") or {}
    if item["kind"] == "Deployment":
        for one in json.loads(annotations.get(toapi.PINS) or "[]"):
            yield Pin(one["name"], name, one.get("node", ""), one.get("ip", ""))
    elif item["kind"] == "Pod":
        yield Pin(name, "", item["spec"].get("nodeName", ""), annotations.get(toapi.POD_IP, ""))


def _in_default(item: Json) -> bool:
    return (item["metadata"].get("namespace") or "default") == "default"


def _changed(item: Json, run: str, own: Mapping[str, str]) -> Json:
    made: Json = json.loads(json.dumps(item))
    made["metadata"] = _metadata(made["metadata"], run)
    made.pop("status", None)
    if made["kind"] == "Service":
        _unpin_service(made["spec"])
    elif made["kind"] == "Pod":
        _unpin_pod(made["spec"], own)
        made["spec"].setdefault("terminationGracePeriodSeconds", GRACE_SECONDS)
    elif made["kind"] == "Deployment":
        made["apiVersion"] = "apps/v1"
        template = made["spec"]["template"]
        template["metadata"] = _metadata(template.get("metadata") or {}, run)
        chosen = {name: value for name, value in template["metadata"]["labels"].items() if name not in (MANAGED, RUN)}
        made["spec"].setdefault("selector", {"matchLabels": chosen})
        _unpin_pod(template["spec"], own)
    return made


def _metadata(given: Json, run: str) -> Json:
    made = {name: value for name, value in given.items() if name in ("name", "labels", "annotations")}
    made["labels"] = {**(made.get("labels") or {}), **labels(run)}
    made["annotations"] = {name: value for name, value in (made.get("annotations") or {}).items() if not name.startswith(_OURS)}
    return made


def _unpin_service(spec: Json) -> None:
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
    for name in ("clusterIPs", "externalIPs", "loadBalancerIP", "healthCheckNodePort"):
        spec.pop(name, None)
    for port in spec.get("ports") or ():
        port.pop("nodePort", None)


def _unpin_pod(spec: Json, own: Mapping[str, str]) -> None:
    spec.pop("nodeName", None)
    spec["automountServiceAccountToken"] = False
    spec["containers"] = [images.container(one, own) for one in spec["containers"]]
