"""A deployment's ReplicaSets: which belongs to the template of now, how they are named and numbered, which are too old to keep. Pure."""

from __future__ import annotations

import copy

from lab.master.client import Object
from lab.master.controllers.actions import Action, patch_of
from lab.master.controllers.objects import (
    annotations_of,
    canonical,
    changed,
    controller_of,
    going,
    is_owned,
    labels_of,
    matches,
    owner_reference,
    seconds,
)
from lab.master.controllers.replicaset import REVISION
from lab.master.controllers.world import World

HASH = "pod-template-hash"
FIXED_HASH = "lab.network/replicaset-hash"
DESIRED = "deployment.kubernetes.io/desired-replicas"
CEILING = "deployment.kubernetes.io/max-replicas"
HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_COPIED = frozenset(
    {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, CEILING, FIXED_HASH, "lab.network/age"}
)


def hash_of(template: Object, collisions: int = 0) -> str:
    """The hash of a pod template as Kubernetes 1.7 writes it: a 32-bit FNV-1a in decimal. Its input here is canonical JSON."""
    value = 0x811C9DC5
    for byte in (canonical(template) + (str(collisions) if collisions else "")).encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return str(value)


def owned(deployment: Object, world: World) -> tuple[list[Action], list[Object]]:
    """The deployment's ReplicaSets, the oldest first; those that nobody owns and that its selector fits are adopted."""
    actions: list[Action] = []
    found = []
    for one in world.all("replicasets", deployment["metadata"]["namespace"]):
        if is_owned(one, deployment):
            found.append(one)
        elif not going(deployment) and _is_free(one) and matches(deployment["spec"].get("selector"), labels_of(one)):
            others = one["metadata"].get("ownerReferences") or []
            actions.append(patch_of("replicasets", one, {"metadata": {"ownerReferences": [*others, owner_reference(deployment)]}}))
            found.append(one)
    return actions, sorted(found, key=_age)


def new_of(deployment: Object, sets: list[Object]) -> Object | None:
    """The oldest ReplicaSet with the deployment's template, if there is one."""
    wanted = _plain(deployment["spec"].get("template") or {})
    return next((one for one in sets if _plain(one["spec"].get("template") or {}) == wanted and not going(one)), None)


def revision_of(item: Object) -> int:
    """The revision that an object carries, 0 for none."""
    text = annotations_of(item).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def made(deployment: Object, sets: list[Object], name: str, digest: str, replicas: int, ceiling: int) -> Object:
    """A new ReplicaSet for the deployment's template."""
    template = copy.deepcopy(deployment["spec"].get("template") or {})
    shape = template.setdefault("metadata", {})
    shape["labels"] = (shape.get("labels") or {}) | {HASH: digest}
    selector = copy.deepcopy(deployment["spec"].get("selector") or {})
    selector["matchLabels"] = (selector.get("matchLabels") or {}) | {HASH: digest}
    spec = {"replicas": replicas, "selector": selector, "template": template}
    if deployment["spec"].get("minReadySeconds"):
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"]
    revision = max((revision_of(one) for one in sets), default=0) + 1
    metadata = {
        "name": name,
        "namespace": deployment["metadata"]["namespace"],
        "labels": shape["labels"],
        "annotations": _copied(deployment) | sizes(deployment, ceiling) | {REVISION: str(revision)},
        "ownerReferences": [owner_reference(deployment)],
    }
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def name_for(deployment: Object, world: World) -> tuple[str, str] | None:
    """The name and hash of a new ReplicaSet; None when the name is taken by another template, so that collisionCount has to grow."""
    metadata = deployment["metadata"]
    collisions = int((deployment.get("status") or {}).get("collisionCount") or 0)
    fixed, computed = annotations_of(deployment).get(FIXED_HASH, ""), hash_of(deployment["spec"].get("template") or {}, collisions)
    for digest in [fixed, computed] if fixed else [computed]:
        name = f"{metadata['name']}-{digest}"
        if world.get("replicasets", name, metadata["namespace"]) is None:
            return name, digest
    return None


def sizes(deployment: Object, ceiling: int) -> dict[str, str]:
    """The annotations by which a later reconciliation sees that the deployment was scaled."""
    return {DESIRED: str(deployment["spec"].get("replicas", 1)), CEILING: str(ceiling)}


def renewed(deployment: Object, new: Object, sets: list[Object]) -> list[Action]:
    """What an existing ReplicaSet of the deployment's template has to take over: annotations, the newest revision, minReadySeconds."""
    old = [one for one in sets if one is not new]
    newest = max((revision_of(one) for one in old), default=0) + 1
    wanted = _copied(deployment)
    now = annotations_of(new)
    if revision_of(new) < newest:
        wanted[REVISION] = str(newest)
        if revision_of(new):
            wanted[HISTORY] = ",".join([*filter(None, now.get(HISTORY, "").split(",")), str(revision_of(new))])
    patch: Object = {}
    if different := changed(now, wanted):
        patch["metadata"] = {"annotations": different}
    ready = deployment["spec"].get("minReadySeconds", 0)
    if new["spec"].get("minReadySeconds", 0) != ready:
        patch["spec"] = {"minReadySeconds": ready}
    return [patch_of("replicasets", new, patch)] if patch else []


def superfluous(deployment: Object, old: list[Object]) -> list[Object]:
    """Old ReplicaSets beyond revisionHistoryLimit, the oldest revisions; never one that still has pods."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    idle = [one for one in old if not going(one) and not one["spec"].get("replicas", 1) and not (one.get("status") or {}).get("replicas")]
    seen = [one for one in idle if (one.get("status") or {}).get("observedGeneration", 0) >= one["metadata"].get("generation", 0)]
    return sorted(seen, key=revision_of)[: max(0, len(old) - int(limit))]


def _is_free(one: Object) -> bool:
    return controller_of(one) is None and not going(one)


def _copied(deployment: Object) -> dict[str, str]:
    return {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}


def _plain(template: Object) -> str:
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH} or None
    return canonical({**template, "metadata": metadata})


def _age(item: Object) -> tuple[float, int, str]:
    return seconds(item["metadata"].get("creationTimestamp")), revision_of(item), item["metadata"]["name"]
