"""lab.kubeproxy.relay on loopback: streams end to end, back ends that do not answer, datagrams."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import resource
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import IPv4Address

import pytest

from lab.kubeproxy import relay
from lab.kubeproxy.backends import Backend
from lab.kubeproxy.relay import DatagramProxy, StreamProxy
from tests.waiting import PATIENCE

LOCAL = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def _bound(kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.setblocking(False)
    made.bind((LOCAL, 0))
    return made


def _backend(port: int) -> Backend:
    return Backend(IPv4Address(LOCAL), port)


def _refusing() -> Backend:
    with _bound() as gone:
        return _backend(gone.getsockname()[1])


async def _serve(handler: Handler) -> tuple[asyncio.Server, Backend]:
    server = await asyncio.start_server(handler, LOCAL, 0, backlog=4096)
    return server, _backend(server.sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def _proxied(*backends: Backend | None) -> AsyncIterator[tuple[StreamProxy, int, list[bool]]]:
    """A proxy that takes these back ends in turn; its port; and what it asked the balancer."""
    asked: list[bool] = []

    def choose(client: str, again: bool) -> Backend | None:
        asked.append(again)
        return backends[(len(asked) - 1) % len(backends)]

    proxy, listener = StreamProxy("default/web:", choose), _bound()
    await proxy.open(listener)
    try:
        yield proxy, listener.getsockname()[1], asked
    finally:
        proxy.abort()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer only when the other side has ended its direction."""
    writer.write(await reader.read())
    writer.close()


