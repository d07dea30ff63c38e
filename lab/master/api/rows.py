"""The cells of a Table's row for each kind. Pure; fields of a wrong type count as absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lab.master.api import ages
from lab.master.api.lenient import at, is_int, number, obj, objs, text, texts
from lab.master.api.podstatus import addresses, readiness_gates, standing

Object = dict[str, Any]
NONE = "<none>"
UNSET = "<unset>"


@dataclass(frozen=True)
class Printing:
    """How a row is to be printed: in v1.7's columns or today's, at what time, and the object's age as text."""

    old: bool
    now: float
    age: str


def by_name(item: Object, how: Printing) -> list[Any]:
    """The row of a kind that has no columns of its own."""
    return [_name(item), text(item, "metadata", "creationTimestamp")]


def _name(item: Object) -> str:
    return text(item, "metadata", "name")


def _pod(item: Object, how: Printing) -> list[Any]:
    found = standing(item)
    restarts: Any = found.restarts
    if not how.old:
        restarts = str(found.restarts)
        if found.restarts and found.restarted:
            restarts += f" ({ages.human(how.now - found.restarted)} ago)"
    ready = f"{found.ready}/{len(objs(item, 'spec', 'containers'))}"
    wide = [addresses(item), text(item, "spec", "nodeName") or NONE]
    if not how.old:
        wide += [text(item, "status", "nominatedNodeName") or NONE, readiness_gates(item)]
    return [_name(item), ready, found.word, restarts, how.age, *wide]


