"""Objects in etcd as JSON, below /registry, and the one watch that keeps the copy in memory up to date.

A write is acknowledged when etcd has it and the copy shows it, so whoever has written finds it in any list afterwards. While etcd is away
writes fail, and reads and watches go on from the copy.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import threading
from collections.abc import Callable
from typing import TypeVar

from lab.master.api import foreign
from lab.master.apiserver.cache import Cache
from lab.master.apiserver.watchers import Object
from lab.master.etcdclient import Change, EtcdClient, EtcdCompacted, EtcdError, EtcdUnreachable, KeyValue

ROOT = "/registry/"
PAUSE = 0.1
"""Seconds between tries while etcd does not answer."""

PATIENCE = 10.0
"""Seconds that a write may wait for the copy to show it."""

_MOST_TOGETHER = 64
"""Writes in one transaction; etcd allows 128."""

_GATHER = 0.01
"""Seconds in which writes that go together are gathered."""

_T = TypeVar("_T")


class Conflict(Exception):
    """The object is no longer what it was."""


class Unavailable(Exception):
    """etcd does not answer."""


class Store:
    """Writes to etcd, and feeds `cache`."""

    def __init__(self, endpoints: list[str], cache: Cache, log: Callable[[str], None]) -> None:
        self.cache = cache
        self._client = EtcdClient(endpoints)
        self._endpoints = endpoints
        self._log = log
        self._pool = concurrent.futures.ThreadPoolExecutor(8, "etcd")
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lost = False
        self._together: list[tuple[str, str, asyncio.Future[int]]] = []
        self._busy = False

    def start(self) -> None:
        """Begin to follow etcd, in a thread."""
        threading.Thread(target=self._follow, name="etcd-watch", daemon=True).start()

    async def ready(self) -> None:
        """Wait for the first listing."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether the copy holds anything yet."""
        return self._ready.is_set()

    async def create(self, key: str, item: Object) -> Object:
        """Write a new object; it comes back with its resourceVersion. Raises Conflict when the key is taken."""
        return await self._written(key, await self._do(lambda: self._client.create(key, _text(item))))

    async def create_together(self, key: str, item: Object) -> Object:
        """As `create`, for what comes often and nobody decides by: what comes within a hundredth of a second is one transaction of etcd.

        It has one resourceVersion then. A watch that breaks off in the middle of a group, and goes on from there, misses the rest of it.
        """
        done: asyncio.Future[int] = self._loop.create_future()
        self._together.append((key, _text(item), done))
        if not self._busy:
            self._busy = True
            self._writing = self._loop.create_task(self._write_together())
        return await self._written(key, await done)

    async def _write_together(self) -> None:
        try:
            while self._together:
                await asyncio.sleep(_GATHER)
                some, self._together = self._together[:_MOST_TOGETHER], self._together[_MOST_TOGETHER:]
                pairs = [(key, text) for key, text, _ in some]
                try:
                    revisions = await self._do(functools.partial(self._create_all, pairs))
                except Unavailable as error:
                    for _, _, done in some:
                        if not done.done():
                            done.set_exception(Unavailable(str(error)))
                    continue
                for (_, _, done), revision in zip(some, revisions, strict=True):
                    if not done.done():  # the client may have gone
                        done.set_result(revision)
        finally:
            self._busy = False

    def _create_all(self, pairs: list[tuple[str, str]]) -> list[int]:
        """Write these; the revision of each, 0 for one that is there already. Runs in a thread of the pool."""
        if len(pairs) > 1 and len({key for key, _ in pairs}) == len(pairs) and (revision := self._client.create_all(pairs)):
            return [revision] * len(pairs)
        return [self._client.create(key, text) for key, text in pairs]

    async def replace(self, key: str, item: Object, version: str) -> Object:
        """Write an object in place of the one of that resourceVersion. Raises Conflict when there is a newer one."""
        return await self._written(key, await self._do(lambda: self._client.replace(key, _text(item), int(version))))

    async def delete(self, key: str, version: str) -> None:
        """Delete the object of that resourceVersion. Raises Conflict when there is a newer one."""
        revision = await self._do(lambda: self._client.delete_unchanged(key, int(version)))
        if not revision:
            raise Conflict
        await self._reach(revision)

    async def _written(self, key: str, revision: int) -> Object:
        if not revision:
            raise Conflict
        await self._reach(revision)
        item = self.cache.get(key)
        if item is None:
            raise Conflict  # deleted again at once
        return item

    async def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return await self._loop.run_in_executor(self._pool, work)
        except EtcdError as error:
            raise Unavailable(str(error)) from error

    async def _reach(self, revision: int) -> None:
        try:
            await self.cache.reach(revision, PATIENCE)
        except asyncio.TimeoutError:
            raise Unavailable("etcd took the change but does not tell of it") from None

    def _follow(self) -> None:
        """Runs in a thread of its own until the process ends."""
        client = EtcdClient(self._endpoints)
        pause, listing = threading.Event(), True
        while True:
            try:
                if listing:
                    self._list(client)
                    listing = False
                self._watch(client)
            except EtcdCompacted:
                listing = True
            except EtcdUnreachable as error:
                if not self._lost:
                    self._lost = True
                    self._log(str(error))
                pause.wait(PAUSE)
            except EtcdError as error:
                self._log(f"etcd: {error}; listing anew")
                listing = True
                pause.wait(PAUSE)
            except RuntimeError:
                return  # the loop is closed: this process ends

    def _list(self, client: EtcdClient) -> None:
        snapshot = client.range(ROOT, prefix=True)
        objects = {one.key: item for one in snapshot.items if (item := _object(one, self._log)) is not None}

        def take() -> None:
            self.cache.replace(snapshot.revision, objects)
            self._ready.set()

        self._seen = snapshot.revision
        self._loop.call_soon_threadsafe(take)

    def _watch(self, client: EtcdClient) -> None:
        watch = client.watch(ROOT, prefix=True, start=self._seen + 1)
        if self._lost:
            self._lost = False
            self._log("etcd answers again")
        try:
            for message in watch:
                changes = [(change.item.key, _after(change, self._log), change.item.mod_revision) for change in message.changes]
                self._seen = max(self._seen, message.revision, *(at for _, _, at in changes)) if changes else max(self._seen, message.revision)
                self._loop.call_soon_threadsafe(self.cache.feed, self._seen, changes)
        finally:
            watch.close()


def _text(item: Object) -> str:
    """Without its resourceVersion, which is etcd's to say."""
    metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
    return json.dumps(item | {"metadata": metadata}, separators=(",", ":"), ensure_ascii=False)


def _object(one: KeyValue, log: Callable[[str], None]) -> Object | None:
    """An object with its resourceVersion; None for what a stranger wrote that is none."""
    try:
        item = json.loads(one.value)
        why = foreign.trouble(one.key, item)
    except (ValueError, RecursionError):
        why = "no JSON"
    if why:
        log(f"etcd has something at {one.key[:200]!r} that is {why[:200]}; it is left out")
        return None
    item["metadata"]["resourceVersion"] = str(one.mod_revision)
    return item  # type: ignore[no-any-return]


def _after(change: Change, log: Callable[[str], None]) -> Object | None:
    return None if change.deleted else _object(change.item, log)
