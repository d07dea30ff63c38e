"""One connection of a client of gRPC: bytes that came in, messages out, and the other way round. HTTP/2 is h2's; no socket here, no clock.

gRPC puts each message behind five bytes, a flag and its length, into the data of a stream; the last header fields of the stream say how the
call ended. A call with one message and one answer is such a stream, and so is a watch, which does not end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

WINDOW = (1 << 31) - 1
"""Bytes that the server may send before it hears from us: as many as the protocol allows. It is one process beside this one."""

_FIRST_WINDOW = 65535
_HEADER = struct.Struct("!BI")

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
    """waiting, last: what is still to be sent, and whether nothing follows; got: the beginning of a message; fields: the header's and the end's."""

    waiting: bytes = b""
    last: bool = False
    got: bytearray = field(default_factory=bytearray)
    fields: dict[str, str] = field(default_factory=dict)


class Connection:
    """A client's side.

    is_going   the server takes no new calls on this connection
    """

    def __init__(self, authority: str) -> None:
        config = h2.config.H2Configuration(
            header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False, validate_inbound_headers=False
        )
        self.is_going = False
        self._authority = authority
        self._streams: dict[int, _Stream] = {}
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()
        self._http.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW})
        self._http.increment_flow_control_window(WINDOW - _FIRST_WINDOW)

    def out(self) -> bytes:
        """What is to be sent now; it is forgotten here."""
        return self._http.data_to_send()

    def call(self, method: str, body: bytes, last: bool = True) -> int:
        """Begin a call, such as /etcdserverpb.KV/Txn, with its first message; its stream. last: no other message follows."""
        fields = {
            ":method": "POST", ":scheme": "http", ":path": method, ":authority": self._authority,
            "content-type": "application/grpc", "te": "trailers",
        }  # fmt: skip
        try:
            number = self._http.get_next_available_stream_id()
            self._http.send_headers(number, fields.items())
        except (h2.exceptions.NoAvailableStreamIDError, h2.exceptions.ProtocolError) as error:
            self.is_going = True
            raise ProtocolError(f"this connection takes no more calls: {error}") from error
        stream = self._streams[number] = _Stream(_HEADER.pack(0, len(body)) + body, last)
        self._send(number, stream)
        return number

    def cancel(self, number: int) -> None:
        """Have no more of a call."""
        if self._streams.pop(number, None) is not None:
            self._http.reset_stream(number, h2.errors.ErrorCodes.CANCEL)

    def feed(self, data: bytes) -> Iterator[Message | End]:
        """What these bytes bring. Raises ProtocolError."""
        try:
            for event in self._http.receive_data(data):
                yield from self._take(event)
        except h2.exceptions.ProtocolError as error:
            raise ProtocolError(f"what came is not HTTP/2: {error}") from error

    def _send(self, number: int, stream: _Stream) -> None:
        """Send what the windows have room for."""
        while stream.waiting and (room := min(self._http.local_flow_control_window(number), self._http.max_outbound_frame_size)) > 0:
            piece, stream.waiting = stream.waiting[:room], stream.waiting[room:]
            self._http.send_data(number, piece, end_stream=stream.last and not stream.waiting)

    def _take(self, event: h2.events.Event) -> Iterator[Message | End]:
        if isinstance(event, h2.events.ConnectionTerminated):
            yield from self._goaway(event.last_stream_id)
        elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
            for number, waiting in self._streams.items():
                self._send(number, waiting)
        else:
            number = getattr(event, "stream_id", None) or 0
            stream = self._streams.get(number)
            if isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, number)
            if stream is not None:
                yield from self._told(number, stream, event)

    def _told(self, number: int, stream: _Stream, event: h2.events.Event) -> Iterator[Message | End]:
        """What an event says about a call."""
        if isinstance(event, h2.events.DataReceived):
            yield from _messages(number, stream, event.data)
        elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            stream.fields.update((str(name), str(value)) for name, value in event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            del self._streams[number]
            yield _end(number, stream.fields)
        elif isinstance(event, h2.events.StreamReset):
            del self._streams[number]
            yield End(number, UNAVAILABLE, f"the call was reset, with HTTP/2's code {event.error_code}")

    def _goaway(self, last: int | None) -> Iterator[End]:
        self.is_going = True
        for number in [one for one in self._streams if one > (last or 0)]:
            del self._streams[number]
            yield End(number, UNAVAILABLE, "the server ends")


def _messages(number: int, stream: _Stream, data: bytes) -> Iterator[Message]:
    """The messages that are complete with this piece of data."""
    stream.got += data
    while len(stream.got) >= _HEADER.size:
        is_packed, length = _HEADER.unpack_from(stream.got)
        if is_packed:
            raise ProtocolError("a message is compressed, which nobody asked for")
        end = _HEADER.size + length
        if len(stream.got) < end:
            break
        body = bytes(stream.got[_HEADER.size : end])
        del stream.got[:end]
        yield Message(number, body)


def _end(number: int, fields: dict[str, str]) -> End:
    said = fields.get("grpc-status", "")
    if said.isascii() and said.isdecimal():
        return End(number, int(said), unquote(fields.get("grpc-message", "")))
    return End(number, UNKNOWN, f"HTTP status {fields.get(':status', '?')}, and no word of gRPC")
