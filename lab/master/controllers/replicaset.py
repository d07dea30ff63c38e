"""The ReplicaSet controller: as many pods as `spec.replicas` says, and the numbers in the status. Pure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable

from lab.master.client import Object
from lab.master.controllers.actions import Action, Again, Create, Tell, deletion, patch_of
from lab.master.controllers.objects import (
    annotations_of,
    available_in,
    changed,
    condition,
    controller_of,
    generated,
    going,
    is_active,
    is_owned,
    is_true,
    labels_of,
    matches,
    owner_reference,
    seconds,
)
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key, key_of

BURST = 10
"""Pods made or deleted in one go; then other work has its turn. The changes themselves bring the ReplicaSet back."""

PINS = "lab.network/pins"
POD_IP = "lab.network/pod-ip"
REVISION = "deployment.kubernetes.io/revision"
COST = "controller.kubernetes.io/pod-deletion-cost"


def reconcile(key: Key, world: World) -> list[Action]:
    """What brings a ReplicaSet's pods nearer to what it asks for."""
    namespace, name = key
    owner = world.get("replicasets", name, namespace)
    if owner is None:
        return []
    adoption, owned = _claimed(owner, world)
    active = [pod for pod in owned if is_active(pod)]
    actions: list[Action] = [*adoption, *_status(owner, active, world.now)]
    if going(owner):
        return actions
    surplus = len(active) - int(owner["spec"].get("replicas", 1))
    if surplus < 0:
        actions += _creations(owner, min(-surplus, BURST), world)
    for pod in sorted(active, key=lambda one: rank(one, pin_names(owner)))[: max(0, min(surplus, BURST))]:
        actions += [deletion("pods", pod), Tell(owner, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")]
    return actions


def rank(pod: Object, pinned: frozenset[str]) -> tuple[object, ...]:
    """Order in which pods are given up, smallest first.

    Those without node, pending, not ready, cheap ones; then those ready for the shortest time, restarted most, youngest. Of equal ones
    a pod that has one of the `pinned` names stays.
    """
    status = pod.get("status") or {}
    phases = {"Pending": 0, "Unknown": 1, "Running": 2}
    since = seconds((condition(pod, "Ready") or {}).get("lastTransitionTime")) if is_true(pod, "Ready") else 0.0
    restarts = max((int(one.get("restartCount", 0)) for one in status.get("containerStatuses") or ()), default=0)
    name = pod["metadata"]["name"]
    return (
        bool(pod["spec"].get("nodeName")),
        phases.get(status.get("phase") or "Pending", 0),
        is_true(pod, "Ready"),
        _number(annotations_of(pod).get(COST)),
        -since,
        -restarts,
        -seconds(pod["metadata"].get("creationTimestamp")),
        name in pinned,
        name,
    )


def pins_of(owner: Object) -> list[dict[str, str]]:
    """The pins of a ReplicaSet that are meant for it: those named after it, and for the first revision all. Nonsense is passed over."""
    template = (owner["spec"].get("template") or {}).get("metadata") or {}
    text = annotations_of(owner).get(PINS) or (template.get("annotations") or {}).get(PINS) or "[]"
    try:
        pins = json.loads(text)
    except ValueError:
        return []
    first = annotations_of(owner).get(REVISION, "1") == "1"
    prefix = owner["metadata"]["name"] + "-"
    usable = [pin for pin in pins if isinstance(pin, dict) and isinstance(pin.get("name"), str)] if isinstance(pins, list) else []
    return [pin for pin in usable if first or pin["name"].startswith(prefix)]


def pin_names(owner: Object) -> frozenset[str]:
    """The names that pins ask for."""
    return frozenset(pin["name"] for pin in pins_of(owner))


def _claimed(owner: Object, world: World) -> tuple[list[Action], list[Object]]:
    """The owner's pods; those of its labels that nobody owns are adopted, its own that have lost their labels are let go."""
    actions: list[Action] = []
    owned = []
    namespace, uid = owner["metadata"]["namespace"], str(owner["metadata"].get("uid") or "")
    for pod in sorted([*(world.pods.of(uid, namespace) if uid else ()), *world.pods.of("", namespace)], key=key_of):
        is_mine = is_owned(pod, owner)
        fits = matches(owner["spec"].get("selector"), labels_of(pod))
        others = pod["metadata"].get("ownerReferences") or []
        if is_mine:
            if fits or going(owner):
                owned.append(pod)
            elif not going(pod):
                rest = [one for one in others if one.get("uid") != owner["metadata"]["uid"]]
                actions.append(patch_of("pods", pod, {"metadata": {"ownerReferences": rest}}))
        elif fits and is_active(pod) and not going(owner):
            actions.append(patch_of("pods", pod, {"metadata": {"ownerReferences": [*others, owner_reference(owner)]}}))
            owned.append(pod)
    return actions, owned


def _creations(owner: Object, count: int, world: World) -> Iterable[Action]:
    namespace = owner["metadata"]["namespace"]
    free = [pin for pin in pins_of(owner) if world.get("pods", pin["name"], namespace) is None]
    for number in range(count):
        pin = free[number] if number < len(free) else {}
        name = pin.get("name") or generated(f"{owner['metadata']['name']}-", world.dice)
        yield Create(_pod(owner, name, pin))
        yield Tell(owner, "SuccessfulCreate", f"Created pod: {name}")


def _pod(owner: Object, name: str, pin: dict[str, str]) -> Object:
    template = copy.deepcopy(owner["spec"].get("template") or {})
    shape = template.get("metadata") or {}
    metadata = {
        "name": name,
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "labels": shape.get("labels") or {},
        "ownerReferences": [owner_reference(owner)],
    }
    annotations = {key: value for key, value in (shape.get("annotations") or {}).items() if key != PINS}
    if isinstance(pin.get("ip"), str) and pin["ip"]:
        annotations[POD_IP] = pin["ip"]
    spec = template.get("spec") or {}
    if isinstance(pin.get("node"), str) and pin["node"]:
        spec["nodeName"] = pin["node"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata | ({"annotations": annotations} if annotations else {}), "spec": spec}


def _status(owner: Object, active: list[Object], now: float) -> list[Action]:
    min_ready = int(owner["spec"].get("minReadySeconds", 0))
    waits = [wait for pod in active if (wait := available_in(pod, min_ready, now)) is not None]
    template = ((owner["spec"].get("template") or {}).get("metadata") or {}).get("labels") or {}
    counts = {
        "fullyLabeledReplicas": sum(template.items() <= labels_of(pod).items() for pod in active),
        "readyReplicas": len(waits),
        "availableReplicas": sum(wait == 0 for wait in waits),
    }
    status = {"replicas": len(active), "observedGeneration": int(owner["metadata"].get("generation", 0))}
    status |= {name: count for name, count in counts.items() if count}
    patch = changed(owner.get("status") or {}, status, counts)
    actions: list[Action] = [patch_of("replicasets", owner, {"status": patch}, "status")] if patch else []
    return actions + [Again(wait) for wait in waits if wait > 0]


def _number(text: str | None) -> int:
    try:
        return int(text or "0")
    except ValueError:
        return 0


def _of_pod(world: World, pod: Object) -> Iterable[Key]:
    """A pod concerns its controller; one without, every ReplicaSet that its labels fit."""
    namespace = pod["metadata"].get("namespace", "")
    reference = controller_of(pod)
    if reference is not None:
        return [(namespace, reference["name"])] if reference.get("kind") == "ReplicaSet" else []
    owners = world.all("replicasets", namespace)
    return [(namespace, one["metadata"]["name"]) for one in owners if matches(one["spec"].get("selector"), labels_of(pod))]


CONTROLLER = Controller("replicaset-controller", {"replicasets": itself, "pods": _of_pod}, reconcile)