def _node(item: Object, how: Printing) -> list[Any]:
    ready = next((one for one in objs(item, "status", "conditions") if one.get("type") == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"]
    if at(item, "spec", "unschedulable") is True:
        words.append("SchedulingDisabled")
    info = obj(item, "status", "nodeInfo")
    seen = {text(one, "type"): text(one, "address") for one in reversed(objs(item, "status", "addresses"))}
    external = seen.get("ExternalIP") or NONE
    version = text(info, "kubeletVersion")
    system, kernel = text(info, "osImage") or "<unknown>", text(info, "kernelVersion") or "<unknown>"
    if how.old:
        return [_name(item), ",".join(words), how.age, version, external, system, kernel]
    runtime = text(info, "containerRuntimeVersion") or "<unknown>"
    wide = [seen.get("InternalIP") or NONE, external, system, kernel, runtime]
    return [_name(item), ",".join(words), _roles(item), how.age, version, *wide]


def _roles(item: Object) -> str:
    labels = obj(item, "metadata", "labels")
    prefix = "node-role.kubernetes.io/"
    found = {key[len(prefix) :] for key in labels if key.startswith(prefix)} | {text(labels, "kubernetes.io/role")}
    return ",".join(sorted(found - {""})) or NONE


def _service(item: Object, how: Printing) -> list[Any]:
    kind = text(item, "spec", "type") or "ClusterIP"
    selector = _pairs(obj(item, "spec", "selector"))
    ports = ",".join(_service_port(one) for one in objs(item, "spec", "ports")) or NONE
    cluster = text(item, "spec", "clusterIP")
    if how.old:
        return [_name(item), cluster, _external(item, kind, True), ports, how.age, selector]
    return [_name(item), kind, cluster or NONE, _external(item, kind, False), ports, how.age, selector]


def _service_port(port: Object) -> str:
    node = f":{number(port, 'nodePort')}" if number(port, "nodePort") else ""
    return f"{number(port, 'port')}{node}/{text(port, 'protocol') or 'TCP'}"


def _external(item: Object, kind: str, old: bool) -> str:
    own = texts(item, "spec", "externalIPs")
    if kind == "ExternalName":
        return text(item, "spec", "externalName")
    if kind == "LoadBalancer":
        given = [text(one, "ip") or text(one, "hostname") for one in objs(item, "status", "loadBalancer", "ingress")]
        return ",".join([*dict.fromkeys(given), *own]) or "<pending>"
    return ",".join(own) or ("<nodes>" if old and kind == "NodePort" else NONE)


def _deployment(item: Object, how: Printing) -> list[Any]:
    wanted, status = _replicas(item), obj(item, "status")
    fresh, available = number(status, "updatedReplicas"), number(status, "availableReplicas")
    if how.old:
        return [_name(item), wanted, number(status, "replicas"), fresh, available, how.age, *_template(item)]
    return [_name(item), f"{number(status, 'readyReplicas')}/{wanted}", fresh, available, how.age, *_template(item)]


def _replicaset(item: Object, how: Printing) -> list[Any]:
    status = obj(item, "status")
    return [_name(item), _replicas(item), number(status, "replicas"), number(status, "readyReplicas"), how.age, *_template(item)]


def _replicas(item: Object) -> int:
    wanted = at(item, "spec", "replicas")
    return int(wanted) if is_int(wanted) else 1


def _template(item: Object) -> list[str]:
    containers = objs(item, "spec", "template", "spec", "containers")
    names, images = ([text(one, key) for one in containers] for key in ("name", "image"))
    return [",".join(names), ",".join(images), selector_text(at(item, "spec", "selector"))]


def selector_text(selector: Any) -> str:
    """A LabelSelector as text: `app=nginx,tier in (a,b)`; `<none>` when it is empty."""
    parts = [f"{key}={value}" for key, value in sorted(obj(selector, "matchLabels").items())]
    for one in objs(selector, "matchExpressions"):
        key, values = text(one, "key"), ",".join(texts(one, "values"))
        words = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key, "DoesNotExist": f"!{key}"}
        parts.append(words.get(text(one, "operator"), key))
    return ",".join(parts) or NONE


def _pairs(labels: Object) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or NONE


def _endpoints(item: Object, how: Printing) -> list[Any]:
    found: list[str] = []
    for subset in objs(item, "subsets"):
        addresses_here = [text(one, "ip") for one in objs(subset, "addresses")]
        ports = objs(subset, "ports")
        found += [join_host_port(ip, number(port, "port")) for port in ports for ip in addresses_here] if ports else addresses_here
    return [_name(item), _some(found, "" if objs(item, "subsets") else NONE), how.age]


def join_host_port(host: str, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _some(found: list[str], nothing: str) -> str:
    shown = ",".join(found[:3])
    return f"{shown} + {len(found) - 3} more..." if len(found) > 3 else shown or nothing


def _slice(item: Object, how: Printing) -> list[Any]:
    ports = [str(one["port"]) if is_int(one.get("port")) else text(one, "name") or "*" for one in objs(item, "ports")]
    found = [address for one in objs(item, "endpoints") for address in texts(one, "addresses")]
    return [_name(item), text(item, "addressType"), _some(ports, UNSET), _some(found, UNSET), how.age]


def _configmap(item: Object, how: Printing) -> list[Any]:
    return [_name(item), len(obj(item, "data")) + len(obj(item, "binaryData")), how.age]


def _secret(item: Object, how: Printing) -> list[Any]:
    return [_name(item), text(item, "type"), len(obj(item, "data")), how.age]


def _namespace(item: Object, how: Printing) -> list[Any]:
    return [_name(item), text(item, "status", "phase"), how.age]


def _account(item: Object, how: Printing) -> list[Any]:
    return [_name(item), len(objs(item, "secrets")), how.age]


def _lease(item: Object, how: Printing) -> list[Any]:
    return [_name(item), text(item, "spec", "holderIdentity"), how.age]


def _event(item: Object, how: Printing) -> list[Any]:
    about = obj(item, "involvedObject") or obj(item, "regarding")
    component = text(item, "source", "component") or text(item, "reportingComponent")
    source = ", ".join(part for part in (component, text(item, "source", "host")) if part)
    first = _first(item, "firstTimestamp", "deprecatedFirstTimestamp", "eventTime")
    count = number(item, "series", "count") or number(item, "count") or number(item, "deprecatedCount") or 1
    last = text(item, "series", "lastObservedTime") or _first(item, "lastTimestamp", "deprecatedLastTimestamp") or first
    seen, begun = (ages.age(one, how.now, how.old) for one in (last, first))
    kind, name, path = text(about, "kind"), text(about, "name"), text(about, "fieldPath")
    reason, level, message = text(item, "reason"), text(item, "type"), (text(item, "message") or text(item, "note")).strip()
    if how.old:
        return [seen, begun, count, name, kind, path, level, reason, source, message]
    about_text = f"{kind.lower()}/{name}" if name else kind.lower()
    return [seen, level, reason, about_text, path, source, message, begun, count, _name(item)]


def _first(item: Object, *names: str) -> str:
    found: Iterable[str] = (text(item, name) for name in names)
    return next((one for one in found if one), "")


ROWS: dict[str, Callable[[Object, Printing], list[Any]]] = {
    "Pod": _pod,
    "Node": _node,
    "Service": _service,
    "Deployment": _deployment,
    "ReplicaSet": _replicaset,
    "Endpoints": _endpoints,
    "EndpointSlice": _slice,
    "ConfigMap": _configmap,
    "Secret": _secret,
    "Namespace": _namespace,
    "ServiceAccount": _account,
    "Lease": _lease,
    "Event": _event,
}
"""The row of each kind that has columns of its own."""
