"""What the controllers know: a copy of the objects, which holds what they have just written even before the watch says so.

A resourceVersion is etcd's revision, a number that only grows: of two states of an object the one with the larger number is the newer.
So an answer to a write is taken in at once, and the watch's older news about the same object is passed over; no controller makes a
second pod because it has not yet heard of its first.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from lab.master.client import Object
from lab.master.controllers.actions import Action
from lab.master.controllers.podindex import PodIndex
from lab.master.informer import Key, key_of

_REMEMBERED = 20_000
"""uids of deleted objects that are kept, to pass over late news about them."""


class World:
    """The objects by resource, the time (seconds since 1970), the dice, and what controllers remember about objects.

    now           set by the loop before each call of a core
    cut_off_at    when the apiserver was last found away: nobody can be blamed for not having reported until then
    pods          the pods by node and by controller
    memory        per controller and object, what is not in objects: when a node's last heartbeat was seen
    """

    def __init__(self, items: Iterable[tuple[str, Object]] = (), now: float = 0.0, dice: random.Random | None = None) -> None:
        self.now, self.cut_off_at = now, 0.0
        self.dice = dice or random.Random()
        self.pods = PodIndex()
        self.memory: dict[tuple[str, Key], tuple[object, float]] = {}
        self._items: dict[str, dict[str, dict[str, Object]]] = {}
        self._names: dict[tuple[str, str], list[str]] = {}
        self._uids: dict[str, tuple[str, Key]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        for plural, item in items:
            self.put(plural, item)

    def get(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """One object, None when there is none."""
        return self._items.get(plural, {}).get(namespace, {}).get(name)

    def all(self, plural: str, namespace: str | None = None) -> list[Object]:
        """The objects of a resource, of one namespace or of all, by namespace and name."""
        spaces = self._items.get(plural, {})
        chosen = sorted(spaces) if namespace is None else [namespace]
        return [items[name] for space in chosen if (items := spaces.get(space)) for name in self._sorted(plural, space, items)]

    def _sorted(self, plural: str, space: str, items: Mapping[str, Object]) -> list[str]:
        """The names in order. They are sorted again only when one has come or gone: with a thousand pods most calls find them as they were."""
        place = (plural, space)
        if place not in self._names:
            self._names[place] = sorted(items)
        return self._names[place]

    def has(self, uid: str) -> bool:
        """Whether an object of this uid is there."""
        return uid in self._uids

    def plurals(self) -> list[str]:
        """The resources of which there are objects."""
        return sorted(self._items)

    def put(self, plural: str, item: Object) -> bool:
        """Take in a state of an object; False when a newer one was known, or the object is known to be gone."""
        uid = _uid(item)
        namespace, name = key = key_of(item)
        known = self.get(plural, name, namespace)
        if uid in self._gone or (known is not None and version_of(known) >= version_of(item) > 0):
            return False
        if known is not None:
            self._uids.pop(_uid(known), None)
        else:
            self._names.pop((plural, namespace), None)
        self._set(plural, namespace, name, item)
        self._uids[uid] = (plural, key)
        return True

    def assume(self, plural: str, item: Object) -> None:
        """Take a known object for what it will be, until the watch tells of it."""
        namespace, name = key_of(item)
        self._set(plural, namespace, name, item)

    def _set(self, plural: str, namespace: str, name: str, item: Object) -> None:
        items = self._items.setdefault(plural, {}).setdefault(namespace, {})
        if plural == "pods":
            self.pods.change(items.get(name), item)
        items[name] = item

    def remove(self, plural: str, item: Object) -> bool:
        """Take in that an object is gone; False when that was known."""
        uid = _uid(item)
        namespace, name = key_of(item)
        self._gone[uid] = None
        if len(self._gone) > _REMEMBERED:
            self._gone.popitem(last=False)
        known = self.get(plural, name, namespace)
        if known is None or _uid(known) != uid:
            return False
        del self._items[plural][namespace][name]
        if plural == "pods":
            self.pods.change(known, None)
        self._names.pop((plural, namespace), None)
        self._uids.pop(uid, None)
        return True


Concerned = Callable[[World, Object], Iterable[Key]]
"""Which of a controller's objects a change of another object concerns."""


@dataclass(frozen=True)
class Controller:
    """One controller, without clock and sockets.

    watches    resource -> which of its objects a change there concerns; called with the object before and after the change
    reconcile  what is to be done now about one of its objects; None-safe: the object may be gone
    startup    objects to look at once when everything has been listed, besides those that the list's objects concern
    """

    name: str
    watches: Mapping[str, Concerned]
    reconcile: Callable[[Key, World], list[Action]]
    startup: Callable[[World], Iterable[Key]] = lambda world: ()


def itself(world: World, item: Object) -> Iterable[Key]:
    """For `watches`: a change concerns the object that changed."""
    return (key_of(item),)


def version_of(item: Object) -> int:
    """The resourceVersion as a number; 0 for none."""
    text = str(item["metadata"].get("resourceVersion", ""))
    return int(text) if text.isdecimal() else 0


def _uid(item: Object) -> str:
    metadata = item["metadata"]
    return str(metadata.get("uid") or f"{item.get('kind')}/{metadata.get('namespace', '')}/{metadata['name']}")
