"""Objects in etcd as JSON, below /registry, and the one watch that keeps the copy in memory up to date.

A write is acknowledged when etcd has it and the copy shows it, so whoever has written finds it in any list afterwards. While etcd is away
writes fail, and reads and watches go on from the copy.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import TypeVar

from lab.master.api import foreign
from lab.master.apiserver.cache import Cache
from lab.master.apiserver.watchers import Object
from lab.master.etcdasync import AsyncEtcd
from lab.master.etcdclient import EtcdCompacted, EtcdError, EtcdUnreachable, KeyValue

ROOT = "/registry/"
PAUSE = 0.1
"""Seconds between tries while etcd does not answer."""

PATIENCE = 10.0
"""Seconds that a write may wait for the copy to show it."""

_MOST_TOGETHER = 64
"""Writes in one transaction; etcd allows 128."""

_GATHER = 0.01
"""Seconds in which writes that go together are gathered."""

_SENT = 512
"""Texts of writes that are remembered until the watch brings them back."""

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

_T = TypeVar("_T")


class Conflict(Exception):
    """The object is no longer what it was."""


class Unavailable(Exception):
    """etcd does not answer."""


class Store:
    """Writes to etcd, and feeds `cache`."""

    def __init__(self, endpoints: list[str], cache: Cache, log: Callable[[str], None]) -> None:
        self.cache = cache
        self._etcd = AsyncEtcd(endpoints)
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lost = False
        self._seen = 0
        self._together: list[tuple[str, str, asyncio.Future[int]]] = []
        self._busy = False
        self._sent: OrderedDict[tuple[str, str], Object] = OrderedDict()

    def start(self) -> None:
        """Begin to follow etcd."""
        self._following = self._loop.create_task(self.follow())

    async def ready(self) -> None:
        """Wait for the first listing."""
        await self._ready.wait()

    @property
    def is_ready(self) -> bool:
        """Whether the copy holds anything yet."""
        return self._ready.is_set()

    async def create(self, key: str, item: Object) -> Object:
        """Write a new object; it comes back with its resourceVersion. Raises Conflict when the key is taken."""
        return await self._written(key, await self._do(self._etcd.create([(key, self._text(key, item))])))

    async def create_together(self, key: str, item: Object) -> Object:
        """As `create`, for what comes often and nobody decides by: what comes within a hundredth of a second is one transaction of etcd.

        It has one resourceVersion then. A watch that breaks off in the middle of a group, and goes on from there, misses the rest of it.
        """
        done: asyncio.Future[int] = self._loop.create_future()
        self._together.append((key, self._text(key, item), done))
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
                    revisions = await self._do(self._create_all(pairs))
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

    async def _create_all(self, pairs: list[tuple[str, str]]) -> list[int]:
        """Write these; the revision of each, 0 for one that is there already."""
        if len({key for key, _ in pairs}) == len(pairs) and (revision := await self._etcd.create(pairs)):
            return [revision] * len(pairs)
        return [await self._etcd.create([pair]) for pair in pairs] if len(pairs) > 1 else [0]

    async def replace(self, key: str, item: Object, version: str) -> Object:
        """Write an object in place of the one of that resourceVersion. Raises Conflict when there is a newer one."""
        return await self._written(key, await self._do(self._etcd.replace(key, self._text(key, item), int(version))))

    async def delete(self, key: str, version: str) -> None:
        """Delete the object of that resourceVersion. Raises Conflict when there is a newer one."""
        revision = await self._do(self._etcd.delete(key, int(version)))
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

    async def _do(self, work: Awaitable[_T]) -> _T:
        try:
            return await work
        except EtcdError as error:
            raise Unavailable(str(error)) from error

    async def _reach(self, revision: int) -> None:
        try:
            await self.cache.reach(revision, PATIENCE)
        except asyncio.TimeoutError:
            raise Unavailable("etcd took the change but does not tell of it") from None

    def _text(self, key: str, item: Object) -> str:
        """What is written of an object: without its resourceVersion, which is etcd's to say."""
        metadata = {key: value for key, value in item["metadata"].items() if key != "resourceVersion"}
        item = item | {"metadata": metadata}
        text = _ENCODER.encode(item)
        self._sent[key, text] = item
        if len(self._sent) > _SENT:
            self._sent.popitem(last=False)
        return text

    def _object(self, one: KeyValue) -> Object | None:
        """An object with its resourceVersion; None for what a stranger wrote that is none. What was written here need not be read."""
        item = self._sent.pop((one.key, one.value), None) or _read(one, self._log)
        return item if item is None else item | {"metadata": item["metadata"] | {"resourceVersion": str(one.mod_revision)}}

    async def follow(self) -> None:
        """Keep the copy up to date; never ends by itself."""
        listing = True
        while True:
            try:
                if listing:
                    await self._list()
                    listing = False
                await self._watch()
            except EtcdCompacted:
                listing = True
            except EtcdUnreachable as error:
                if not self._lost:
                    self._lost = True
                    self._log(str(error))
                await asyncio.sleep(PAUSE)
            except EtcdError as error:
                self._log(f"etcd: {error}; listing anew")
                listing = True
                await asyncio.sleep(PAUSE)

    async def _list(self) -> None:
        snapshot = await self._etcd.below(ROOT)
        objects = {one.key: item for one in snapshot.items if (item := self._object(one)) is not None}
        self._seen = snapshot.revision
        self.cache.replace(snapshot.revision, objects)
        self._ready.set()

    async def _watch(self) -> None:
        watch = await self._etcd.watch(ROOT, self._seen + 1)
        if self._lost:
            self._lost = False
            self._log("etcd answers again")
        try:
            while True:
                for message in await watch.news():
                    changes = [(one.item.key, None if one.deleted else self._object(one.item), one.item.mod_revision) for one in message.changes]
                    # A watch that has to catch up comes in parts, each of which names the newest revision of all.
                    self._seen = max(self._seen, *(at for _, _, at in changes)) if changes else max(self._seen, message.revision)
                    self.cache.feed(self._seen, changes)
        finally:
            watch.close()


def _read(one: KeyValue, log: Callable[[str], None]) -> Object | None:
    """An object as etcd has it; None for what a stranger wrote that is none."""
    try:
        item = json.loads(one.value)
        why = foreign.trouble(one.key, item)
    except (ValueError, RecursionError):
        why = "no JSON"
    if why:
        log(f"etcd has something at {one.key[:200]!r} that is {why[:200]}; it is left out")
        return None
    return item  # type: ignore[no-any-return]
