"""One HTTP/2 connection (RFC 9113) of a client of gRPC: bytes that came in, messages out, and the other way round. Pure: no socket, no clock.

gRPC puts each message behind five bytes, a flag and its length, into the data of a stream; the last header fields of the stream say how the
call ended. A call with one message and one answer is such a stream, and so is a watch, which does not end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from lab.master import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_SET_WINDOW, _SET_FRAME = 4, 5

WINDOW = (1 << 31) - 1
"""Bytes that the server may send before it hears from us: as many as the protocol allows. It is one process beside this one."""

_FIRST_WINDOW, _FIRST_FRAME = 65535, 16384
_REFILL = 1 << 30
_LAST_STREAM = (1 << 31) - 1

UNAVAILABLE, UNKNOWN = 14, 2
"""Codes of gRPC for calls that ended without one."""


class ProtocolError(ValueError):
    """What came in is not HTTP/2, or not as it should be: the connection is of no more use."""


@dataclass(frozen=True)
class Message:
    """A message of a call."""

    stream: int
    body: bytes


@dataclass(frozen=True)
class End:
    """A call is over; code 0 is success, else the text says what was wrong."""

    stream: int
    code: int
    text: str


@dataclass
class _Stream:
    """window: bytes that may be sent; waiting, last: what is still to be sent, and whether nothing follows; got: the beginning of a message."""

    window: int
    waiting: bytes = b""
    last: bool = False
    closed: bool = False
    got: bytearray = field(default_factory=bytearray)
    received: int = 0
    fields: dict[str, str] = field(default_factory=dict)


class Connection:
    """A client's side. `out` collects what is to be sent: whoever owns the socket takes it from there.

    is_going   the server takes no new calls on this connection
    """

    def __init__(self, authority: str) -> None:
        self.out = bytearray(PREFACE)
        self.is_going = False
        self._authority = authority
        self._in = bytearray()
        self._decoder = hpack.Decoder()
        self._heads: dict[str, bytes] = {}
        self._streams: dict[int, _Stream] = {}
        self._next = 1
        self._window, self._stream_window, self._frame = _FIRST_WINDOW, _FIRST_WINDOW, _FIRST_FRAME
        self._received = 0
        self._block: tuple[int, int, bytearray] | None = None
        self._frame_out(_SETTINGS, 0, 0, struct.pack("!HI", _SET_WINDOW, WINDOW))
        self._frame_out(_WINDOW, 0, 0, struct.pack("!I", WINDOW - _FIRST_WINDOW))

    def call(self, method: str, body: bytes, last: bool = True) -> int:
        """Begin a call, such as /etcdserverpb.KV/Txn, with its first message; its stream. last: no other message follows."""
        if self._next > _LAST_STREAM:
            self.is_going = True
            raise ProtocolError("this connection has had all the calls that it can have")
        number, self._next = self._next, self._next + 2
        if self._next > _LAST_STREAM:
            self.is_going = True
        if method not in self._heads:
            self._heads[method] = self._head(method)
        self._frame_out(_HEADERS, _END_HEADERS, number, self._heads[method])
        stream = self._streams[number] = _Stream(self._stream_window, struct.pack("!BI", 0, len(body)) + body, last)
        self._send(number, stream)
        return number

    def cancel(self, number: int) -> None:
        """Have no more of a call."""
        if self._streams.pop(number, None) is not None:
            self._frame_out(_RESET, 0, number, struct.pack("!I", 8))

    def feed(self, data: bytes) -> Iterator[Message | End]:
        """What these bytes bring. Raises ProtocolError."""
        self._in += data
        place = 0
        try:
            while len(self._in) - place >= 9:
                length = int.from_bytes(self._in[place : place + 3], "big")
                kind, flags, number = struct.unpack_from("!BBI", self._in, place + 3)
                if len(self._in) - place - 9 < length:
                    break
                payload = bytes(self._in[place + 9 : place + 9 + length])
                place += 9 + length
                yield from self._frame_in(kind, flags, number & 0x7FFFFFFF, payload)
        except (struct.error, hpack.HpackError, IndexError) as error:
            raise ProtocolError(f"what came is not HTTP/2: {error}") from error
        finally:
            del self._in[:place]

    def _head(self, method: str) -> bytes:
        fields = {":path": method, ":authority": self._authority, "content-type": "application/grpc", "te": "trailers"}
        # 0x83 and 0x86: `:method POST` and `:scheme http` of the static table.
        return b"\x83\x86" + b"".join(hpack.literal(name, value) for name, value in fields.items())

    def _frame_out(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        self.out += struct.pack("!HBBBI", len(payload) >> 8, len(payload) & 0xFF, kind, flags, number) + payload

    def _send(self, number: int, stream: _Stream) -> None:
        """Send what the windows have room for."""
        while stream.waiting and (room := min(self._window, stream.window, self._frame)) > 0:
            piece, stream.waiting = stream.waiting[:room], stream.waiting[room:]
            self._window -= len(piece)
            stream.window -= len(piece)
            self._frame_out(_DATA, _END_STREAM if stream.last and not stream.waiting else 0, number, piece)

    def _send_all(self) -> None:
        for number, stream in self._streams.items():
            if stream.waiting:
                self._send(number, stream)

    def _frame_in(self, kind: int, flags: int, number: int, payload: bytes) -> Iterator[Message | End]:
        if self._block is not None and kind != _CONTINUATION:
            raise ProtocolError("header fields break off")
        if kind == _DATA:
            yield from self._data(flags, number, payload)
        elif kind == _HEADERS:
            begun = _unpadded(flags, payload)
            self._block = (number, flags, bytearray(begun[5:] if flags & _PRIORITY else begun))
            yield from self._fields(flags)
        elif kind == _CONTINUATION:
            if self._block is None or self._block[0] != number:
                raise ProtocolError("header fields without a beginning")
            self._block[2].extend(payload)
            yield from self._fields(flags)
        elif kind == _RESET:
            if self._streams.pop(number, None) is not None:
                yield End(number, UNAVAILABLE, f"the call was reset, with HTTP/2's code {struct.unpack('!I', payload)[0]}")
        elif kind == _SETTINGS and not flags & _ACK:
            self._settings(payload)
        elif kind == _PING and not flags & _ACK:
            self._frame_out(_PING, _ACK, 0, payload)
        elif kind == _WINDOW:
            self._widen(number, struct.unpack("!I", payload)[0] & 0x7FFFFFFF)
        elif kind == _GOAWAY:
            yield from self._goaway(struct.unpack_from("!I", payload)[0] & 0x7FFFFFFF)

    def _goaway(self, last: int) -> Iterator[End]:
        self.is_going = True
        for number in [one for one in self._streams if one > last]:
            del self._streams[number]
            yield End(number, UNAVAILABLE, "the server ends")

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack("!HI", payload):
            if name == _SET_WINDOW:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == _SET_FRAME:
                self._frame = value
        self._frame_out(_SETTINGS, _ACK, 0, b"")
        self._send_all()

    def _widen(self, number: int, by: int) -> None:
        if number == 0:
            self._window += by
            self._send_all()
        elif number in self._streams:
            self._streams[number].window += by
            self._send(number, self._streams[number])

    def _data(self, flags: int, number: int, payload: bytes) -> Iterator[Message | End]:
        self._received += len(payload)
        if self._received > _REFILL:
            self._frame_out(_WINDOW, 0, 0, struct.pack("!I", self._received))
            self._received = 0
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.received += len(payload)
        if stream.received > _REFILL:
            self._frame_out(_WINDOW, 0, number, struct.pack("!I", stream.received))
            stream.received = 0
        stream.got += _unpadded(flags, payload)
        while len(stream.got) >= 5:
            is_packed, length = struct.unpack_from("!BI", stream.got)
            if is_packed:
                raise ProtocolError("a message is compressed, which nobody asked for")
            if len(stream.got) < 5 + length:
                break
            body = bytes(stream.got[5 : 5 + length])
            del stream.got[: 5 + length]
            yield Message(number, body)
        if flags & _END_STREAM:
            yield from self._over(number, stream)

    def _fields(self, flags: int) -> Iterator[End]:
        """A block of header fields, if it is complete."""
        if not flags & _END_HEADERS:
            return
        assert self._block is not None
        (number, begun, block), self._block = self._block, None
        fields = self._decoder.decode(bytes(block))
        stream = self._streams.get(number)
        if stream is None:
            return
        stream.fields.update(fields)
        if begun & _END_STREAM:
            yield from self._over(number, stream)

    def _over(self, number: int, stream: _Stream) -> Iterator[End]:
        del self._streams[number]
        said = stream.fields.get("grpc-status", "")
        if said.isascii() and said.isdecimal():
            yield End(number, int(said), unquote(stream.fields.get("grpc-message", "")))
        else:
            yield End(number, UNKNOWN, f"HTTP status {stream.fields.get(':status', '?')}, and no word of gRPC")


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
