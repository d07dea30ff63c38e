"""HTTP/1.1 as the lab's daemons speak it to the apiserver and to etcd: a request, an answer, over a connection that may be kept.

http.client reads the header of an answer as it would read a mail's, which takes a client longer than everything else about a small request.
Here httptools reads it, the parser of Node.js. No proxies, no redirects, no TLS, no answers to HEAD.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Mapping

import httptools

_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 16
"""Bytes of a header."""


class BrokenAnswer(ConnectionError):
    """What came is no answer, or only a part of one."""


class Connection:
    """A connection to one server, made with the first request; `sock` is None before that, and after its end.

    port     not looked at where `path` names a unix socket
    timeout  seconds to connect, and for each wait for bytes
    """

    def __init__(self, host: str, port: int, timeout: float, path: str = "") -> None:
        self.host, self.port, self.timeout = host, port, timeout
        self.sock: socket.socket | None = None
        self._path = path
        self._name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """Send a request and read the header of its answer. The body of the answer before has been read. Raises OSError."""
        sock = self.sock or self._connected()
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._name}", *(f"{name}: {value}" for name, value in headers.items())]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        text = "\r\n".join([*lines, "", ""])
        if "\n" in text.replace("\r\n", "") or " " in target:
            raise BrokenAnswer(f"{target!r} cannot be asked for")
        sock.sendall(text.encode("utf-8") + (body or b""))
        return Answer(self)

    def close(self) -> None:
        """End it."""
        sock, self.sock = self.sock, None
        if sock is not None:
            sock.close()

    def _connected(self) -> socket.socket:
        if self._path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            sock.settimeout(self.timeout)
            try:
                sock.connect(self._path)
            except BaseException:
                sock.close()
                raise
        else:
            sock = socket.create_connection((self.host, self.port), self.timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        return sock


class Answer:
    """An answer whose header has been read: `status`, and the body by `read`, `piece` or `lines`. The connection is closed where it has to be."""

    def __init__(self, connection: Connection) -> None:
        assert connection.sock is not None
        self._connection, self._sock = connection, connection.sock
        self._pieces: deque[bytes] = deque()
        self._has_header = self._has_length = self._is_over = False
        self._parser = httptools.HttpResponseParser(self)
        seen = 0
        while not self._has_header:
            if seen > _LONGEST_HEAD:
                raise BrokenAnswer("the header of the answer has no end")
            seen += self._more()

    def read(self) -> bytes:
        """All that is left of the body. Raises OSError."""
        return b"".join(iter(self.piece, b""))

    def piece(self) -> bytes:
        """What comes next of the body, nothing at its end. Raises OSError."""
        while not self._pieces:
            if self._is_over:
                return b""
            self._more()
        return self._pieces.popleft()

    def lines(self) -> Iterator[bytes]:
        """The body line by line, each as soon as it is there. Raises OSError."""
        rest = bytearray()
        while found := self.piece():
            *whole, last = found.split(b"\n")
            if whole:
                yield bytes(rest + whole[0])
                yield from whole[1:]
                rest.clear()
            rest += last
        if rest:
            yield bytes(rest)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has found a field."""
        self._has_length = self._has_length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """The parser has the whole header. One below 200 only announces the next."""
        self.status = self._parser.get_status_code()
        self._has_header = self.status >= 200

    def on_body(self, piece: bytes) -> None:
        """The parser has found a part of the body."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """The parser is at the end of an answer."""
        self._is_over = self._has_header
        if self._is_over and not self._parser.should_keep_alive():
            self._connection.close()

    def _more(self) -> int:
        """Have the parser read what comes next; how many bytes."""
        data = self._sock.recv(_CHUNK)
        try:
            if data:
                self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BrokenAnswer(f"no HTTP: {error}") from error
        if not data:
            if not self._has_header or self._has_length:
                raise BrokenAnswer("the other end closed the connection")
            self._is_over = True
            self._connection.close()
        return len(data)
