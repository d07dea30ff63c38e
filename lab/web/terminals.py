"""Terminals of the page: a pseudo-terminal, `lab shell` on it, and a WebSocket to the xterm that draws it.

The page sends JSON: {"input": TEXT}, {"size": [COLUMNS, ROWS]}, {"drawn": BYTES}. The server sends the program's output as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from lab.errors import UsageError
from lab.web import requests
from lab.web.live import Window

MOST = 16
"""Terminals at a time."""
CHUNK = 1 << 14
FAREWELL = 2.0
"""Seconds that a shell has to end after its terminal has gone."""


class Terminals:
    """The open terminals of one lab."""

    def __init__(self, lab: str) -> None:
        self._lab = lab
        self._open: set[_Terminal] = set()

    def check(self) -> None:
        """Raises UsageError when there are enough."""
        if len(self._open) >= MOST:
            raise UsageError(f"{MOST} terminals are open; close one first")

    async def serve(self, page: web.WebSocketResponse, who: str) -> None:
        """A shell on machine `who`, until it ends or the page goes."""
        terminal = _Terminal(page)
        self._open.add(terminal)
        try:
            await terminal.run([sys.executable, "-m", "lab.web.tty", self._lab, who])
        finally:
            self._open.remove(terminal)


class _Terminal:
    def __init__(self, page: web.WebSocketResponse) -> None:
        self._page, self._window, self._room = page, Window(), asyncio.Event()
        self._master = -1
        self._child: asyncio.subprocess.Process | None = None

    async def run(self, argv: list[str]) -> None:
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self._resize(80, 24)
        try:
            self._child = await asyncio.create_subprocess_exec(
                *argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env={**os.environ, "TERM": "xterm-256color"}
            )
        except BaseException:
            os.close(self._master)
            raise
        finally:
            os.close(slave)
        tasks = [asyncio.ensure_future(self._output()), asyncio.ensure_future(self._input())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            os.close(self._master)  # hangs up: the kernel ends what runs on the terminal
            await self._ended()
            with contextlib.suppress(Exception):
                await self._page.close(message=b"the shell has ended")

    async def _output(self) -> None:
        """The program's output to the page, no faster than the page draws it."""
        while True:
            while self._window.full:
                self._room.clear()
                await self._room.wait()
            await _until(asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader, self._master)
            try:
                data = os.read(self._master, CHUNK)
            except BlockingIOError:
                continue
            except OSError:  # EIO: nobody has the other end open any more
                return
            if not data:
                return
            self._window.sent(len(data))
            await self._page.send_bytes(data)

    async def _input(self) -> None:
        async for message in self._page:
            if message.type is not WSMsgType.TEXT:
                return
            try:
                await self._obey(json.loads(message.data))
            except (ValueError, TypeError, AttributeError, UsageError):
                return

    async def _obey(self, order: dict[str, Any]) -> None:
        if "input" in order:
            await self._type(str(order["input"]).encode())
        elif "size" in order:
            columns, rows = order["size"]
            self._resize(*requests.size(columns, rows))
        elif "drawn" in order:
            self._window.drawn(int(order["drawn"]))
            self._room.set()

    def _resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("=HHHH", rows, columns, 0, 0))

    async def _type(self, data: bytes) -> None:
        """Hand over what was typed; a program that reads nothing makes the page wait, not the server."""
        loop = asyncio.get_running_loop()
        while data:
            try:
                data = data[os.write(self._master, data) :]
            except BlockingIOError:
                await _until(loop.add_writer, loop.remove_writer, self._master)


    async def _ended(self) -> None:
        """Wait for the shell; one that stays, because something on the terminal does not mind its end, is killed."""
        if self._child is None:
            return
        try:
            await asyncio.wait_for(self._child.wait(), FAREWELL)
        except (TimeoutError, asyncio.TimeoutError):
            _kill_children(self._child.pid)
            await self._child.wait()


def _kill_children(pid: int) -> None:
    """Not the process itself: it has to reap them."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            os.kill(int(child), signal.SIGKILL)


async def _until(add: Callable[..., None], remove: Callable[[int], object], descriptor: int) -> None:
    """Until the descriptor can be read, or written."""
    ready = asyncio.Event()
    add(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        remove(descriptor)
