"""What an apiserver fills in where an object leaves it open. Pure; addresses and node ports are the server's business, not this module's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.master.api.lenient import at, copied, number, obj, objs, text

Object = dict[str, Any]


def with_defaults(item: Object, kind: str) -> Object:
    """The object with today's defaults of its kind."""
    made = copied(item)
    fill = _FILLS.get(kind)
    if fill:
        fill(made)
    return made


def _set(item: Object, **values: Any) -> None:
    for key, value in values.items():
        if item.get(key) is None:
            item[key] = value


def _inner(item: Object, name: str) -> Object:
    if item.get(name) is None:
        item[name] = {}
    return obj(item, name)


def _service(item: Object) -> None:
    spec = _inner(item, "spec")
    _set(spec, sessionAffinity="None", type="ClusterIP")
    if spec["type"] != "ExternalName":
        _set(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _set(spec, allocateLoadBalancerNodePorts=True)
    if spec["sessionAffinity"] == "ClientIP":
        _set(_inner(_inner(spec, "sessionAffinityConfig"), "clientIP"), timeoutSeconds=10800)
    for port in objs(spec, "ports"):
        _set(port, protocol="TCP")
        if port.get("targetPort") in (None, 0, "") and port.get("port") is not None:
            port["targetPort"] = port["port"]
    _set(_inner(item, "status"), loadBalancer={})


def _pod(item: Object) -> None:
    _pod_spec(_inner(item, "spec"))
    _set(_inner(item, "status"), phase="Pending", qosClass=qos_class(item))


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by what the containers ask for."""
    asked = [obj(one, "resources") for one in objs(pod, "spec", "containers")]
    if not any(obj(one, "requests") or obj(one, "limits") for one in asked):
        return "BestEffort"
    both = all({"cpu", "memory"} <= obj(one, "limits").keys() and (obj(one, "requests") or obj(one, "limits")) == obj(one, "limits") for one in asked)
    return "Guaranteed" if both else "Burstable"


def _pod_spec(spec: Object) -> None:
    _set(spec, restartPolicy="Always", dnsPolicy="ClusterFirst", terminationGracePeriodSeconds=30, schedulerName="default-scheduler")
    _set(spec, securityContext={})
    if text(spec, "serviceAccountName"):
        _set(spec, serviceAccount=spec["serviceAccountName"])
    for container in [*objs(spec, "initContainers"), *objs(spec, "containers")]:
        _container(container)
    for volume in objs(spec, "volumes"):
        if volume.keys() <= {"name"}:
            volume["emptyDir"] = {}
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if isinstance(volume.get(source), dict):
                _set(volume[source], defaultMode=420)


def _container(item: Object) -> None:
    image = text(item, "image")
    tag = image.rpartition("/")[2].partition(":")[2]
    latest = "@" not in image and tag in ("", "latest")
    _set(item, imagePullPolicy="Always" if latest else "IfNotPresent", resources={})
    _set(item, terminationMessagePath="/dev/termination-log", terminationMessagePolicy="File")
    for port in objs(item, "ports"):
        _set(port, protocol="TCP")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = item.get(name)
        if isinstance(probe, dict):
            _set(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
            if isinstance(probe.get("httpGet"), dict):
                _set(probe["httpGet"], path="/", scheme="HTTP")
    limits = obj(item, "resources", "limits")
    if limits and isinstance(item["resources"], dict):
        item["resources"]["requests"] = limits | obj(item, "resources", "requests")
    for variable in objs(item, "env"):
        if isinstance(at(variable, "valueFrom", "fieldRef"), dict):
            _set(variable["valueFrom"]["fieldRef"], apiVersion="v1")


def _deployment(item: Object) -> None:
    spec = _inner(item, "spec")
    _set(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600)
    strategy = _inner(spec, "strategy")
    _set(strategy, type="RollingUpdate")
    if strategy.get("type") == "RollingUpdate":
        _set(_inner(strategy, "rollingUpdate"), maxSurge="25%", maxUnavailable="25%")
    _template(spec)


def _replicaset(item: Object) -> None:
    spec = _inner(item, "spec")
    _set(spec, replicas=1)
    _template(spec)
    _set(_inner(item, "status"), replicas=0)


def _template(spec: Object) -> None:
    template = _inner(spec, "template")
    _pod_spec(_inner(template, "spec"))
    if template and template.get("metadata") is None:
        template["metadata"] = {}


def _endpoints(item: Object) -> None:
    for subset in objs(item, "subsets"):
        for port in objs(subset, "ports"):
            _set(port, protocol="TCP")


def _slice(item: Object) -> None:
    for port in objs(item, "ports"):
        _set(port, protocol="TCP", name="")


def _namespace(item: Object) -> None:
    labels = _inner(_inner(item, "metadata"), "labels")
    if text(item, "metadata", "name"):
        _set(labels, **{"kubernetes.io/metadata.name": item["metadata"]["name"]})
    if not item.get("spec"):
        item["spec"] = {"finalizers": ["kubernetes"]}
    _set(_inner(item, "status"), phase="Active")


def _node(item: Object) -> None:
    _inner(item, "spec")
    status = _inner(item, "status")
    if obj(status, "capacity"):
        _set(status, allocatable=dict(obj(status, "capacity")))


def _event(item: Object) -> None:
    if not number(item, "count") and item.get("firstTimestamp"):
        item["count"] = 1
    _set(item, type="Normal")


def _secret(item: Object) -> None:
    _set(item, type="Opaque")


_FILLS: dict[str, Callable[[Object], None]] = {
    "Service": _service,
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replicaset,
    "Endpoints": _endpoints,
    "EndpointSlice": _slice,
    "Namespace": _namespace,
    "Node": _node,
    "Event": _event,
    "Secret": _secret,
}
