"""The endpoint slice controller: discovery.k8s.io/v1 EndpointSlices of every service with a selector. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lab.master.client import Object
from lab.master.controllers.actions import Action, Create, deletion, patch_of
from lab.master.controllers.backends import Backend, Port, backends_of, has_selector, reference_to, services_of_pod
from lab.master.controllers.objects import generated, labels_of, owner_reference
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key

LARGEST = 100
"""Endpoints in one slice."""

SERVICE = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"


def reconcile(key: Key, world: World) -> list[Action]:
    """Write a service's slices where they differ; an endpoint stays in its slice, and a service has one slice at least."""
    namespace, name = key
    service = world.get("services", name, namespace)
    slices = [one for one in world.all("endpointslices", namespace) if _owner_of(one) == name]
    if service is None or not has_selector(service):
        return [deletion("endpointslices", one) for one in slices] if service is None else []
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for one in backends_of(service, world):
        if one.ports or not service["spec"].get("ports"):
            groups.setdefault(tuple(sorted(one.ports)), []).append(one)
    labels = labels_of(service) | {SERVICE: name, MANAGED_BY: MANAGER}
    actions: list[Action] = []
    kept = 0
    for ports, members in groups.items():
        mine = [one for one in slices if _ports_of(one) == ports]
        slices = [one for one in slices if one not in mine]
        for old, endpoints in spread([_endpoint(one) for one in members], [one.get("endpoints") or [] for one in mine]):
            kept += bool(endpoints)
            actions += _written(service, mine[old] if old is not None else None, ports, endpoints, labels, world)
    if not kept:
        spare = slices[0] if slices else None
        slices = slices[1:]
        actions += _written(service, spare, (), [], labels, world)
    return [*actions, *(deletion("endpointslices", one) for one in slices)]


def spread(wanted: list[Object], slices: list[list[Object]]) -> list[tuple[int | None, list[Object]]]:
    """Divide endpoints among slices: (which of `slices`, or None for a new one; its endpoints), every old slice once.

    An endpoint that has a slice stays there, with its new state; new ones fill slices that have room, then slices of their own.
    """
    of_pod = {_identity(one): one for one in wanted}
    filled = []
    for old in slices:
        stay = [of_pod.pop(_identity(one)) for one in old if _identity(one) in of_pod]
        filled.append(stay)
    rest = list(of_pod.values())
    for one in filled:
        room = max(0, LARGEST - len(one)) if one or not any(filled) else 0
        one += rest[:room]
        rest = rest[room:]
    fresh = [rest[start : start + LARGEST] for start in range(0, len(rest), LARGEST)]
    return [*enumerate(filled), *((None, one) for one in fresh)]


def _written(
    service: Object, old: Object | None, ports: tuple[Port, ...], endpoints: list[Object], labels: dict[str, str], world: World
) -> list[Action]:
    if old is not None and not endpoints and ports:
        return [deletion("endpointslices", old)]
    shown = [{"name": name, "port": number, "protocol": protocol} for name, number, protocol in ports]
    if old is None:
        name = service["metadata"]["name"]
        metadata = {
            "name": generated(f"{name}-", world.dice),
            "generateName": f"{name}-",
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Service"} | service)],
        }
        head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": metadata, "addressType": "IPv4"}
        return [Create(head | {"endpoints": endpoints, "ports": shown})]
    patch: Object = {}
    if (old.get("endpoints") or []) != endpoints:
        patch["endpoints"] = endpoints
    if _ports_of(old) != ports:
        patch["ports"] = shown
    if labels_of(old) != labels:
        patch["metadata"] = {"labels": labels | {name: None for name in labels_of(old) if name not in labels}}
    return [patch_of("endpointslices", old, patch)] if patch else []


def _endpoint(one: Backend) -> Object:
    everyone = one.ready and not one.going
    found: Object = {"addresses": [one.ip], "conditions": {"ready": everyone, "serving": one.ready, "terminating": one.going}}
    if one.pod["spec"].get("nodeName"):
        found["nodeName"] = one.pod["spec"]["nodeName"]
    return found | {"targetRef": reference_to(one.pod)}


def _identity(endpoint: Object) -> tuple[str, str]:
    return str((endpoint.get("targetRef") or {}).get("uid", "")), str((endpoint.get("addresses") or [""])[0])


def _ports_of(item: Object) -> tuple[Port, ...]:
    ports = item.get("ports") or ()
    return tuple(sorted((port.get("name") or "", int(port.get("port") or 0), port.get("protocol") or "TCP") for port in ports))


def _owner_of(item: Object) -> str | None:
    labels = labels_of(item)
    return labels.get(SERVICE) if labels.get(MANAGED_BY) == MANAGER else None


def _of_slice(world: World, item: Object) -> Iterable[Key]:
    name = _owner_of(item)
    return [(item["metadata"].get("namespace", ""), name)] if name else []


WATCHES = {"services": itself, "pods": services_of_pod, "endpointslices": _of_slice}
CONTROLLER = Controller("endpoint-slice-controller", WATCHES, reconcile)
