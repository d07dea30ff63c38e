"""Keeps the open pages up to date. While no page is open it does nothing at all."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from lab.errors import LabError, UsageError
from lab.observe import graph as model
from lab.web import live, watch
from lab.web.lablink import LabLink
from lab.web.story import Story

SECOND = 1.0
GRAPH = 2.0
"""Seconds between two looks at the graph; more when it takes long."""
SHARE = 10
"""A look at the graph may take at most one part in this many of the time."""
REST = 3
"""A look at the traffic is followed by a rest of at least this many times its length."""
SLOW = 20.0
"""Seconds after which a page that takes nothing is let go."""


class Hub:
    """The lab's picture and state, and the pages that are told of them.

    lab    the way to the lab
    door   to the watcher
    """

    def __init__(self, lab: LabLink, door: socket.socket) -> None:
        self._lab, self._door = lab, door
        self._pages: dict[web.WebSocketResponse, tuple[live.Mailbox, asyncio.Event]] = {}
        self._watched: set[str] = set()
        self._sample: live.Sample | None = None
        self._state = live.State()
        self._looking = asyncio.Lock()
        self._has_steps = True
        self.story = Story()
        self.graph: dict[str, Any] = {}
        self.revision = ""

    async def run(self) -> None:
        """Look, tell, wait, for ever."""
        graph_at = 0.0
        while True:
            if self._pages and not self._lab.busy and time.monotonic() >= graph_at:
                begun = time.monotonic()
                with contextlib.suppress(LabError):  # the next look may find it answering again
                    await self.look_at_graph()
                    await self._look_for_steps()
                graph_at = time.monotonic() + max(GRAPH, SHARE * (time.monotonic() - begun))
            begun = time.monotonic()
            if self._pages:
                await self._look_at_traffic()
            await asyncio.sleep(max(SECOND, REST * (time.monotonic() - begun)))

    async def look_at_graph(self) -> None:
        """Ask the lab for its graph; the pages are told when it is another. Raises LabError."""
        async with self._looking:
            graph = await self._lab.graph()
            revision = hashlib.sha256(json.dumps(graph, sort_keys=True).encode()).hexdigest()[:16]
            if revision == self.revision:
                return
            await self._watch(graph)
            self.graph, self.revision = graph, revision
        self.tell("graph", {"revision": revision})

    async def _look_for_steps(self) -> None:
        """They may be run by another page, or by `lab goto` in a terminal."""
        if self._has_steps:
            try:
                await self.look_at_steps()
            except UsageError:
                self._has_steps = False

    async def look_at_steps(self) -> dict[str, Any]:
        """The scenario's steps, with what is known of their last runs; the pages are told when they are others. Raises UsageError."""
        found = await self._lab.steps()
        if self.story.heard(found["steps"]):
            self.tell("steps", {"statuses": self.story.statuses})
        return found | {"events": self.story.events}

    def hear(self, event: dict[str, Any]) -> None:
        """Something has happened in a step that runs: the pages are told which, and ask for it."""
        step = self.story.hear(event)
        if step:
            self.tell("happens", {"step": step})

    async def _watch(self, graph: Mapping[str, Any]) -> None:
        """Have the watcher look at the machines that are there now."""
        drawn = model.from_data(graph)
        there = {one.name for one in drawn.machines} | {one.name for one in drawn.pods if one.ip} | ({drawn.router} if drawn.router else set())
        gone, new = sorted(self._watched - there), sorted(there - self._watched)
        if gone:
            self._door.send(json.dumps({"forget": gone}).encode())
        for begin in range(0, len(new), watch.AT_ONCE):
            await self._add(new[begin : begin + watch.AT_ONCE])
        self._watched &= there

    async def _add(self, names: list[str]) -> None:
        found: dict[str, int] = {}
        try:
            for name in names:
                with contextlib.suppress(LabError):  # it went away meanwhile, or shares its node's network
                    found[name] = await self._lab.network(name)
            socket.send_fds(self._door, [json.dumps({"watch": list(found)}).encode()], list(found.values()))
        finally:
            watch.close(found.values())
        self._watched |= set(found)

    async def _look_at_traffic(self) -> None:
        counters, rules = await asyncio.to_thread(watch.look, self._door)
        sample = live.Sample(time.monotonic(), counters, rules)
        self._state, self._sample = live.state_of(self._sample, sample), sample
        for mailbox, ready in self._pages.values():
            mailbox.state(self._state)
            ready.set()

    def tell(self, kind: str, message: Mapping[str, Any]) -> None:
        """Tell every page."""
        for mailbox, ready in self._pages.values():
            mailbox.notice(kind, message)
            ready.set()

    async def serve(self, page: web.WebSocketResponse) -> None:
        """Tell one page until it goes."""
        mailbox, ready = live.Mailbox(), asyncio.Event()
        mailbox.notice("graph", {"revision": self.revision})
        mailbox.notice("busy", {"what": self._lab.busy})
        if self.story.statuses:
            mailbox.notice("steps", {"statuses": self.story.statuses})
        if self._lab.busy and self.story.going_on:  # a page that opens, or comes back, in the middle of a step
            mailbox.notice("happens", {"step": self.story.going_on})
        mailbox.state(self._state)
        ready.set()
        self._pages[page] = (mailbox, ready)
        reader = asyncio.ensure_future(_until_closed(page))
        try:
            while not reader.done():
                for message in mailbox.take():
                    await asyncio.wait_for(page.send_json(message), SLOW)
                waiter = asyncio.ensure_future(ready.wait())
                await asyncio.wait((waiter, reader), return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                ready.clear()
        except (ConnectionError, TimeoutError, asyncio.TimeoutError, RuntimeError):
            pass  # the page is gone, or takes nothing any more
        finally:
            del self._pages[page]
            reader.cancel()
            if not self._pages:
                self._sample, self._state = None, live.State()

    async def close(self) -> None:
        """Say goodbye to every page."""
        farewells = (page.close(code=1001, message=b"the lab has ended") for page in list(self._pages))
        await asyncio.gather(*farewells, return_exceptions=True)


async def _until_closed(page: web.WebSocketResponse) -> None:
    async for _ in page:
        pass  # pages have nothing to say here
