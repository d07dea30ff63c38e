"""A client of etcd v3 for asyncio: gRPC over one connection, many calls at a time. What the apiserver writes and watches with.

lab.master.etcdclient asks over etcd's JSON gateway, one call a connection, which anybody can read on the wire. But the gateway is a second
server within etcd that turns each call into one of gRPC, and back: at a thousand writes it takes etcd twice the time of the writes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

from lab.master import etcdproto, http2
from lab.master.etcdclient import TIMEOUT, Changes, EtcdCompacted, EtcdError, EtcdUnreachable, Snapshot, address_of, keep_alive


@dataclass
class _Call:
    """A call that waits for its answer. begun: the loop's time; waits: it is given up when nothing comes for long."""

    done: asyncio.Future[None]
    begun: float
    messages: list[bytes]
    waits: bool = True
    end: http2.End | None = None


class _Channel(asyncio.Protocol):
    """One connection. What is written within one turn of the loop is sent at once."""

    def __init__(self, authority: str, timeout: float) -> None:
        self._http, self._timeout = http2.Connection(authority), timeout
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, _Call] = {}
        self._transport: asyncio.Transport | None = None
        self._has_flush = False
        self._watchdog: asyncio.TimerHandle | None = None
        self.lost = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        found = transport.get_extra_info("socket")
        if found is not None:
            keep_alive(found)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """The socket has gone, and every call with it."""
        self.abort(f"the connection broke off: {error}" if error else "etcd closed the connection")

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        try:
            for event in self._http.feed(data):
                call = self._calls.get(event.stream)
                if call is None:
                    continue
                if isinstance(event, http2.End):
                    call.end = event
                    del self._calls[event.stream]
                else:
                    call.messages.append(event.body)
                if (call.end or not call.waits) and not call.done.done():
                    call.done.set_result(None)
        except http2.ProtocolError as error:
            self.abort(str(error))
        self._flush()

    @property
    def is_open(self) -> bool:
        """Whether it takes calls."""
        return not self.lost and not self._http.is_going

    def begin(self, method: str, body: bytes, waits: bool = True, last: bool = True) -> tuple[int, _Call]:
        """Send the first message of a call. waits: one answer is wanted, within the timeout. Raises EtcdUnreachable."""
        try:
            number = self._http.call(method, body, last)
        except http2.ProtocolError as error:
            raise EtcdUnreachable(str(error)) from error
        call = self._calls[number] = _Call(self._loop.create_future(), self._loop.time(), [], waits)
        if not self._has_flush:
            self._has_flush = True
            self._loop.call_soon(self._flush)
        if waits and self._watchdog is None:
            self._watchdog = self._loop.call_later(self._timeout, self._look)
        return number, call

    def give_up(self, number: int) -> None:
        """Have no more of a call."""
        self._calls.pop(number, None)
        self._http.cancel(number)
        self._flush()

    def abort(self, why: str) -> None:
        """Close it; every call ends with `why`."""
        self.lost = self.lost or why
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None
        if self._transport is not None:
            self._transport.abort()
        calls, self._calls = self._calls, {}
        for number, call in calls.items():
            call.end = call.end or http2.End(number, http2.UNAVAILABLE, why)
            if not call.done.done():
                call.done.set_result(None)

    def _flush(self) -> None:
        self._has_flush = False
        if self._transport is not None and not self.lost and (data := self._http.out()):
            self._transport.write(data)

    def _look(self) -> None:
        """Whether the oldest call has waited for too long."""
        self._watchdog = None
        oldest = next((call for call in self._calls.values() if call.waits), None)
        if oldest is None:
            return
        left = oldest.begun + self._timeout - self._loop.time()
        if left <= 0:
            self.abort(f"no answer within {self._timeout:g} s")
        else:
            self._watchdog = self._loop.call_later(left, self._look)


