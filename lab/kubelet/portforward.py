"""port-forward: TCP connections into a pod, carried over a WebSocket. Imports aiohttp.

Two ways, told apart by the subprotocol: SPDY inside the WebSocket, which kubectl speaks since 1.31, with a pair of streams for each connection;
and the older channels, of which the Python client makes use, two for each port that the query names.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from lab.kubelet import session, spdy

TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = ("v4.channel.k8s.io", "portforward.k8s.io")

_CHUNK = 1 << 15
_TIMEOUT = 5.0

Send = Callable[[bytes], Awaitable[None]]


@dataclass
class Connection:
    """One TCP connection into the pod. `say` and `fail` are the client's streams for data and for what went wrong."""

    writer: asyncio.StreamWriter | None = None
    early: bytes = b""
    closed: bool = False

    async def take(self, data: bytes) -> None:
        """Bytes from the client."""
        if self.writer is None:
            self.early += data
            return
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    def end(self) -> None:
        """The client has nothing more to say."""
        self.closed = True
        if self.writer is not None and self.writer.can_write_eof():
            with contextlib.suppress(OSError):
                self.writer.write_eof()


async def carry(connection: Connection, address: str, port: int, send: Send) -> str:
    """Connect, and send what the pod says until it ends; returns what went wrong, or nothing."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), _TIMEOUT)
    except (OSError, asyncio.TimeoutError) as error:
        number = getattr(error, "errno", None)
        why = os.strerror(number) if number else "no answer"
        return f"error forwarding port {port} to pod {address}: failed to connect to {address}:{port}: {why}"
    connection.writer = writer
    try:
        await connection.take(connection.early)
        if connection.closed:
            connection.end()
        while data := await reader.read(_CHUNK):
            await send(data)
    except ConnectionError as error:
        return f"error forwarding port {port} to pod {address}: {error}"
    finally:
        writer.close()
    return ""


async def forward(request: web.Request, address: str) -> web.StreamResponse:
    """Serve one port-forward."""
    session.require_websocket(request, "port-forward", "KUBECTL_PORT_FORWARD_WEBSOCKETS", "1.30")
    ws = web.WebSocketResponse(protocols=(TUNNEL, *CHANNELS), max_msg_size=0)
    ready = ws.can_prepare(request)
    if not ready.ok:
        raise web.HTTPBadRequest(text="port-forward speaks WebSocket here: unable to upgrade\n")
    await ws.prepare(request)
    serving: Tunnel | Channels = Tunnel(ws, address) if ready.protocol == TUNNEL else Channels(ws, address, _ports(request))
    try:
        await serving.begin()
        async for message in ws:
            if message.type == WSMsgType.BINARY and message.data:
                await serving.take(message.data)
    except spdy.SpdyTrouble:
        await ws.close(code=1002)
    finally:
        await serving.end()
    return ws


def _ports(request: web.Request) -> list[int]:
    texts = [text for one in request.query.getall("port", []) + request.query.getall("ports", []) for text in one.split(",")]
    return [int(text) for text in texts if text.isdigit() and 0 < int(text) < 65536]


class Tunnel:
    """SPDY in a WebSocket: for each connection an error stream and a data stream with the same request ID."""

    def __init__(self, ws: web.WebSocketResponse, address: str) -> None:
        self._ws, self._address = ws, address
        self._codec = spdy.Codec()
        self._errors: dict[str, int] = {}
        self._streams: dict[int, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """The client begins."""

    async def take(self, data: bytes) -> None:
        """Bytes of the tunnelled connection."""
        for frame in self._codec.feed(data):
            await self._frame(frame)

    async def _frame(self, frame: spdy.Frame) -> None:
        if frame.kind == spdy.PING:
            await self._ws.send_bytes(spdy.ping(frame.stream))
        elif frame.kind == spdy.SYN_STREAM:
            await self._open(frame)
        elif frame.stream in self._streams:
            connection = self._streams[frame.stream]
            if frame.data and frame.kind == 0:
                await connection.take(frame.data)
            if frame.fin or frame.kind == spdy.RST_STREAM:
                connection.end()
            if frame.kind == spdy.RST_STREAM and connection.writer is not None:
                connection.writer.close()

    async def _open(self, frame: spdy.Frame) -> None:
        kind, port, pair = (frame.headers.get(name, "") for name in ("streamtype", "port", "requestid"))
        if kind not in ("error", "data") or not port.isdigit() or not 0 < int(port) < 65536:
            await self._ws.send_bytes(spdy.reset(frame.stream))
            return
        await self._ws.send_bytes(self._codec.reply(frame.stream))
        if kind == "error":
            self._errors[pair] = frame.stream
            return
        connection = self._streams[frame.stream] = Connection()
        task = asyncio.create_task(self._carry(connection, int(port), frame.stream, self._errors.pop(pair, 0)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, connection: Connection, port: int, stream: int, errors: int) -> None:
        with contextlib.suppress(ConnectionError):
            trouble = await carry(connection, self._address, port, lambda said: self._ws.send_bytes(spdy.data(stream, said)))
            if errors:
                await self._ws.send_bytes(spdy.data(errors, trouble.encode(), fin=True))
            await self._ws.send_bytes(spdy.data(stream, fin=True))
        self._streams.pop(stream, None)

    async def end(self) -> None:
        """The client has gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Channels:
    """The older way: messages begin with a channel, 2n for the data of the nth port and 2n+1 for its errors."""

    def __init__(self, ws: web.WebSocketResponse, address: str, ports: list[int]) -> None:
        self._ws, self._address, self._ports = ws, address, ports
        self._connections = [Connection() for _ in ports]
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Each channel opens with the number of its port."""
        for number, port in enumerate(self._ports):
            for channel in (2 * number, 2 * number + 1):
                await self._ws.send_bytes(bytes([channel]) + struct.pack("<H", port))
        self._tasks = [asyncio.create_task(self._carry(number, port)) for number, port in enumerate(self._ports)]

    async def _carry(self, number: int, port: int) -> None:
        with contextlib.suppress(ConnectionError):
            trouble = await carry(
                self._connections[number], self._address, port, lambda said: self._ws.send_bytes(bytes([2 * number]) + said)
            )
            if trouble:
                await self._ws.send_bytes(bytes([2 * number + 1]) + trouble.encode())
            if len(self._ports) == 1:
                await self._ws.close()

    async def take(self, data: bytes) -> None:
        """One message of the client."""
        if data[0] % 2 == 0 and data[0] // 2 < len(self._connections):
            await self._connections[data[0] // 2].take(data[1:])

    async def end(self) -> None:
        """The client has gone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
