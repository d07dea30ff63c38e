"""Who watches what: finds the few watchers that a change concerns, however many there are. No sockets.

At a hundred nodes there are five hundred watches. Most of the changes are of pods, and each of them concerns one kubelet: those are found
by the name of the pod's node, and not by asking every watch's selector.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

Object = dict[str, Any]
Accepts = Callable[[Object], bool]

BUFFER = 1000
"""Changes that may wait for one watcher; who falls behind further is cut off and has to watch anew, as with the real one."""

CROWD, GATHERING = 30, 0.05
"""Where more watchers than this wait for the same changes, these are told together, after so many seconds: most of what a change costs
is to wake a hundred kube-proxies."""

Place = tuple[str, str | None]
"""A resource, and a node or None."""


@dataclass(frozen=True)
class Change:
    """One change of one key: the object before it and after it, None where there is none.

    lines   the change as watches tell it, kept by those that wrote it first for all others
    """

    revision: int
    key: str
    before: Object | None
    after: Object | None
    lines: dict[tuple[str, str], bytes] = field(default_factory=dict, compare=False, repr=False)


class Watcher:
    """The changes below a prefix from some revision on. `queue` gets Changes, and None at the end; `on_cut` is called for who is too slow.

    node   only objects that are on it, or were, are of interest: the value of spec.nodeName; None: all
    """

    def __init__(self, prefix: str, node: str | None = None) -> None:
        self.prefix, self.node = prefix, node
        self.queue: deque[Change | None] = deque()
        self.cut = False
        self.over = False
        self.on_cut: Callable[[], None] = lambda: None
        self._news: asyncio.Future[None] | None = None

    def tell(self, change: Change, at_once: bool = True) -> None:
        """Queue a change, or cut the watcher off. at_once: whoever waits for it goes on, else not before `wake`."""
        if self.cut or not change.key.startswith(self.prefix):
            return
        if len(self.queue) >= BUFFER:
            self.cut = True
            self.on_cut()
        else:
            self.queue.append(change)
            if at_once:
                self.wake()

    def end(self) -> None:
        """No more changes."""
        if not self.cut:
            self.cut = self.over = True
            self.queue.append(None)
            self.wake()

    async def wait(self, seconds: float) -> None:
        """Until there is something in the queue, or the time has passed."""
        if self.queue:
            return
        loop = asyncio.get_running_loop()
        self._news = loop.create_future()
        timer = loop.call_later(max(0.0, seconds), self.wake)
        try:
            await self._news
        finally:
            timer.cancel()
            self._news = None

    def wake(self) -> None:
        """Whoever waits goes on."""
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


class Audience:
    """All watchers."""

    def __init__(self) -> None:
        self._by_place: dict[Place, set[Watcher]] = {}
        self._gathering: set[Place] = set()

    def add(self, watcher: Watcher) -> None:
        """One more."""
        self._by_place.setdefault((_resource(watcher.prefix), watcher.node), set()).add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """One less."""
        place = (_resource(watcher.prefix), watcher.node)
        some = self._by_place.get(place, set())
        some.discard(watcher)
        if not some:
            self._by_place.pop(place, None)

    def tell(self, change: Change) -> None:
        """Have everybody know whom the change may concern."""
        resource = _resource(change.key)
        for node in {None, node_of(change.before), node_of(change.after)}:
            place = resource, node
            some = tuple(self._by_place.get(place, ()))
            is_crowd = len(some) > CROWD
            for watcher in some:
                watcher.tell(change, not is_crowd)
            if is_crowd and place not in self._gathering:
                self._gathering.add(place)
                asyncio.get_running_loop().call_later(GATHERING, self._wake, place)

    def _wake(self, place: Place) -> None:
        self._gathering.discard(place)
        for watcher in self._by_place.get(place, ()):
            watcher.wake()

    def __iter__(self) -> Iterator[Watcher]:
        return iter([watcher for some in self._by_place.values() for watcher in some])


def node_of(item: Object | None) -> str | None:
    """The spec.nodeName of an object as a field selector sees it; None for no object."""
    if item is None:
        return None
    spec = item.get("spec")
    name = spec.get("nodeName") if isinstance(spec, dict) else None
    return name if isinstance(name, str) else ""


def _resource(key: str) -> str:
    """The part of a key that names the resource: /registry/pods/default/web -> pods."""
    return key.split("/", 3)[2]
