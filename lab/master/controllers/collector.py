"""The garbage collector: what its owners have left behind goes; foreground deletion and orphans; the content of deleted namespaces. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lab.master.api import accounts
from lab.master.client import Object
from lab.master.controllers.actions import Action, Create, Finalize, deletion, patch_of
from lab.master.controllers.objects import going
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key, key_of
from lab.master.resources import RESOURCES, by_kind

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_PLURALS = {one.kind: one for one in RESOURCES}
_OWNERS = ("deployments", "replicasets", "services", "pods", "nodes", "configmaps", "secrets", "serviceaccounts")
_DEPENDENTS = ("replicasets", "pods", "endpoints", "endpointslices", "configmaps", "secrets")
_SOURCE = "kube-system"
"""The namespace whose ConfigMap with the authority's certificate is copied where one is missing."""

WATCHED = tuple(dict.fromkeys((*_OWNERS, *_DEPENDENTS)))


def reconcile(key: Key, world: World) -> list[Action]:
    """Judge the object that `key` names as (namespace, plural/name): delete it when all its owners are gone, or let its deletion end."""
    namespace, place = key
    plural, _, name = place.partition("/")
    item = world.get(plural, name, namespace)
    if item is None:
        return []
    finalizers = item["metadata"].get("finalizers") or []
    if going(item):
        return _finish(plural, item, finalizers, world)
    owners = item["metadata"].get("ownerReferences") or []
    known = [one for one in owners if one.get("kind") in _PLURALS and by_kind(one["kind"]).plural in WATCHED]
    if not owners or len(known) < len(owners) or any(world.has(str(one.get("uid"))) for one in owners):
        return []
    asked = tuple(_place(one, namespace) for one in owners)
    return [replace(deletion(plural, item), owners=asked)]


def _finish(plural: str, item: Object, finalizers: list[str], world: World) -> list[Action]:
    """A deletion that waits for this collector: in the foreground for the dependents to go, or to let them live on without owner."""
    actions: list[Action] = []
    dependents = dependents_of(item, world)
    if ORPHAN in finalizers:
        for theirs, one in dependents:
            rest = [owner for owner in one["metadata"]["ownerReferences"] if owner.get("uid") != item["metadata"]["uid"]]
            actions.append(patch_of(theirs, one, {"metadata": {"ownerReferences": rest}}))
    elif FOREGROUND in finalizers:
        waiting = [(theirs, one) for theirs, one in dependents if not _has_others(one, item, world)]
        for theirs, one in waiting:
            policy = "Foreground" if dependents_of(one, world) else ""
            if not going(one):
                actions.append(replace(deletion(theirs, one), policy=policy))
        if waiting:
            return actions
    else:
        return []
    left = [one for one in finalizers if one not in (ORPHAN, FOREGROUND)]
    return [*actions, patch_of(plural, item, {"metadata": {"finalizers": left or None}})]


def dependents_of(owner: Object, world: World) -> list[tuple[str, Object]]:
    """(plural, object) of everything that names `owner` as one of its owners."""
    uid = owner["metadata"].get("uid")
    namespace = owner["metadata"].get("namespace") or None
    return [
        (plural, one)
        for plural in _DEPENDENTS
        for one in world.all(plural, namespace)
        if any(reference.get("uid") == uid for reference in one["metadata"].get("ownerReferences") or ())
    ]


def reconcile_namespace(key: Key, world: World) -> list[Action]:
    """A namespace has a ServiceAccount `default` and the authority's certificate; one that is being deleted loses its content, then itself."""
    name = key[1]
    namespace = world.get("namespaces", name)
    if namespace is None:
        return []
    if not going(namespace):
        authority = world.get("configmaps", accounts.ROOT_CA, _SOURCE)
        wanted = accounts.begun(name, str(((authority or {}).get("data") or {}).get("ca.crt", "")))
        return [Create(one) for one in wanted if world.get(by_kind(one["kind"]).plural, one["metadata"]["name"], name) is None]
    content = [(plural, one) for plural in WATCHED_NAMESPACED for one in world.all(plural, name)]
    if not content:
        return [Finalize(name)] if (namespace.get("spec") or {}).get("finalizers") else []
    return [deletion(plural, one) for plural, one in content if not going(one)]


def _has_others(one: Object, owner: Object, world: World) -> bool:
    others = [each for each in one["metadata"].get("ownerReferences") or () if each.get("uid") != owner["metadata"].get("uid")]
    return any(world.has(str(each.get("uid"))) for each in others)


def _place(owner: Object, namespace: str) -> tuple[str, str, str, str]:
    resource = by_kind(owner["kind"])
    return resource.plural, namespace if resource.namespaced else "", str(owner["name"]), str(owner.get("uid"))


def _of(plural: str) -> Controller:
    """The watch on one resource: an object itself, its owners whose deletion may wait for it, and, when it is gone, its dependents."""

    def concerned(world: World, item: Object) -> Iterable[Key]:
        namespace, name = key_of(item)
        if item["metadata"].get("ownerReferences") or going(item):
            yield namespace, f"{plural}/{name}"
        for owner in item["metadata"].get("ownerReferences") or ():
            if owner.get("kind") in _PLURALS:
                theirs = _PLURALS[owner["kind"]]
                yield namespace if theirs.namespaced else "", f"{theirs.plural}/{owner['name']}"
        if plural in _OWNERS and (going(item) or not world.has(str(item["metadata"].get("uid")))):
            for theirs_plural, one in dependents_of(item, world):
                yield one["metadata"].get("namespace", ""), f"{theirs_plural}/{one['metadata']['name']}"

    return Controller(plural, {plural: concerned}, reconcile)


def _namespace_of(world: World, item: Object) -> Iterable[Key]:
    """A change in a namespace concerns it while it is being deleted, or when something has gone that every namespace has."""
    name = item["metadata"].get("namespace", "")
    namespace = world.get("namespaces", name)
    if namespace is not None and (going(namespace) or item["metadata"]["name"] in (accounts.DEFAULT, accounts.ROOT_CA)):
        yield "", name


WATCHED_NAMESPACED = tuple(plural for plural in WATCHED if plural != "nodes")
CONTROLLER = Controller("garbage-collector", {plural: _of(plural).watches[plural] for plural in WATCHED}, reconcile)
NAMESPACES = Controller(
    "namespace-controller", {"namespaces": itself, **dict.fromkeys(WATCHED_NAMESPACED, _namespace_of)}, reconcile_namespace
)
