"""The variables of a container: `env`, `envFrom` and what they refer to. Pure, but for looking up ConfigMaps and Secrets."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from lab.errors import UsageError
from lab.master.scheduler.quantities import amount

Json = Mapping[str, Any]
Lookup = Callable[[str, str], Mapping[str, bytes] | None]
"""The data of a ConfigMap or Secret of the pod's namespace by kind (one of KINDS) and name; None when there is none of that name."""

CONFIG_MAP, SECRET = "ConfigMap", "Secret"

_REFERENCE = re.compile(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")


@dataclass(frozen=True)
class Network:
    """What every pod of a node gets: the bridge's own address and MTU (bytes), the cluster's DNS servers, the text of the node's resolv.conf."""

    node: str
    node_ip: str
    bridge: str = ""
    gateway: IPv4Interface | None = None
    mtu: int = 0
    gso: int = 0
    routes: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    domain: str = "cluster.local"
    resolver: str = ""
    neighbours: bool = False


def of_container(
    pod: Json, container: Json, network: Network, address: str, lookup: Lookup, links: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A container's variables, in order; a later one may refer to an earlier one as $(NAME). `links`: those of services, which come first.

    Raises UsageError for what is referred to and not there.
    """
    values: dict[str, str] = dict(links or {})
    for source in container.get("envFrom") or ():
        for kind, name in (("configMapRef", CONFIG_MAP), ("secretRef", SECRET)):
            if source.get(kind):
                data = found(lookup, name, source[kind])
                values |= {f"{source.get('prefix') or ''}{key}": _text(value) for key, value in data.items()}
    for item in container.get("env") or ():
        origin = item.get("valueFrom")
        if not origin:
            values[item["name"]] = expand(str(item.get("value") or ""), values)
        else:
            value = _referred(pod, container, origin, network, address, lookup)
            values |= {} if value is None else {item["name"]: value}
    return values


def _referred(pod: Json, container: Json, origin: Json, network: Network, address: str, lookup: Lookup) -> str | None:
    """The value that `valueFrom` refers to; None for an optional one that is not there."""
    for kind, name in (("configMapKeyRef", CONFIG_MAP), ("secretKeyRef", SECRET)):
        if kind in origin:
            reference = origin[kind]
            data = found(lookup, name, reference)
            if reference.get("key") in data:
                return _text(data[reference["key"]])
            if reference.get("optional"):
                return None
            raise UsageError(f"couldn't find key {reference.get('key')} in {name} {pod['metadata']['namespace']}/{reference.get('name')}")
    if "resourceFieldRef" in origin:
        return resource(pod, origin["resourceFieldRef"], container)
    if "fieldRef" in origin:
        return field(pod, str(origin["fieldRef"].get("fieldPath")), network, address)
    raise UsageError(f"valueFrom.{next(iter(origin))}: the lab has configMapKeyRef, secretKeyRef, fieldRef and resourceFieldRef")


def found(lookup: Lookup, kind: str, reference: Json) -> Mapping[str, bytes]:
    """The data of the ConfigMap or Secret that is referred to; nothing for an optional one that is not there. Raises UsageError."""
    name = str(reference.get("name"))
    data = lookup(kind, name)
    if data is None and not reference.get("optional"):
        raise UsageError(f'{kind.lower()} "{name}" not found')
    return data or {}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def field(pod: Json, path: str, network: Network, address: str) -> str:
    """The value of a `fieldRef`. Raises UsageError for a path that Kubernetes does not know either."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    plain = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "spec.nodeName": network.node,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": network.node_ip,
        "status.hostIPs": network.node_ip,
        "status.podIP": address,
        "status.podIPs": address,
    }
    if path in plain:
        return str(plain[path])
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = metadata.get(path.partition(".")[2]) or {}
        return "\n".join(f"{key}={json.dumps(str(pairs[key]), ensure_ascii=False)}" for key in sorted(pairs))
    one = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if one:
        return str((metadata.get(one[1]) or {}).get(one[2], ""))
    raise UsageError(f"unsupported fieldPath: {path}")


def resource(pod: Json, reference: Json, container: Json | None = None) -> str:
    """The value of a `resourceFieldRef`: what a container asks for or is limited to, in units of the divisor, rounded up.

    Raises UsageError. A limit that is not set is what the machine has in Kubernetes; here it is 0, since nothing is limited.
    """
    name, path = reference.get("containerName"), str(reference.get("resource"))
    if name:
        container = next((one for one in _containers(pod) if one.get("name") == name), None)
    if container is None:
        raise UsageError(f"resourceFieldRef: container {name} not found")
    group, _, which = path.partition(".")
    if group not in ("limits", "requests") or which not in ("cpu", "memory", "ephemeral-storage"):
        raise UsageError(f"unsupported container resource: {path}")
    asked = (container.get("resources") or {}).get(group) or {}
    return str(math.ceil(amount(asked.get(which, "0")) / (amount(reference.get("divisor") or "1") or 1)))


def _containers(pod: Json) -> Iterator[Json]:
    spec = pod.get("spec") or {}
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def expand(text: str, values: Mapping[str, str]) -> str:
    """References $(NAME) to known variables replaced; $$ stands for one dollar sign, unknown names stay."""
    return _REFERENCE.sub(lambda one: "$" if one[0] == "$$" else values.get(one[1], one[0]), text)