async def _said(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(LOCAL, port)
    writer.write(words)
    writer.write_eof()
    got = await reader.read()
    writer.close()
    return got


def _run(body: Awaitable[None]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(body, PATIENCE)

    asyncio.run(limited())


def test_an_end_of_one_direction_is_passed_on_and_the_other_goes_on() -> None:
    async def body() -> None:
        server, backend = await _serve(_echo)
        async with _proxied(backend) as (_, port, asked), server:
            assert await _said(port, b"hello") == b"hello"
            assert asked == [False]

    _run(body())


def test_megabytes_both_ways_are_the_same_bytes() -> None:
    data = os.urandom(3 << 20)

    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(50000):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async def body() -> None:
        server, backend = await _serve(both)
        async with _proxied(backend) as (_, port, _), server:
            reader, writer = await asyncio.open_connection(LOCAL, port)

            async def send() -> None:
                writer.write(data)
                await writer.drain()
                writer.write_eof()

            sending = asyncio.create_task(send())
            got = await reader.read()
            await sending
            writer.close()
            assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()

    _run(body())


def test_a_client_that_does_not_read_stops_the_back_end() -> None:
    """The back end cannot get rid of more than what kernel buffers and LIMIT hold."""
    sent = 0
    stuck = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while True:
                writer.write(b"x" * 65536)
                try:
                    await asyncio.wait_for(writer.drain(), 0.3)
                except asyncio.TimeoutError:
                    stuck.set()
                    return
                sent += 65536

    async def body() -> None:
        server, backend = await _serve(flood)
        async with _proxied(backend) as (proxy, port, _), server:
            _, writer = await asyncio.open_connection(LOCAL, port)
            await stuck.wait()
            waiting = [one.transport.get_write_buffer_size() for one in proxy.clients if one.transport]
            assert waiting and max(waiting) < 8 * relay.LIMIT
            writer.close()

    _run(body())


def test_the_next_back_end_is_dialled_when_one_refuses() -> None:
    async def body() -> None:
        server, backend = await _serve(_echo)
        async with _proxied(_refusing(), _refusing(), backend) as (_, port, asked), server:
            assert await _said(port, b"hello") == b"hello"
            assert asked == [False, True, True]

    _run(body())


def test_the_next_back_end_is_dialled_when_one_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "DIAL_TIMEOUTS", (0.05, 5.0))

    async def body() -> None:
        server, backend = await _serve(_echo)
        with _bound() as mute, contextlib.ExitStack() as stack:
            mute.listen(0)
            for _ in range(4):  # its queue is full: what comes now is not answered
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(mute.getsockname())
            async with _proxied(_backend(mute.getsockname()[1]), backend) as (_, port, asked), server:
                assert await _said(port, b"hello") == b"hello"
                assert asked == [False, True]

    _run(body())


@pytest.mark.parametrize("backends, times", [((None,), 1), ("refusing", 4)])
def test_without_anybody_who_answers_the_connection_is_accepted_and_closed(backends: tuple[None] | str, times: int) -> None:
    async def body() -> None:
        async with _proxied(*(backends if isinstance(backends, tuple) else (_refusing(),))) as (_, port, asked):
            reader, writer = await asyncio.open_connection(LOCAL, port)
            assert await reader.read() == b""
            assert len(asked) == times
            writer.close()

    _run(body())


def test_a_back_end_that_resets_resets_the_client() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def body() -> None:
        server, backend = await _serve(reset)
        async with _proxied(backend) as (proxy, port, _), server:
            _, writer = await asyncio.open_connection(LOCAL, port)
            writer.write(b"x")
            while not proxy.clients:
                await asyncio.sleep(0.001)
            while proxy.clients:  # an orderly end would leave the client's direction open
                await asyncio.sleep(0.001)
            writer.close()

    _run(body())


def test_closing_ends_the_accepting_and_not_the_connections() -> None:
    async def body() -> None:
        server, backend = await _serve(_echo)
        async with _proxied(backend) as (proxy, port, _), server:
            reader, writer = await asyncio.open_connection(LOCAL, port)
            writer.write(b"still ")
            while not proxy.clients:
                await asyncio.sleep(0.001)
            proxy.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(LOCAL, port)
            writer.write(b"here")
            writer.write_eof()
            assert await reader.read() == b"still here"
            writer.close()

    _run(body())


def test_two_thousand_connections_at_once() -> None:
    async def body() -> None:
        server, backend = await _serve(_echo)
        async with _proxied(backend) as (proxy, port, _), server:
            opened = [await asyncio.open_connection(LOCAL, port) for _ in range(2000)]
            while len(proxy.clients) < len(opened):
                await asyncio.sleep(0.001)
            for number, (_, writer) in enumerate(opened):
                writer.write(str(number).encode())
                writer.write_eof()
            assert [await reader.read() for reader, _ in opened] == [str(number).encode() for number in range(len(opened))]
            for _, writer in opened:
                writer.close()
            while proxy.clients:
                await asyncio.sleep(0.001)

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        _run(body())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class _Datagrams(asyncio.DatagramProtocol):
    """A back end that answers, or a client that collects."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer, self.got = answer, asyncio.Queue[tuple[bytes, object]]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.got.put_nowait((data, address))
        if self.answer:
            self.transport.sendto(self.answer + data, address)  # type: ignore[attr-defined]


def test_datagrams_go_there_and_back_and_an_idle_client_is_forgotten() -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        ends = []
        for name in (b"a:", b"b:"):
            _, protocol = await loop.create_datagram_endpoint(lambda name=name: _Datagrams(name), local_addr=(LOCAL, 0))
            ends.append(protocol)
        backends = [_backend(one.transport.get_extra_info("sockname")[1]) for one in ends]
        turns = iter([backends[0], backends[1], backends[0]])
        proxy, listener = DatagramProxy("default/dns:", lambda client, again: next(turns), idle=0.2), _bound(socket.SOCK_DGRAM)
        await proxy.open(listener)
        transport, client = await loop.create_datagram_endpoint(_Datagrams, remote_addr=listener.getsockname())
        transport.sendto(b"1")
        assert (await client.got.get())[0] == b"a:1"
        transport.sendto(b"2" * 5000)
        assert (await client.got.get())[0] == (b"a:" + b"2" * 4096)[:4096]
        (_, first), (_, second) = await ends[0].got.get(), await ends[0].got.get()
        assert first == second, "one socket stands for the client"
        while proxy.clients:
            await asyncio.sleep(0.001)
        transport.sendto(b"3")
        assert (await client.got.get())[0] == b"b:3", "a new client"
        proxy.abort()
        transport.close()
        for one in ends:
            one.transport.close()
        await asyncio.sleep(0)

    _run(body())


def test_datagrams_without_a_back_end_are_dropped() -> None:
    async def body() -> None:
        proxy, listener = DatagramProxy("default/dns:", lambda client, again: None, idle=0.2), _bound(socket.SOCK_DGRAM)
        await proxy.open(listener)
        proxy.datagram_received(b"1", (LOCAL, 9))
        proxy.datagram_received(b"2", (LOCAL, 9))
        while proxy.clients:
            await asyncio.sleep(0)
        proxy.abort()
        await asyncio.sleep(0)

    _run(body())
