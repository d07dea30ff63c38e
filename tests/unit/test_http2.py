"""The client's side of gRPC over HTTP/2, and etcd's messages, in whatever pieces they come."""

from __future__ import annotations

import contextlib
import struct

import hpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lab.master import etcdproto, http2
from lab.master.etcdclient import Change, Changes, EtcdCompacted, EtcdError, KeyValue, Snapshot


def _fields(name: str, value: str) -> bytes:
    return bytes(hpack.Encoder().encode([(name, value)]))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack("!BBI", kind, flags, stream) + payload


def _message(body: bytes) -> bytes:
    return struct.pack("!BI", 0, len(body)) + body


def _sent(connection: http2.Connection) -> list[tuple[int, int, int, bytes]]:
    """The frames that a connection has sent since the last time: kind, flags, stream, payload."""
    raw = connection.out().removeprefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    found = []
    while raw:
        length = int.from_bytes(raw[:3], "big")
        kind, flags, stream = struct.unpack_from("!BBI", raw, 3)
        found.append((kind, flags, stream, raw[9 : 9 + length]))
        raw = raw[9 + length :]
    return found


OK = _fields(":status", "200")
ENDED = _fields("grpc-status", "0")


@given(st.lists(st.binary(max_size=50), max_size=4), st.integers(1, 40))
@settings(max_examples=40)
def test_answers_come_whole_in_whatever_pieces_they_arrive(bodies: list[bytes], size: int) -> None:
    connection = http2.Connection("etcd:2379")
    stream = connection.call("/etcdserverpb.Watch/Watch", b"", last=False)
    raw = _frame(4, 0, 0, b"") + _frame(1, 4, stream, OK)
    raw += b"".join(_frame(0, 0x8, stream, b"\x03" + _message(body) + b"\0\0\0") for body in bodies) + _frame(6, 0, 0, b"12345678")
    raw += _frame(1, 0x1, stream, ENDED[:5]) + _frame(9, 4, stream, ENDED[5:])
    found = [event for start in range(0, len(raw), size) for event in connection.feed(raw[start : start + size])]
    assert found == [*(http2.Message(stream, body) for body in bodies), http2.End(stream, 0, "")]
    assert (6, 1, 0, b"12345678") in _sent(connection), "a ping is answered"


@given(st.integers(0, 300_000), st.lists(st.integers(1, 100_000), max_size=8))
@settings(max_examples=40)
def test_no_more_is_sent_than_there_is_room_for(size: int, updates: list[int]) -> None:
    connection = http2.Connection("etcd:2379")
    _sent(connection)
    stream = connection.call("/etcdserverpb.KV/Txn", b"x" * size)
    room = sent = 0
    for more in [65535, *updates, 1 << 20]:
        if room:
            list(connection.feed(_frame(8, 0, 0, struct.pack("!I", more)) + _frame(8, 0, stream, struct.pack("!I", more))))
        room += more
        frames = [frame for frame in _sent(connection) if frame[0] == 0]
        assert all(len(payload) <= 16384 for *_, payload in frames)
        sent += sum(len(payload) for *_, payload in frames)
        assert sent == min(room, size + 5)
    assert frames[-1][1] & 1 if frames else sent == size + 5, "the last piece ends the stream"


def test_calls_end_with_their_reason() -> None:
    connection = http2.Connection("etcd:2379")
    one, other, third = (connection.call("/etcdserverpb.KV/Txn", b"") for _ in range(3))
    refused = OK + _fields("grpc-status", "11") + _fields("grpc-message", "too%20old")
    raw = _frame(1, 5, one, refused) + _frame(3, 0, other, struct.pack("!I", 7)) + _frame(7, 0, 0, struct.pack("!II", other, 0))
    assert list(connection.feed(raw)) == [
        http2.End(one, 11, "too old"),
        http2.End(other, http2.UNAVAILABLE, "the call was reset, with HTTP/2's code 7"),
        http2.End(third, http2.UNAVAILABLE, "the server ends"),
    ]
    assert connection.is_going
    with pytest.raises(http2.ProtocolError):
        list(http2.Connection("etcd").feed(_frame(1, 5, 1, OK)))  # nobody asked for this


@given(st.binary(max_size=80))
@settings(max_examples=40)
def test_nothing_that_comes_breaks_the_connection_with_anything_else(raw: bytes) -> None:
    connection = http2.Connection("etcd:2379")
    connection.call("/etcdserverpb.KV/Txn", b"")
    with contextlib.suppress(http2.ProtocolError):
        list(connection.feed(raw))


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=300))
@settings(max_examples=40)
def test_protobuf_reads_what_it_writes(value: int, raw: bytes) -> None:
    assert list(etcdproto.fields(etcdproto.number(5, value) + etcdproto.piece(300, raw))) == [*([(5, value)] if value else []), (300, raw)]


@given(st.binary(max_size=60))
@example(b"*\x00")
@example(b"\x12\x02\x12\x00")
@settings(max_examples=40)
def test_no_answer_of_etcd_breaks_the_reader(raw: bytes) -> None:
    for read in (etcdproto.snapshot, etcdproto.written, etcdproto.changes):
        with contextlib.suppress(EtcdError):
            read(raw)


def _item(key: bytes, value: bytes, revision: int) -> bytes:
    numbers = etcdproto.number(2, 3) + etcdproto.number(3, revision) + etcdproto.number(4, 2) + etcdproto.number(6, 9)
    return etcdproto.piece(1, key) + numbers + etcdproto.piece(5, value)


HEADER = etcdproto.piece(1, etcdproto.number(1, 1 << 63) + etcdproto.number(3, 8))


def test_etcds_answers() -> None:
    known = KeyValue("/a", "text \udcff", 7, 3, 2, 9)
    item = _item(b"/a", b"text \xff", 7)
    assert etcdproto.snapshot(HEADER + etcdproto.piece(2, item) + etcdproto.number(4, 1)) == Snapshot(8, (known,))
    assert (etcdproto.written(HEADER + etcdproto.number(2, 1)), etcdproto.written(HEADER)) == (8, 0)
    gone = etcdproto.number(1, 1) + etcdproto.piece(2, etcdproto.piece(1, b"/b") + etcdproto.number(3, 8))
    watched = HEADER + etcdproto.piece(11, etcdproto.piece(2, item)) + etcdproto.piece(11, gone)
    assert etcdproto.changes(watched) == Changes(8, (Change(False, known), Change(True, KeyValue("/b", "", 8))))
    with pytest.raises(EtcdCompacted, match="before revision 5"):
        etcdproto.changes(HEADER + etcdproto.number(4, 1) + etcdproto.number(5, 5))
    with pytest.raises(EtcdError, match="no such watch"):
        etcdproto.changes(HEADER + etcdproto.number(4, 1) + etcdproto.piece(6, b"no such watch"))
