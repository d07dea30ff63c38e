"""What the master does about nodes: judge the silent ones, evict their pods if told to, and give each its part of the pod network. Pure."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from ipaddress import IPv4Network

from lab.master.client import Object
from lab.master.controllers.actions import Action, Again, Tell, deletion, patch_of
from lab.master.controllers.objects import condition, going, is_true, with_condition
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key, key_of

_LEASES = "kube-node-lease"
_JUDGED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_LIFECYCLE = "node-controller"


def reconcile_lifecycle(key: Key, world: World, grace: float, eviction: float | None) -> list[Action]:
    """Ready becomes Unknown after `grace` seconds without a heartbeat, and the pods of such a node not ready.

    The time runs from when a heartbeat was seen here, by this clock: what a node's own clock says does not matter. eviction: seconds
    after which pods of a silent node are deleted, None for never.
    """
    name = key[1]
    node = world.get("nodes", name)
    if node is None:  # nobody is left who could end its pods; those of a node that has never been here may be early
        world.memory.pop((_LIFECYCLE, key), None)
        return [deletion("pods", pod, 0) for pod in _pods_on(name, world)] if world.memory.pop(("node-seen", key), None) else []
    world.memory["node-seen", key] = (True, world.now)
    seen = _last_heard(node, key, world)
    silence = world.now - max(seen, world.cut_off_at)
    actions: list[Action] = []
    if silence < grace:
        actions.append(Again(grace - silence))
    elif not _is_unknown(node):
        node = _unknown(node, world.now)
        actions += [patch_of("nodes", node, {"status": {"conditions": node["status"]["conditions"]}}, "status")]
        actions += [Tell(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")]
    if not _is_unknown(node):
        return actions  # a kubelet that speaks says itself how its pods are
    pods = _pods_on(name, world)
    actions += [_not_ready(pod, world.now) for pod in pods if is_true(pod, "Ready")]
    if eviction is not None and silence >= grace:
        if silence < grace + eviction:
            return [*actions, Again(grace + eviction - silence)]
        for pod in pods:
            if not going(pod):
                text = f"Marking for deletion Pod {pod['metadata']['namespace']}/{pod['metadata']['name']}"
                actions += [deletion("pods", pod), Tell(pod, "NodeControllerEviction", text)]
    return actions


def reconcile_address(key: Key, world: World, network: IPv4Network, prefix: int) -> list[Action]:
    """A node without podCIDR gets the first part of the network that no node has."""
    node = world.get("nodes", key[1])
    if node is None or (node.get("spec") or {}).get("podCIDR"):
        return []
    taken = [part for one in world.all("nodes") if (part := _network(one)) is not None]
    free = next((part for part in network.subnets(new_prefix=prefix) if not any(part.overlaps(one) for one in taken)), None)
    if free is None:
        return [Tell(node, "CIDRNotAvailable", f"Node {key[1]} status is now: CIDRNotAvailable", "Warning"), Again(10.0)]
    return [patch_of("nodes", node, {"spec": {"podCIDR": str(free)}})]


def lifecycle(grace: float, eviction: float | None) -> Controller:
    """The node lifecycle controller."""
    core = functools.partial(reconcile_lifecycle, grace=grace, eviction=eviction)
    watches = {"nodes": itself, "leases": _of_lease, "pods": _of_pod}
    return Controller(_LIFECYCLE, watches, core)


def ipam(network: IPv4Network, prefix: int) -> Controller:
    """The controller that hands out podCIDRs."""
    return Controller("node-ipam-controller", {"nodes": itself}, functools.partial(reconcile_address, network=network, prefix=prefix))


def _last_heard(node: Object, key: Key, world: World) -> float:
    """When the heartbeat, which a node writes into its status or into its lease, was last seen to be a new one."""
    lease = world.get("leases", key[1], _LEASES) or {}
    ready = condition(node, "Ready") or {}
    if _is_unknown(node):
        ready = {}  # written here, not by the node
    beat = (node["metadata"].get("uid"), ready.get("lastHeartbeatTime"), (lease.get("spec") or {}).get("renewTime"))
    known = world.memory.get((_LIFECYCLE, key))
    if known is None or (known[0] != beat and (ready or beat[2] != _lease_of(known[0]))):
        known = (beat, world.now)
        world.memory[_LIFECYCLE, key] = known
    return known[1]


def _lease_of(beat: object) -> object:
    return beat[2] if isinstance(beat, tuple) else None


def _unknown(node: Object, now: float) -> Object:
    """The node with all its conditions Unknown."""
    for kind in _JUDGED:
        old = condition(node, kind)
        if old is None and kind != "Ready":
            continue
        reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        if old is None:
            reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        new = {**(old or {}), "type": kind, "status": "Unknown", "reason": reason, "message": message}
        conditions = with_condition(node, new, now)
        node = {**node, "status": {**(node.get("status") or {}), "conditions": conditions}}
    return node


def _not_ready(pod: Object, now: float) -> Action:
    new = {**(condition(pod, "Ready") or {}), "type": "Ready", "status": "False"}
    return patch_of("pods", pod, {"status": {"conditions": with_condition(pod, new, now)}}, "status")


def _pods_on(name: str, world: World) -> list[Object]:
    return world.pods.on(name)


def _network(node: Object) -> IPv4Network | None:
    try:
        return IPv4Network((node.get("spec") or {}).get("podCIDR", ""))
    except ValueError:
        return None


def _of_lease(world: World, lease: Object) -> Iterable[Key]:
    namespace, name = key_of(lease)
    return [("", name)] if namespace == _LEASES else []


def _of_pod(world: World, pod: Object) -> Iterable[Key]:
    """A pod concerns its node when that is silent: it may have been said to be ready just before."""
    name = pod["spec"].get("nodeName") or ""
    node = world.get("nodes", name)
    return [("", name)] if node is not None and _is_unknown(node) else []


def _is_unknown(node: Object) -> bool:
    return (condition(node, "Ready") or {}).get("status") == "Unknown"
