"""The server's life: it listens, says where, and ends with its lab."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import secrets
import signal
import socket
import time
import traceback
from collections.abc import Callable

from aiohttp import web

from lab.errors import LabError
from lab.fabric import registry, unixsocket
from lab.web import access, server
from lab.web.hub import Hub
from lab.web.lablink import LabLink
from lab.web.terminals import Terminals

FAREWELL = 0.5
"""Seconds that pages have at the end to hear of it."""


async def serve(entry: registry.Entry, port: int, language: str, door: socket.socket, tell: Callable[[dict[str, object]], None]) -> None:
    """Serve the lab's page until the lab, the watcher or the server is ended.

    port   0: any that is free
    tell   called once, with the first link
    The caller ends the process afterwards, with which the kernel hangs up on its terminals; threads that wait for the lab are not waited for.
    Raises LabError when the port cannot be had.
    """
    listening = _listen(port)
    who = access.Access(listening.getsockname()[1], lambda: secrets.token_urlsafe(32), time.monotonic)
    over = asyncio.Event()
    lab = LabLink(entry.socket, lambda: hub.tell("busy", {"what": lab.busy}))
    hub = Hub(lab, door)
    terminals = Terminals(entry.name)
    app = server.application(entry, who, hub, lab, terminals, language)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    watched = os.pidfd_open(entry.pid)
    loop.add_reader(watched, over.set)
    private = await asyncio.start_unix_server(
        lambda reader, writer: _private(reader, writer, who), sock=unixsocket.listen(entry.web_socket, socket.SOCK_STREAM, 4)
    )
    telling = asyncio.ensure_future(hub.run())
    telling.add_done_callback(functools.partial(_ended, over))
    try:
        await web.SockSite(runner, listening).start()
        tell({"url": who.link()})
        await over.wait()
    finally:
        telling.cancel()
        private.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(hub.close(), FAREWELL)
        entry.web_socket.unlink(missing_ok=True)


def _ended(over: asyncio.Event, telling: asyncio.Future[None]) -> None:
    """Without its watcher the page would show nothing new: better none, and the reason in the log."""
    error = None if telling.cancelled() else telling.exception()
    if error is not None:
        traceback.print_exception(error)
    over.set()


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((access.ADDRESS, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise LabError(f"cannot listen on {access.ADDRESS}:{port}: {getattr(error, 'strerror', None) or error}; choose another --web-port") from error
    return listening


async def _private(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, who: access.Access) -> None:
    """The lab's owner, from another terminal, asks for a new link."""
    with contextlib.suppress(ConnectionError, ValueError, asyncio.TimeoutError):
        if (await asyncio.wait_for(reader.readline(), 5.0)).strip() == b"link":
            writer.write(json.dumps({"url": who.link()}).encode() + b"\n")
            await writer.drain()
    writer.close()
