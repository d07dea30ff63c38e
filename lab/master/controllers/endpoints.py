"""The endpoints controller: the Endpoints object of every service with a selector. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lab.master.client import Object
from lab.master.controllers.actions import Action, Create, deletion, patch_of
from lab.master.controllers.backends import Backend, Port, backends_of, has_selector, reference_to, services_of_pod
from lab.master.controllers.objects import labels_of
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key, key_of


def reconcile(key: Key, world: World) -> list[Action]:
    """Write a service's endpoints where they differ; delete those of a service that is gone; leave a service without selector alone.

    Services and endpoints come by two watches, so endpoints may be known before their service is: the apiserver's own are made while the
    controllers list what there is. The apiserver is asked before anything is deleted.
    """
    namespace, name = key
    service, known = world.get("services", name, namespace), world.get("endpoints", name, namespace)
    if service is None:
        return [replace(deletion("endpoints", known), owners=(("services", namespace, name, ""),))] if known is not None else []
    if not has_selector(service):
        return []
    subsets = subsets_of(service, backends_of(service, world))
    labels = labels_of(service)
    if known is None:
        metadata = {"name": name, "namespace": namespace} | ({"labels": labels} if labels else {})
        return [Create({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata} | ({"subsets": subsets} if subsets else {}))]
    patch: Object = {}
    if _without_versions(known.get("subsets") or []) != _without_versions(subsets):
        patch["subsets"] = subsets or None
    if labels_of(known) != labels:
        patch["metadata"] = {"labels": labels | {name: None for name in labels_of(known) if name not in labels} or None}
    return [patch_of("endpoints", known, patch)] if patch else []


def subsets_of(service: Object, backends: list[Backend]) -> list[Object]:
    """The subsets of an Endpoints object: pods with the same ports in one, those not ready apart, addresses by their text.

    A port whose targetPort is a name takes each pod's own number, so pods that differ come in different subsets. A pod that is being
    deleted is in none.
    """
    headless = service["spec"].get("clusterIP") == "None" and not service["spec"].get("ports")
    groups: dict[tuple[Port, ...], list[Backend]] = {}
    for one in backends:
        if not one.going and (one.ports or headless):
            groups.setdefault(tuple(sorted(one.ports)), []).append(one)
    subsets = []
    for ports, members in groups.items():
        ready = [_address(service, one) for one in members if one.ready]
        waiting = [_address(service, one) for one in members if not one.ready]
        subset: Object = {"addresses": ready} if ready else {}
        subset |= {"notReadyAddresses": waiting} if waiting else {}
        subset |= {"ports": [_port(port) for port in ports]} if ports else {}
        subsets.append((members[0].ip, subset))
    return [subset for _, subset in sorted(subsets, key=lambda pair: (pair[0], str(pair[1].get("ports"))))]


def _address(service: Object, one: Backend) -> Object:
    spec = one.pod["spec"]
    address: Object = {"ip": one.ip}
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        address["hostname"] = spec["hostname"]
    if spec.get("nodeName"):
        address["nodeName"] = spec["nodeName"]
    version = one.pod["metadata"].get("resourceVersion")
    address["targetRef"] = reference_to(one.pod) | ({"resourceVersion": version} if version else {})
    return address


def _port(port: Port) -> Object:
    name, number, protocol = port
    return ({"name": name} if name else {}) | {"port": number, "protocol": protocol}


def _without_versions(value: Any) -> Any:
    """The subsets without the pods' resourceVersion: a pod whose heartbeat moved is the same endpoint."""
    if isinstance(value, dict):
        return {key: _without_versions(one) for key, one in value.items() if key != "resourceVersion"}
    return [_without_versions(one) for one in value] if isinstance(value, list) else value


def _of_endpoints(world: World, endpoints: Object) -> Iterable[Key]:
    """Endpoints that somebody has changed are put right, where there is a service; others may wait for theirs."""
    namespace, name = key_of(endpoints)
    return [(namespace, name)] if world.get("services", name, namespace) is not None else []


def _leftovers(world: World) -> Iterable[Key]:
    return [key_of(one) for one in world.all("endpoints")]


WATCHES = {"services": itself, "pods": services_of_pod, "endpoints": _of_endpoints}
CONTROLLER = Controller("endpoint-controller", WATCHES, reconcile, _leftovers)
