"""A copy of all objects in memory, the last changes, and those who watch. No etcd, no sockets: one thread feeds it and asks it.

A resourceVersion is etcd's revision of the last change. The revision of the copy is that of the last change that it has seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
Accepts = Callable[[Object], bool]

BUFFER = 1000
"""Changes that may wait for one watcher; who falls behind further is cut off and has to watch anew, as with the real one."""


@dataclass(frozen=True)
class Change:
    """One change of one key: the object before it and after it, None where there is none."""

    revision: int
    key: str
    before: Object | None
    after: Object | None


class TooOld(Exception):
    """The history does not reach back to the revision asked for."""


class Watcher:
    """The changes below a prefix from some revision on. `queue` gets Changes, and None at the end; `on_cut` is called for who is too slow."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self.cut = False
        self.over = False
        self.on_cut: Callable[[], None] = lambda: None

    def tell(self, change: Change) -> None:
        """Queue a change, or cut the watcher off."""
        if self.cut or not change.key.startswith(self.prefix):
            return
        if self.queue.qsize() >= BUFFER:
            self.cut = True
            self.on_cut()
        else:
            self.queue.put_nowait(change)

    def end(self) -> None:
        """No more changes."""
        if not self.cut:
            self.cut = self.over = True
            self.queue.put_nowait(None)


class Cache:
    """Objects by etcd key. Objects in it are never changed in place."""

    def __init__(self, history: int) -> None:
        self.revision = 0
        self._objects: dict[str, Object] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._oldest = 0
        self._watchers: set[Watcher] = set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def get(self, key: str) -> Object | None:
        """One object."""
        return self._objects.get(key)

    def below(self, prefix: str) -> Iterator[tuple[str, Object]]:
        """The objects below a prefix, sorted by key."""
        keys = [key for key in self._objects if key.startswith(prefix)]
        for key in sorted(keys):
            yield key, self._objects[key]

    def feed(self, revision: int, changes: Iterable[tuple[str, Object | None, int]]) -> None:
        """Take over changes as (key, object or None, revision), in order; the store is at `revision` then."""
        for key, after, at in changes:
            if at <= self.revision and self._known(key, after):
                continue
            before = self._objects.pop(key, None)
            if after is not None:
                self._objects[key] = after
            if before is None and after is None:
                continue
            change = Change(at, key, before, after)
            self._remember(change)
            for watcher in list(self._watchers):
                watcher.tell(change)
        self._reach(revision)

    def replace(self, revision: int, objects: dict[str, Object]) -> None:
        """Take over a whole listing, after changes were missed: what differs becomes changes at `revision`; older history is gone."""
        self._history.clear()
        self._oldest = revision
        gone = [(key, None, revision) for key in self._objects if key not in objects]
        newer = [
            (key, item, int(item["metadata"]["resourceVersion"]))
            for key, item in objects.items()
            if self._objects.get(key) is None or self._objects[key]["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]
        ]
        self.revision = min(self.revision, revision)
        self.feed(revision, [*gone, *sorted(newer, key=lambda one: one[2])])

    def watch(self, prefix: str, since: int) -> Watcher:
        """Everything below `prefix` that changes after revision `since`. Raises TooOld."""
        if since < self._oldest:
            raise TooOld
        watcher = Watcher(prefix)
        for change in self._history:
            if change.revision > since and change.key.startswith(prefix):
                watcher.queue.put_nowait(change)
        self._watchers.add(watcher)
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """The watcher has gone."""
        self._watchers.discard(watcher)

    def end(self) -> None:
        """End every watch."""
        for watcher in self._watchers:
            watcher.end()

    @property
    def oldest(self) -> int:
        """The revision from which on every change is known."""
        return self._oldest

    def at(self, prefix: str, revision: int) -> list[tuple[str, Object]]:
        """What was below a prefix at a revision, sorted by key. Raises TooOld."""
        if revision < self._oldest:
            raise TooOld
        found = dict(self.below(prefix))
        for change in reversed(self._history):
            if change.revision <= revision:
                break
            if not change.key.startswith(prefix):
                continue
            if change.before is None:
                found.pop(change.key, None)
            else:
                found[change.key] = change.before
        return sorted(found.items())

    async def reach(self, revision: int, timeout: float) -> None:
        """Wait until the copy is at `revision`. Raises TimeoutError."""
        if self.revision >= revision:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((revision, future))
        await asyncio.wait_for(future, timeout)

    def _known(self, key: str, after: Object | None) -> bool:
        have = self._objects.get(key)
        if have is None or after is None:
            return have is None and after is None
        return bool(have["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"])

    def _remember(self, change: Change) -> None:
        if self._history.maxlen and len(self._history) == self._history.maxlen:
            self._oldest = self._history[0].revision
        self._history.append(change)

    def _reach(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        for wanted, future in self._waiting:
            if wanted <= self.revision and not future.done():
                future.set_result(None)
        self._waiting = [one for one in self._waiting if not one[1].done()]
