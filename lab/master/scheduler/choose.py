"""Which node a pod goes to, and why not to the others. Pure."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction

from lab.master.client import Object
from lab.master.controllers.actions import Action, Bind, Tell, patch_of
from lab.master.controllers.objects import condition, controller_of, holds, is_active, is_true, labels_of, with_condition
from lab.master.controllers.podindex import PodIndex
from lab.master.controllers.world import Controller, World
from lab.master.informer import Key, key_of
from lab.master.scheduler.quantities import amount

NAME = "default-scheduler"
_PODS_OF_A_NODE = 110
"""Pods that a node takes when it does not say."""


def reconcile(key: Key, world: World, name: str = NAME) -> list[Action]:
    """Bind a pod that waits for this scheduler to a node, or say why it fits none."""
    pod = world.get("pods", key[1], key[0])
    if pod is None or not _waits(pod, name):
        return []
    fitting, reasons = sorted_out(pod, world)
    if fitting:
        node = best(pod, fitting, world)
        metadata = pod["metadata"]
        bind = Bind(metadata["name"], metadata["namespace"], metadata.get("uid", ""), node)
        return [bind, Tell(pod, "Scheduled", f"Successfully assigned {metadata['name']} to {node}")]
    message = complaint(reasons)
    known = condition(pod, "PodScheduled") or {}
    if known.get("status") == "False" and known.get("message") == message:
        return []
    new = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    patch = {"status": {"conditions": with_condition(pod, new, world.now)}}
    return [patch_of("pods", pod, patch, "status"), Tell(pod, "FailedScheduling", message, "Warning")]


def sorted_out(pod: Object, world: World) -> tuple[list[Object], list[str]]:
    """The nodes that can take a pod, and for each other node the first reason against it."""
    fitting, reasons = [], []
    for node in world.all("nodes"):
        reason = objection(pod, node, world.pods)
        if reason:
            reasons.append(reason)
        else:
            fitting.append(node)
    return fitting, reasons


def objection(pod: Object, node: Object, pods: PodIndex) -> str:
    """Why a node cannot take a pod; empty when it can. pods: those that all nodes have."""
    spec, offer = pod["spec"], node.get("spec") or {}
    if not is_true(node, "Ready"):
        return "node(s) were not ready"
    tolerations = spec.get("tolerations") or ()
    if offer.get("unschedulable") and not tolerated({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, tolerations):
        return "node(s) were unschedulable"
    for taint in offer.get("taints") or ():
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not tolerated(taint, tolerations):
            return f"node(s) had untolerated taint {{{taint.get('key')}: {taint.get('value') or ''}}}"
    wanted = (spec.get("nodeSelector") or {}).items() <= labels_of(node).items()
    if not wanted or not _has_affinity(pod, node):
        return "node(s) didn't match Pod's node affinity/selector"
    ports = _host_ports(pod)
    if ports and ports & frozenset(port for one in pods.holding(node["metadata"]["name"]) for port in _host_ports(one)):
        return "node(s) didn't have free ports for the requested pod ports"
    return _shortage(pod, node, pods)


def best(pod: Object, nodes: list[Object], world: World) -> str:
    """Of the nodes that fit the one with the fewest pods of the same owner, then the fewest pods, then the first by name."""
    owner = (controller_of(pod) or {}).get("uid")
    siblings = world.pods.of(owner, pod["metadata"].get("namespace", "")) if owner else []
    # One that is about to go does not count, as with the real one: its successor may come back to where it was.
    same = Counter(one["spec"].get("nodeName") for one in siblings if is_active(one))
    names = [str(node["metadata"]["name"]) for node in nodes]
    return min(names, key=lambda name: (same[name], world.pods.active[name], name))


def complaint(reasons: list[str]) -> str:
    """The scheduler's message: how many nodes there are, and what speaks against how many of them."""
    if not reasons:
        return "no nodes available to schedule pods"
    counted = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(reasons).items()))
    return f"0/{len(reasons)} nodes are available: {counted}."


def tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    """Whether one of the tolerations is for this taint."""
    for one in tolerations:
        effect_fits = not one.get("effect") or one["effect"] == taint.get("effect")
        if not one.get("key"):
            key_fits = one.get("operator") == "Exists"
        else:
            equal = one.get("operator") == "Exists" or (one.get("value") or "") == (taint.get("value") or "")
            key_fits = one["key"] == taint.get("key") and equal
        if effect_fits and key_fits:
            return True
    return False


def scheduler(name: str = NAME) -> Controller:
    """The scheduler of this name: it looks at pods whose `spec.schedulerName` it is."""

    def waiting(world: World, item: Object) -> Iterable[Key]:
        return [key_of(pod) for pod in world.pods.on("") if _waits(pod, name)]

    def of_pod(world: World, pod: Object) -> Iterable[Key]:
        if _waits(pod, name):
            return [key_of(pod)]
        is_room = not is_active(pod) or world.get("pods", key_of(pod)[1], key_of(pod)[0]) is None
        return waiting(world, pod) if is_room else []

    return Controller(name, {"pods": of_pod, "nodes": waiting}, functools.partial(reconcile, name=name))


def _waits(pod: Object, name: str) -> bool:
    spec = pod["spec"]
    return not spec.get("nodeName") and (spec.get("schedulerName") or NAME) == name and is_active(pod)


def _has_affinity(pod: Object, node: Object) -> bool:
    """nodeAffinity's requiredDuringSchedulingIgnoredDuringExecution: one of its terms with all expressions."""
    required = ((pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    for term in required.get("nodeSelectorTerms") or ():
        expressions, by_field = term.get("matchExpressions") or (), term.get("matchFields") or ()
        met = all(holds(one, labels_of(node)) for one in expressions) and all(holds(one, fields) for one in by_field)
        if (expressions or by_field) and met:
            return True
    return False


def _host_ports(pod: Object) -> frozenset[tuple[str, int]]:
    containers = pod["spec"].get("containers") or ()
    ports = [port for one in containers for port in one.get("ports") or () if port.get("hostPort")]
    return frozenset((port.get("protocol") or "TCP", int(port["hostPort"])) for port in ports)


def _shortage(pod: Object, node: Object, pods: PodIndex) -> str:
    """What of the pod's requests the node has too little of; a resource that the node says nothing about is not counted."""
    status = node.get("status") or {}
    offer = status.get("allocatable") or status.get("capacity") or {}
    node_name = node["metadata"]["name"]
    if pods.room(node_name) >= amount(offer.get("pods", _PODS_OF_A_NODE)):
        return "Too many pods"
    for name in ("cpu", "memory"):
        wanted = _request(pod, name)
        if wanted and name in offer and wanted + sum((_request(one, name) for one in pods.holding(node_name)), Fraction(0)) > amount(offer[name]):
            return f"Insufficient {name}"
    return ""


def _request(pod: Object, name: str) -> Fraction:
    containers = pod["spec"].get("containers") or ()
    return sum((amount(((one.get("resources") or {}).get("requests") or {}).get(name, 0)) for one in containers), Fraction(0))
