"""Which pods stand behind a service, and at which ports: what the endpoints and the endpoint slices have in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.master.client import Object
from lab.master.controllers.objects import going, is_true, labels_of
from lab.master.controllers.world import World
from lab.master.informer import Key

Port = tuple[str, int, str]
"""Name, empty for none, number, protocol."""


@dataclass(frozen=True)
class Backend:
    """One pod behind a service. `ports` in the service's order, those that the pod has."""

    pod: Object
    ip: str
    ports: tuple[Port, ...]
    ready: bool
    going: bool


def backends_of(service: Object, world: World) -> list[Backend]:
    """The pods with an address that the service's selector chooses and that have not ended for good, sorted by the address's text."""
    selector = service["spec"].get("selector") or {}
    if not selector:
        return []
    everyone = bool(service["spec"].get("publishNotReadyAddresses"))
    found = []
    for pod in world.all("pods", service["metadata"]["namespace"]):
        ip = (pod.get("status") or {}).get("podIP")
        if ip and selector.items() <= labels_of(pod).items() and not _has_ended(pod):
            found.append(Backend(pod, ip, tuple(_ports(service, pod)), everyone or is_true(pod, "Ready"), going(pod)))
    return sorted(found, key=lambda one: (one.ip, one.pod["metadata"]["name"]))


def has_selector(service: Object | None) -> bool:
    """Whether a service is one whose endpoints are computed."""
    return service is not None and bool(service["spec"].get("selector")) and service["spec"].get("type") != "ExternalName"


def reference_to(pod: Object) -> Object:
    """The targetRef of an address."""
    metadata = pod["metadata"]
    return {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata.get("uid", "")}


def services_of_pod(world: World, pod: Object) -> Iterable[Key]:
    """The services whose selector chooses the pod's labels."""
    labels, namespace = labels_of(pod).items(), pod["metadata"].get("namespace", "")
    for service in world.all("services", namespace):
        selector = service["spec"].get("selector")
        if selector and selector.items() <= labels:
            yield namespace, service["metadata"]["name"]


def _has_ended(pod: Object) -> bool:
    phase, policy = (pod.get("status") or {}).get("phase"), pod["spec"].get("restartPolicy", "Always")
    return (policy == "Never" and phase in ("Succeeded", "Failed")) or (policy == "OnFailure" and phase == "Succeeded")


def _ports(service: Object, pod: Object) -> Iterable[Port]:
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol") or "TCP"
        number = _number(port.get("targetPort") or port["port"], protocol, pod)
        if number is not None:
            yield port.get("name") or "", number, protocol


def _number(target: int | str, protocol: str, pod: Object) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for offered in container.get("ports") or ():
            if offered.get("name") == target and (offered.get("protocol") or "TCP") == protocol:
                return int(offered["containerPort"])
    return int(target) if target.isdecimal() else None
