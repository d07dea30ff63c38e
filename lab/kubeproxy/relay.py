"""Carries bytes between clients and back ends, for kube-proxy's userspace mode: one TCP connection on each side, or datagrams.

Everything runs in one asyncio loop. What a side cannot take yet stays with the sender: reading pauses while more than LIMIT bytes wait.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from lab.kubeproxy.backends import Backend

LIMIT = 1 << 16
"""Bytes that wait for one side of a connection before reading from the other side pauses."""

DATAGRAM = 4096
"""v1.7's buffer for datagrams: what is longer is cut."""

MOST_CLIENTS = 16384
"""Datagrams of more clients at once, on one port, are dropped."""

DIAL_TIMEOUTS = (0.25, 0.5, 1.0, 2.0)
"""Seconds that one back end after another has for answering."""

BACKLOG = 4096

Choose = Callable[[str, bool], "Backend | None"]
"""The next back end for a client's address; True: the last one did not answer."""

Log = Callable[[str], None]
"""Takes a line for people."""


class _Side(asyncio.Protocol):
    """One side of a relayed connection. What comes in goes to `other`; an end goes there as an end of that direction only."""

    def __init__(self, other: _Side | None = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=LIMIT)
        # Until both sides are there. Not at once: Python 3.11.2's asyncio begins to read right after this call, paused or not.
        asyncio.get_running_loop().call_soon(self.transport.pause_reading)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """The other direction goes on; with both at their end, the connection is over."""
        self.ended = True
        if self.other is None or self.other.transport is None:
            return False
        if self.other.transport.can_write_eof() and not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return not self.other.ended

    def pause_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        other = self.other
        if other is not None and other.transport is not None and not other.transport.is_closing():
            # An orderly end lets the other side have what still waits for it; a reset is passed on as one.
            other.transport.abort() if error else other.transport.close()


class _Client(_Side):
    """The side of a client: looks for a back end as soon as it is there."""

    def __init__(self, proxy: StreamProxy) -> None:
        super().__init__()
        self.proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.proxy.clients.add(self)
        task = asyncio.get_running_loop().create_task(self._connect())
        self.proxy.dials.add(task)
        task.add_done_callback(self.proxy.dials.discard)

    def connection_lost(self, error: Exception | None) -> None:
        self.proxy.clients.discard(self)
        super().connection_lost(error)

    async def _connect(self) -> None:
        assert self.transport is not None
        peer = self.transport.get_extra_info("peername")
        other = await self.proxy.dial(peer[0], self) if peer else None
        if other is None or other.transport is None:
            self.transport.close()
            return
        self.other = other
        if self.transport.is_closing():
            other.transport.close()
            return
        self.transport.resume_reading()
        other.transport.resume_reading()


class StreamProxy:
    """Relays the connections of one service port. Made by `open`, in the loop's thread."""

    def __init__(self, name: str, choose: Choose, log: Log = lambda text: None) -> None:
        self.name, self.choose, self.log = name, choose, log
        self.clients: set[_Client] = set()
        self.dials: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def open(self, listener: socket.socket) -> None:
        """Accept connections on a bound socket."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Client(self), sock=listener, backlog=BACKLOG)

    async def dial(self, client: str, near: _Side) -> _Side | None:
        """The connection to a back end: the next one, and when it does not answer the next, four times."""
        loop = asyncio.get_running_loop()
        for attempt, timeout in enumerate(DIAL_TIMEOUTS):
            backend = self.choose(client, attempt > 0)
            if backend is None:
                self.log(f"Failed to connect to balancer: missing endpoints for {self.name}")
                return None
            try:
                made = await _connected(backend, timeout)
                _, side = await loop.create_connection(lambda: _Side(near), sock=made)
            except (OSError, asyncio.TimeoutError) as error:
                self.log(f"Dial failed: {backend.text}: {error or 'no answer in time'}")
                continue
            return side
        self.log("Failed to connect to balancer: failed to connect to an endpoint.")
        return None

    def close(self) -> None:
        """Accept no more; connections go on until they end."""
        if self._server is not None:
            self._server.close()

    def abort(self) -> None:
        """End all connections as well."""
        self.close()
        for task in self.dials:
            task.cancel()
        for client in list(self.clients):
            if client.transport is not None:
                client.transport.abort()


async def _connected(backend: Backend, timeout: float) -> socket.socket:
    """A socket that is connected to a back end. Raises OSError, asyncio.TimeoutError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (str(backend.ip), backend.port)), timeout)
    except asyncio.TimeoutError:
        try:
            made.getpeername()  # it did answer in time: this loop was too busy to notice
        except OSError:
            made.close()
            raise asyncio.TimeoutError from None
    except BaseException:
        made.close()
        raise
    return made


