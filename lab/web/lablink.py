"""The server's way to its lab: one request at a time over the control socket, in a thread, so that the pages stay alive meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.cluster import control
from lab.observe.trace import recording
from lab.observe.trace.correlate import correlate

QUICK, WALK = 30.0, 300.0
"""Seconds: for most requests, and for the steps of a scenario together."""


class LabLink:
    """Asks one lab. It does one thing at a time, so requests queue here; `busy` says what it is at, for the pages.

    changed   called whenever `busy` has changed
    """

    def __init__(self, path: Path, changed: Callable[[], None] = lambda: None) -> None:
        self._path, self._changed = path, changed
        self._lock = asyncio.Lock()
        self.busy = ""

    async def ask(
        self, request: dict[str, Any], timeout: float = QUICK, what: str = "", told: control.Tell | None = None
    ) -> tuple[dict[str, Any], str]:
        """The answer, and the text of its file if it has one. Raises LabError.

        what   shown to the pages while it takes
        told   called, in another thread, with what the lab tells meanwhile
        """
        async with self._lock:
            self._say(what)
            try:
                return await asyncio.to_thread(self._asked, request, timeout, told)
            finally:
                self._say("")

    def _say(self, what: str) -> None:
        if what != self.busy:
            self.busy = what
            self._changed()

    def _asked(self, request: dict[str, Any], timeout: float, told: control.Tell | None) -> tuple[dict[str, Any], str]:
        answer, descriptors = control.ask(self._path, request, timeout, told)
        texts = []
        for descriptor in descriptors:
            with os.fdopen(descriptor, encoding="utf-8") as file:
                texts.append(file.read())
        return answer, "".join(texts)

    async def network(self, who: str) -> int:
        """A descriptor of a machine's network namespace, which the caller closes. Raises LabError."""
        async with self._lock:
            _, descriptors = await asyncio.to_thread(control.ask, self._path, {"verb": "enter", "who": who}, QUICK)
        kept = control.KINDS.index("net")
        for number, descriptor in enumerate(descriptors):
            if number != kept:
                os.close(descriptor)
        return descriptors[kept]

    async def graph(self) -> dict[str, Any]:
        """The lab's graph, as data."""
        _, text = await self.ask({"verb": "graph"})
        found: dict[str, Any] = json.loads(text)
        return found

    async def details(self, who: str) -> dict[str, Any]:
        """What a machine looks like."""
        answer, text = await self.ask({"verb": "details", "who": who})
        return answer | {"sections": [json.loads(line) for line in text.splitlines()]}

    async def steps(self) -> dict[str, Any]:
        """The scenario's steps. Raises UsageError for a lab that has none."""
        return (await self.ask({"verb": "steps"}))[0]

    async def walk(self, step: str, again: bool, heard: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Run steps; what happened, as events, and whether all of them held. `heard`: called with the events that are told as they come."""
        loop = asyncio.get_running_loop()

        def told(message: Any) -> None:
            loop.call_soon_threadsafe(heard, message["event"])

        answer, text = await self.ask({"verb": "goto", "step": step, "again": again}, WALK, f"step {step}", told)
        return answer | {"events": [json.loads(line) for line in text.splitlines()]}

    async def trace(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a packet; its journey, as `lab trace --format json` prints it."""
        _, text = await self.ask({"verb": "trace"} | request, what="trace")
        return correlate(recording.from_json(json.loads(text))).to_json()
