"""A copy of all objects in memory, the last changes, and those who watch. No etcd, no sockets: one thread feeds it and asks it.

A resourceVersion is etcd's revision of the last change. The revision of the copy is that of the last change that it has seen.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator

from lab.master.apiserver.watchers import Audience, Change, Object, Watcher, node_of


class TooOld(Exception):
    """The history does not reach back to the revision asked for."""


class Cache:
    """Objects by etcd key. Objects in it are never changed in place."""

    def __init__(self, history: int) -> None:
        self.revision = 0
        self._objects: dict[str, Object] = {}
        self._history: deque[Change] = deque(maxlen=history)
        self._oldest = 0
        self._audience = Audience()
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
            self._audience.tell(change)
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

    def watch(self, prefix: str, since: int, node: str | None = None) -> Watcher:
        """Everything below `prefix` that changes after revision `since`; with `node`, what is on that node or was. Raises TooOld."""
        if since < self._oldest:
            raise TooOld
        watcher = Watcher(prefix, node)
        for change in self._history:
            is_there = node is None or node in (node_of(change.before), node_of(change.after))
            if change.revision > since and change.key.startswith(prefix) and is_there:
                watcher.queue.append(change)
        self._audience.add(watcher)
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """The watcher has gone."""
        self._audience.remove(watcher)

    def end(self) -> None:
        """End every watch."""
        for watcher in self._audience:
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
