"""HTTP answers, however a server frames them and in whatever pieces they arrive."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.master.plainhttp import Answer, BrokenAnswer, Connection


def _answered(pieces: list[bytes], use: Callable[[Connection, Answer], object]) -> tuple[object, bytes]:
    """What `use` makes of an answer that comes in these pieces, and the request that it was an answer to."""
    ours, theirs = socket.socketpair()
    ours.settimeout(5.0)
    connection = Connection("10.0.0.1", 80, 5.0)
    connection.sock = ours
    asked = bytearray()

    def serve() -> None:
        asked.extend(theirs.recv(65536))
        for piece in pieces:
            theirs.sendall(piece)
        theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        return use(connection, connection.ask("GET", "/x?y=1", b"{}", {"Accept": "*/*"})), bytes(asked)
    finally:
        thread.join()
        connection.close()


def _cut(raw: bytes, size: int) -> list[bytes]:
    return [raw[start : start + size] for start in range(0, len(raw), size)]


def _chunked(body: bytes, size: int) -> bytes:
    pieces = _cut(body, size)
    return b"".join(b"%x;a=b\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\nTrailer: x\r\n\r\n"


HEAD = b"HTTP/1.1 200 OK\r\nX: y\r\n"


def test_a_request_is_one_piece() -> None:
    read, asked = _answered([HEAD + b"Content-Length: 2\r\n\r\n{}"], lambda _, answer: (answer.status, answer.read()))
    assert read == (200, b"{}")
    assert asked == b"GET /x?y=1 HTTP/1.1\r\nHost: 10.0.0.1:80\r\nAccept: */*\r\nContent-Length: 2\r\n\r\n{}"


@given(st.lists(st.binary(max_size=20).filter(lambda one: b"\n" not in one), max_size=5), st.integers(1, 30), st.integers(1, 9))
@settings(max_examples=40)
def test_lines_come_whole_however_they_are_framed(lines: list[bytes], size: int, chunk: int) -> None:
    body = b"".join(line + b"\n" for line in lines)
    framed = (
        HEAD + b"Transfer-Encoding: Chunked\r\n\r\n" + _chunked(body, chunk),
        HEAD + b"content-length: %d\r\n\r\n" % len(body) + body,
        b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"\r\n" + body,
    )
    for raw in framed:
        assert _answered(_cut(raw, size), lambda _, answer: list(answer.lines()))[0] == lines


def test_who_wants_to_close_is_closed_and_others_are_kept() -> None:
    def is_kept(connection: Connection, answer: Answer) -> bool:
        answer.read()
        return connection.sock is not None

    length = b"Content-Length: 1\r\n"
    kept = (HEAD + length + b"\r\n1", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + length + b"\r\n1", b"HTTP/1.1 204 No Content\r\n\r\n")
    closed = (HEAD + length + b"Connection: Close\r\n\r\n1", b"HTTP/1.0 200 OK\r\n" + length + b"\r\n1", HEAD + b"\r\n1")
    assert [_answered([raw], is_kept)[0] for raw in (*kept, *closed)] == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        HEAD,
        HEAD + b"Content-Length: 5\r\n\r\n1234",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n123",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70_000,
    ],
)
def test_what_is_no_whole_answer(raw: bytes) -> None:
    with pytest.raises(BrokenAnswer):
        _answered([raw], lambda _, answer: answer.read())


def test_nothing_gets_into_a_request_that_does_not_belong_there() -> None:
    for target, headers in (("/a b", {}), ("/a\r\nX: y", {}), ("/", {"X": "y\nZ: 1"})):
        with pytest.raises(BrokenAnswer, match="cannot be asked for"):
            _asked(target, headers)


def _asked(target: str, headers: dict[str, str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        connection = Connection("::1", 80, 1.0)
        connection.sock = ours
        connection.ask("GET", target, None, headers)