class _Answers(asyncio.DatagramProtocol):
    """The socket towards a back end that stands for one client."""

    def __init__(self, proxy: DatagramProxy, client: tuple[str, int]) -> None:
        self.proxy, self.client = proxy, client
        self.transport: asyncio.DatagramTransport | None = None
        self.deadline = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: object) -> None:
        self.proxy.answer(self, data)

    def error_received(self, error: Exception) -> None:
        """A back end that refuses: the next datagram of this client goes to the next one."""
        self.proxy.drop(self)


class DatagramProxy(asyncio.DatagramProtocol):
    """Relays the datagrams of one service port: a socket of its own for every client, until nothing came either way for `idle` seconds."""

    def __init__(self, name: str, choose: Choose, idle: float, log: Log = lambda text: None) -> None:
        self.name, self.choose, self.idle, self.log = name, choose, idle, log
        self.clients: dict[tuple[str, int], _Answers | None] = {}
        self._waiting: dict[tuple[str, int], list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, listener: socket.socket) -> None:
        """Answer at a bound socket."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=listener)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's: the socket is in the loop."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        """asyncio's: a datagram of a client."""
        data = data[:DATAGRAM]
        known = self.clients.get(client)
        if known is not None and known.transport is not None:
            self._touch(known)
            _send(known.transport, data)
        elif client in self.clients:
            if len(self._waiting[client]) < 16:
                self._waiting[client].append(data)
        elif len(self.clients) < MOST_CLIENTS:
            self.clients[client], self._waiting[client] = None, [data]
            task = asyncio.get_running_loop().create_task(self._connect(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self, client: tuple[str, int]) -> None:
        """A socket for the client, and what it sent meanwhile."""
        loop = asyncio.get_running_loop()
        for attempt in range(len(DIAL_TIMEOUTS)):
            backend = self.choose(client[0], attempt > 0)
            if backend is None:
                self.log(f"Failed to connect to balancer: missing endpoints for {self.name}")
                break
            try:
                _, made = await loop.create_datagram_endpoint(lambda: _Answers(self, client), remote_addr=(str(backend.ip), backend.port))
            except OSError as error:
                self.log(f"Dial failed: {backend.text}: {error}")
                continue
            self.clients[client] = made
            self._touch(made)
            self._expire(made)
            assert made.transport is not None
            for data in self._waiting.pop(client):
                _send(made.transport, data)
            return
        del self.clients[client], self._waiting[client]

    def answer(self, which: _Answers, data: bytes) -> None:
        """Pass a back end's datagram on to its client."""
        self._touch(which)
        if self._transport is not None and not self._transport.is_closing():
            _send(self._transport, data[:DATAGRAM], which.client)

    def drop(self, which: _Answers) -> None:
        """Close a client's socket; with its next datagram it is a new client."""
        if self.clients.get(which.client) is which:
            del self.clients[which.client]
        if which.transport is not None:
            which.transport.close()

    def _touch(self, which: _Answers) -> None:
        which.deadline = asyncio.get_running_loop().time() + self.idle

    def _expire(self, which: _Answers) -> None:
        """Close a client's socket when it has been idle, or look again when it can be."""
        loop = asyncio.get_running_loop()
        if loop.time() >= which.deadline:
            self.drop(which)
        else:
            loop.call_at(which.deadline, self._expire, which)

    def close(self) -> None:
        """Take no more datagrams."""
        if self._transport is not None:
            self._transport.close()
        for known in list(self.clients.values()):
            if known is not None:
                self.drop(known)

    def abort(self) -> None:
        """The same: datagrams have no connection to go on with."""
        self.close()
        for task in self._tasks:
            task.cancel()


def _send(transport: asyncio.DatagramTransport, data: bytes, address: tuple[str, int] | None = None) -> None:
    """Send, or drop when the socket has not got rid of earlier ones."""
    waiting: int = cast(Any, transport).get_write_buffer_size()  # its type's stub lacks it
    if not transport.is_closing() and waiting < LIMIT:
        transport.sendto(data, address)