class AsyncEtcd:
    """Talks to one etcd cluster, from one event loop. Every method raises EtcdUnreachable without an answer, and EtcdError for a refusal.

    endpoints   URLs such as http://10.229.43.65:2379, tried in turn, beginning with the one that answered last
    timeout     seconds to connect, and for an answer
    """

    def __init__(self, endpoints: Sequence[str], timeout: float = TIMEOUT) -> None:
        self._addresses = [address_of(endpoint) for endpoint in endpoints]
        self._timeout = timeout
        self._channel: _Channel | None = None
        self._opening = asyncio.Lock()

    async def below(self, prefix: str) -> Snapshot:
        """Everything below a prefix."""
        return etcdproto.snapshot(await self._ask(etcdproto.RANGE, etcdproto.range_below(prefix)))

    async def create(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Write keys, at most 128, if none of them is there: all at one revision, which is returned; 0 if any was there."""
        return etcdproto.written(await self._ask(etcdproto.TXN, etcdproto.create(pairs)))

    async def replace(self, key: str, value: str, revision: int) -> int:
        """Write a key if its last change is of that revision. The new revision, 0 if somebody was faster."""
        return etcdproto.written(await self._ask(etcdproto.TXN, etcdproto.replace(key, value, revision)))

    async def delete(self, key: str, revision: int) -> int:
        """Delete a key if its last change is of that revision. The new revision, 0 if somebody was faster."""
        return etcdproto.written(await self._ask(etcdproto.TXN, etcdproto.delete(key, revision)))

    async def watch(self, prefix: str, start: int) -> Watch:
        """Follow what is below a prefix from a revision on. Raises EtcdCompacted as EtcdClient.watch does."""
        watch = Watch(await self._open(), prefix, start)
        try:
            await asyncio.wait_for(watch.accepted(), self._timeout)
        except asyncio.TimeoutError:
            raise EtcdUnreachable(f"etcd does not answer: no answer within {self._timeout:g} s") from None
        return watch

    async def _ask(self, method: str, body: bytes) -> bytes:
        channel = self._channel
        if channel is None or not channel.is_open:
            channel = await self._open()
        number, call = channel.begin(method, body)
        try:
            await call.done
        except asyncio.CancelledError:
            channel.give_up(number)
            raise
        _require_success(call)
        if not call.messages:
            raise EtcdError("etcd answered with nothing")
        return call.messages[0]

    async def _open(self) -> _Channel:
        async with self._opening:
            if self._channel is None or not self._channel.is_open:
                self._channel = await self._connected()
            return self._channel

    async def _connected(self) -> _Channel:
        """A channel to the first endpoint that takes one."""
        failures = []
        loop = asyncio.get_running_loop()
        for number, (host, port) in enumerate(list(self._addresses)):
            authority = f"{host}:{port}"
            opening = loop.create_connection(lambda name=authority: _Channel(name, self._timeout), host, port)  # type: ignore[misc]
            try:
                _, channel = await asyncio.wait_for(opening, self._timeout)
            except (OSError, asyncio.TimeoutError) as error:
                failures.append(f"{authority}: {error or 'it does not take the connection'}")
                continue
            self._addresses = self._addresses[number:] + self._addresses[:number]
            return channel
        raise EtcdUnreachable("etcd does not answer: " + "; ".join(failures))


class Watch:
    """A running watch. It ends with the connection, with etcd, or by `close`."""

    def __init__(self, channel: _Channel, prefix: str, start: int) -> None:
        self._channel, self._start = channel, start
        self._number, self._call = channel.begin(etcdproto.WATCH, etcdproto.watch_below(prefix, start), waits=False, last=False)
        self._first: list[Changes] = []

    async def accepted(self) -> None:
        """Until etcd has said that it watches. Raises EtcdCompacted when the start lies beyond what etcd has: its data was lost."""
        first, *self._first = await self.news()
        if self._start > first.revision + 1:
            self.close()
            raise EtcdCompacted(f"etcd is at revision {first.revision}, before {self._start}: its data is not what it was")

    async def news(self) -> list[Changes]:
        """What has come since the last time, in order; waits until there is something. Raises EtcdUnreachable when the watch has ended."""
        found, self._first = self._first, []
        call = self._call
        try:
            if not found and not call.messages:
                await call.done
            if not call.end:
                call.done = asyncio.get_running_loop().create_future()
            taken, call.messages = call.messages, []
            found += [etcdproto.changes(one) for one in taken]
        except BaseException:
            self.close()
            raise
        if not found:
            _require_success(call)
            raise EtcdUnreachable("etcd ended the watch")
        return found

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(RuntimeError):  # the loop may be closed
            self._channel.give_up(self._number)


def _require_success(call: _Call) -> None:
    end = call.end
    if end is None or end.code == 0:
        return
    if end.code == http2.UNAVAILABLE:
        raise EtcdUnreachable(f"etcd does not answer: {end.text}")
    raise EtcdError(end.text or f"etcd refused, with gRPC's code {end.code}", end.code)
