"""The variables by which containers find services: REVIEWS_SERVICE_HOST, REVIEWS_PORT_9080_TCP_ADDR and their like. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.master import informer

MASTER = "kubernetes"
"""The service of `default` that every pod is told of."""


def brief(service: dict[str, Any]) -> dict[str, Any]:
    """What `variables` needs of a service, which a kubelet keeps of all there are."""
    spec = service.get("spec") or {}
    return informer.only_metadata(service) | {"spec": {name: spec[name] for name in ("clusterIP", "ports") if name in spec}}


def variables(pod: Mapping[str, Any], services: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """For the services of the pod's namespace that have a cluster IP, and for the apiserver's. `enableServiceLinks: false` leaves only that one."""
    wanted = (pod.get("spec") or {}).get("enableServiceLinks", True) is not False
    found: dict[str, str] = {}
    for service in services:
        metadata, spec = service["metadata"], service.get("spec") or {}
        is_master = (metadata.get("namespace"), metadata["name"]) == ("default", MASTER)
        mine = wanted and metadata.get("namespace") == pod["metadata"]["namespace"]
        if (mine or is_master) and spec.get("clusterIP") not in (None, "", "None") and spec.get("ports"):
            found |= dict(_of_service(metadata["name"], spec["clusterIP"], spec["ports"]))
    return found


def _of_service(service: str, address: str, ports: list[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    name = _variable(service)
    yield f"{name}_SERVICE_HOST", address
    yield f"{name}_SERVICE_PORT", str(ports[0]["port"])
    for port in ports:
        if port.get("name"):
            yield f"{name}_SERVICE_PORT_{_variable(port['name'])}", str(port["port"])
    for number, port in enumerate(ports):
        protocol = port.get("protocol") or "TCP"
        url = f"{protocol.lower()}://{address}:{port['port']}"
        if not number:
            yield f"{name}_PORT", url
        prefix = f"{name}_PORT_{port['port']}_{protocol}"
        yield from ((prefix, url), (f"{prefix}_PROTO", protocol.lower()), (f"{prefix}_PORT", str(port["port"])), (f"{prefix}_ADDR", address))


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
