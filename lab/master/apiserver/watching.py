"""The stream of a watch: what is there, what changes, bookmarks in between, and its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiohttp import web

from lab.master.api import status
from lab.master.apiserver import answers
from lab.master.apiserver.answers import Form
from lab.master.apiserver.cache import Cache, TooOld
from lab.master.apiserver.paths import Target
from lab.master.apiserver.watchers import Accepts, Change, Object, Watcher

BOOKMARKS = 60.0
"""Seconds between bookmarks."""

LONGEST = (1800, 3600)
"""Seconds, by chance, of a watch whose client names none."""

_INITIAL_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True)
class Wish:
    """What a client wants to see.

    since      the revision after which changes are wanted; None for what is there now and every change afterwards
    initial    whether what is there now is wanted first, with a bookmark behind it
    node       where `accepts` demands a spec.nodeName: that
    """

    target: Target
    form: Form
    accepts: Accepts
    since: int | None
    bookmarks: bool = False
    initial: bool = False
    timeout: float = 0.0
    node: str | None = None


async def serve(request: web.BaseRequest, cache: Cache, wish: Wish) -> web.StreamResponse:
    """Answer a watch until its time is over, the client is gone or too slow, or the server ends."""
    response = web.StreamResponse(headers={"Content-Type": answers.JSON})
    prefix = wish.target.resource.key("", wish.target.namespace)
    try:
        watcher = cache.watch(prefix, cache.revision if wish.since is None else wish.since, wish.node)
    except TooOld:
        await response.prepare(request)
        old = status.gone(f"too old resource version: {wish.since} ({cache.oldest})")
        await response.write(answers.document({"type": "ERROR", "object": old}) + b"\n")
        return response
    begin = list(cache.below(prefix)) if wish.since is None or wish.initial else []
    revision = cache.revision
    watcher.on_cut = lambda: request.transport.abort() if request.transport is not None and not watcher.over else None
    try:
        await response.prepare(request)
        await _run(response, cache, watcher, wish, begin, revision)
    except (ConnectionError, asyncio.CancelledError):
        pass  # the client has gone
    finally:
        cache.forget(watcher)
    return response


async def _run(
    response: web.StreamResponse, cache: Cache, watcher: Watcher, wish: Wish, begin: list[tuple[str, Object]], revision: int
) -> None:
    loop = asyncio.get_running_loop()
    headers = True
    for _, item in begin:
        if wish.accepts(item):
            await response.write(answers.event("ADDED", item, wish.target, wish.form, headers))
            headers = False
    if wish.initial:
        await response.write(_bookmark(wish, revision, _INITIAL_END))
    end = loop.time() + (wish.timeout or random.uniform(*LONGEST))
    mark = loop.time() + BOOKMARKS
    while True:
        await watcher.wait((min(mark, end) if wish.bookmarks else end) - loop.time())
        lines: list[bytes] = []
        while watcher.queue:
            change = watcher.queue.popleft()
            if change is None:
                await _write(response, lines)
                return
            for kind, item in seen(change, wish.accepts):
                lines.append(_line(change, kind, item, wish, headers))
                headers = False
        now = loop.time()
        if wish.bookmarks and now >= min(mark, end):
            lines.append(_bookmark(wish, cache.revision, {}))
            mark = now + BOOKMARKS
        await _write(response, lines)
        if now >= end:
            return


async def _write(response: web.StreamResponse, lines: list[bytes]) -> None:
    if lines:
        await response.write(b"".join(lines))


def _line(change: Change, kind: str, item: Object, wish: Wish, headers: bool) -> bytes:
    """A line of the stream. What many clients want alike, plain objects, is made once."""
    if wish.form.kind:
        return answers.event(kind, item, wish.target, wish.form, headers)
    place = (kind, wish.target.version)
    if place not in change.lines:
        change.lines[place] = answers.event(kind, item, wish.target, wish.form, headers)
    return change.lines[place]


def seen(change: Change, accepts: Callable[[Object], bool]) -> Iterator[tuple[str, Object]]:
    """What somebody sees of a change who looks through a selector: at most one event."""
    before = change.before is not None and accepts(change.before)
    after = change.after is not None and accepts(change.after)
    if after and change.after is not None:
        yield ("MODIFIED" if before else "ADDED"), change.after
    elif before and change.before is not None:
        gone = change.before if change.after is None else change.after
        yield "DELETED", gone | {"metadata": gone["metadata"] | {"resourceVersion": str(change.revision)}}


def _bookmark(wish: Wish, revision: int, annotations: dict[str, str]) -> bytes:
    metadata: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    item = {"kind": wish.target.resource.kind, "apiVersion": wish.target.version, "metadata": metadata}
    return answers.event("BOOKMARK", item, wish.target, wish.form, False)
