"""From what manifests declare to the JSON that an apiserver is sent. Pure.

An object that was read from a file goes as it stands there, with all its fields. One that a program made from the lab's own data has only
those that the lab has. A scenario's pins become annotations, which the lab's controllers and kubelets honour and other clusters ignore.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from lab.errors import UsageError
from lab.model.manifests import Objects
from lab.model.objects import PASSED_ON, Container, Deployment, Pod, Service, ServicePort
from lab.model.pins import Pin

Object = dict[str, Any]

PINS, HASH, POD_IP = "lab.network/pins", "lab.network/replicaset-hash", "lab.network/pod-ip"
"""Annotations: a deployment's pins, the hash in the names of its pods, and a pod's address."""

_ALWAYS_THERE = frozenset({"default", "kube-system", "kube-public"})


def documents(objects: Objects, pins: Sequence[Pin] = ()) -> list[Object]:
    """The objects as JSON, those first that others need.

    Namespaces, also those that are only named, then what is only passed on, such as ConfigMaps, then services, deployments, pods.

    Raises UsageError for a pin that fits nothing.
    """
    own = {(one["kind"], *_place(one)): one for one in objects.documents}
    _refuse_idle(objects, pins)

    def raw(kind: str, made: Object) -> Object:
        return _copy(own.get((kind, *_place(made)), made))

    services = [raw("Service", service(one)) for one in objects.services]
    deployments = [_pinned_deployment(raw("Deployment", deployment(one)), one, pins) for one in objects.deployments]
    pods = [_pinned_pod(raw("Pod", pod(one)), pins) for one in objects.pods]
    named = {_place(one)[0] for one in (*services, *deployments, *pods, *_passed_on(objects))} | set(objects.namespaces)
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in sorted(named - _ALWAYS_THERE)]
    return [*namespaces, *map(_copy, _passed_on(objects)), *services, *deployments, *pods]


def _passed_on(objects: Objects) -> list[Object]:
    return [one for one in objects.documents if one["kind"] in PASSED_ON]


def pod(made: Pod) -> Object:
    """A Pod object."""
    spec: Object = {"containers": [_container(one) for one in made.containers]}
    if made.node_name:
        spec["nodeName"] = made.node_name
    found = _object("v1", "Pod", made.name, made.namespace, spec, dict(made.labels))
    if made.pod_ip is not None:
        _annotate(found, {POD_IP: str(made.pod_ip)})
    return found


def deployment(made: Deployment) -> Object:
    """A Deployment object."""
    template = {"metadata": {"labels": dict(made.labels)}, "spec": {"containers": [_container(one) for one in made.containers]}}
    spec = {"replicas": made.replicas, "selector": {"matchLabels": dict(made.selector)}, "template": template}
    return _object("apps/v1", "Deployment", made.name, made.namespace, spec)


def service(made: Service) -> Object:
    """A Service object."""
    spec: Object = {"type": made.type, "ports": [_service_port(one) for one in made.ports], "sessionAffinity": made.session_affinity}
    if made.selector:
        spec["selector"] = dict(made.selector)
    if made.cluster_ip is not None or made.headless:
        spec["clusterIP"] = str(made.cluster_ip) if made.cluster_ip else "None"
    if made.external_ips:
        spec["externalIPs"] = [str(one) for one in made.external_ips]
    if made.load_balancer_source_ranges:
        spec["loadBalancerSourceRanges"] = [str(one) for one in made.load_balancer_source_ranges]
    if made.type in ("NodePort", "LoadBalancer"):
        spec["externalTrafficPolicy"] = made.external_traffic_policy
    found = _object("v1", "Service", made.name, made.namespace, spec)
    if made.load_balancer_ips:
        found["status"] = {"loadBalancer": {"ingress": [{"ip": str(one)} for one in made.load_balancer_ips]}}
    return found


def _object(version: str, kind: str, name: str, namespace: str, spec: Object, labels: dict[str, str] | None = None) -> Object:
    metadata: Object = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _container(made: Container) -> Object:
    found: Object = {"name": made.name, "image": made.image}
    if made.command:
        found["command"] = list(made.command)
    if made.args:
        found["args"] = list(made.args)
    if made.ports:
        found["ports"] = [_named({"containerPort": one.container_port, "protocol": one.protocol}, one.name) for one in made.ports]
    if made.env:
        found["env"] = [{"name": name, "value": value} for name, value in made.env]
    return found


def _service_port(made: ServicePort) -> Object:
    found: Object = {"port": made.port, "protocol": made.protocol, "targetPort": made.target_port or made.port}
    if made.node_port:
        found["nodePort"] = made.node_port
    return _named(found, made.name)


def _named(item: Object, name: str) -> Object:
    return item | {"name": name} if name else item


def _place(item: Object) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace") or "default", metadata["name"]


def _copy(item: Object) -> Object:
    copied: Object = json.loads(json.dumps(item))
    copied["metadata"]["namespace"] = _place(item)[0]
    return copied


def _annotate(item: Object, annotations: dict[str, str]) -> None:
    item["metadata"]["annotations"] = (item["metadata"].get("annotations") or {}) | annotations


def _pinned_deployment(item: Object, made: Deployment, pins: Iterable[Pin]) -> Object:
    own = [pin for pin in pins if pin.owner == made.name]
    if len(own) > made.replicas:
        raise UsageError(f"deployment {made.name} has {made.replicas} replicas but {len(own)} pins")
    if own:
        shown = [{"name": pin.name} | ({"node": pin.node} if pin.node else {}) | _address(pin) for pin in own]
        _annotate(item, {PINS: json.dumps(shown)})
    hashes = {pin.name.removeprefix(f"{made.name}-").rpartition("-")[0] for pin in own if pin.name.startswith(f"{made.name}-")}
    if len(hashes) == 1 and (only := hashes.pop()):
        _annotate(item, {HASH: only})
    return item


def _address(pin: Pin) -> dict[str, str]:
    return {"ip": str(pin.pod_ip)} if pin.pod_ip else {}


def _pinned_pod(item: Object, pins: Iterable[Pin]) -> Object:
    for pin in pins:
        if pin.name == item["metadata"]["name"] and not pin.owner:
            if pin.node:
                item["spec"]["nodeName"] = pin.node
            if pin.pod_ip:
                _annotate(item, {POD_IP: str(pin.pod_ip)})
    return item


def _refuse_idle(objects: Objects, pins: Iterable[Pin]) -> None:
    pods, deployments = {one.name for one in objects.pods}, {one.name for one in objects.deployments}
    for pin in pins:
        if pin.owner not in deployments if pin.owner else pin.name not in pods:
            owner = f"deployment {pin.owner}" if pin.owner else "pod of that name"
            raise UsageError(f"pin {pin.name}: the manifests have no {owner}")
