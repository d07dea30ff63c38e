"""SPDY/3.1, as far as kubectl needs it for port-forward: frames from bytes and back. Pure.

kubectl 1.31 and later put it into a WebSocket (subprotocol SPDY/3.1+portforward.k8s.io). There is no flow control, as in the Go library on
the other side. Numbers and names are from draft 3 of the protocol.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from lab.errors import LabError

_WORDS = (
    "options", "head", "post", "put", "delete", "trace", "accept", "accept-charset", "accept-encoding", "accept-language",
    "accept-ranges", "age", "allow", "authorization", "cache-control", "connection", "content-base", "content-encoding",
    "content-language", "content-length", "content-location", "content-md5", "content-range", "content-type", "date", "etag",
    "expect", "expires", "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since",
    "last-modified", "location", "max-forwards", "pragma", "proxy-authenticate", "proxy-authorization", "range", "referer",
    "retry-after", "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via", "warning",
    "www-authenticate", "method", "get", "status",
)
_TAIL = (
    "\0\0\0\x06200 OK\0\0\0\x07version\0\0\0\x08HTTP/1.1\0\0\0\x03url\0\0\0\x06public\0\0\0\x0aset-cookie\0\0\0\x0akeep-alive\0\0\0\x06origin"
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found"
    "500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public"
    "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = b"".join(struct.pack(">I", len(word)) + word.encode() for word in _WORDS) + _TAIL.encode("latin-1")
"""What both sides' header compression begins with."""

SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY = 1, 2, 3, 6, 7
FIN = 1

MOST = 1 << 24


class SpdyTrouble(LabError):
    """What came is no SPDY."""


@dataclass(frozen=True)
class Frame:
    """One frame. `kind` 0 is data; `stream` also holds a PING's number. `fin`: the sender has nothing more to say on this stream."""

    kind: int
    stream: int
    fin: bool = False
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Codec:
    """One side of a connection: both directions' header compression has memory."""

    def __init__(self) -> None:
        self._rest = b""
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are whole with these bytes. Raises SpdyTrouble."""
        self._rest += data
        while len(self._rest) >= 8:
            first, second = struct.unpack_from(">II", self._rest)
            size = second & 0xFFFFFF
            if len(self._rest) < 8 + size:
                return
            body, self._rest = self._rest[8 : 8 + size], self._rest[8 + size :]
            frame = self._frame(first, second >> 24, body)
            if frame is not None:
                yield frame

    def _frame(self, first: int, flags: int, body: bytes) -> Frame | None:
        if not first >> 31:
            return Frame(0, first, bool(flags & FIN), body)
        kind = first & 0xFFFF
        if first >> 16 & 0x7FFF != 3:
            raise SpdyTrouble("this is not version 3 of SPDY")
        try:
            (stream,) = struct.unpack_from(">I", body) if body else (0,)
            if kind in (SYN_STREAM, SYN_REPLY):
                headers = self._headers(body[10 if kind == SYN_STREAM else 4 :])
                return Frame(kind, stream & 0x7FFFFFFF, bool(flags & FIN), b"", headers)
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyTrouble(f"a frame of kind {kind} makes no sense: {error}") from error
        return Frame(kind, stream, bool(flags & FIN), body) if kind in (RST_STREAM, PING, GOAWAY) else None

    def _headers(self, raw: bytes) -> dict[str, str]:
        block = self._inflate.decompress(raw, MOST)
        (count,) = struct.unpack_from(">I", block)
        at, texts = 4, []
        for _ in range(min(count, 1000) * 2):
            (size,) = struct.unpack_from(">I", block, at)
            texts.append(block[at + 4 : at + 4 + size].decode())
            at += 4 + size
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

    def _block(self, headers: dict[str, str]) -> bytes:
        texts = [text.encode() for pair in headers.items() for text in pair]
        block = struct.pack(">I", len(headers)) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def open(self, stream: int, headers: dict[str, str]) -> bytes:
        """SYN_STREAM: what a client begins a stream with."""
        return _control(SYN_STREAM, 0, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def reply(self, stream: int) -> bytes:
        """SYN_REPLY: the stream is accepted."""
        return _control(SYN_REPLY, 0, struct.pack(">I", stream) + self._block({}))


def data(stream: int, payload: bytes = b"", fin: bool = False) -> bytes:
    """A data frame."""
    return struct.pack(">II", stream, (FIN if fin else 0) << 24 | len(payload)) + payload


def reset(stream: int, why: int = 2) -> bytes:
    """RST_STREAM; 2: refused, 5: cancelled."""
    return _control(RST_STREAM, 0, struct.pack(">II", stream, why))


def ping(number: int) -> bytes:
    """PING; the other side sends it back."""
    return _control(PING, 0, struct.pack(">I", number))


def _control(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(body)) + body
