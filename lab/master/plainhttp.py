"""HTTP/1.1 as the lab's daemons speak it to the apiserver and to etcd: a request, an answer, over a connection that may be kept.

http.client reads the header of an answer as it would read a mail's, which takes a client longer than everything else about a small request.
Here only what frames the body is looked at. No proxies, no redirects, no TLS.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping

_CHUNK = 1 << 16
_LONGEST_HEAD = 1 << 16
"""Bytes of a header, and of a line that says how large a piece of a body is."""

_STATUS = re.compile(rb"HTTP/(1\.[01]) ([1-5][0-9][0-9])(?: [^\r\n]*)?\Z")
_CONTINUE = 100
_EMPTY = (204, 304)


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
        return Answer(self, method)

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

    def __init__(self, connection: Connection, method: str) -> None:
        self._connection = connection
        sock = connection.sock
        assert sock is not None
        self._sock, self._got = sock, bytearray()
        self.status, fields = self._head()
        while self.status == _CONTINUE:
            self.status, fields = self._head()
        said = fields.get(b"connection", b"").lower()
        self._closes = said == b"close" or (fields[b""] == b"1.0" and said != b"keep-alive")
        self._is_chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        self._left: int | None = None
        if method == "HEAD" or self.status in _EMPTY:
            self._left = 0
        elif not self._is_chunked and b"content-length" in fields:
            length = fields[b"content-length"]
            if not length.isdigit():
                raise BrokenAnswer(f"an answer of {length[:20]!r} bytes")
            self._left = int(length)
        self._is_over = False

    def read(self) -> bytes:
        """All that is left of the body. Raises OSError."""
        return b"".join(iter(self.piece, b""))

    def piece(self) -> bytes:
        """What comes next of the body, nothing at its end. Raises OSError."""
        if self._is_over:
            return b""
        if self._is_chunked:
            found = self._chunk()
        elif self._left is None:
            found = bytes(self._got) or self._sock.recv(_CHUNK)
            self._got.clear()
            self._closes = True
        else:
            found = self._counted()
        if not found:
            self._is_over = True
            if self._closes:
                self._connection.close()
        return found

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

    def _counted(self) -> bytes:
        assert self._left is not None
        if not self._left:
            return b""
        if not self._got:
            self._more(min(self._left, 1 << 20))
        found = bytes(self._got[: self._left])
        del self._got[: self._left]
        self._left -= len(found)
        return found

    def _chunk(self) -> bytes:
        """The next piece as the server has cut them; the last one is empty, and behind it may be fields that nobody wants."""
        size_text = self._line().partition(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            raise BrokenAnswer(f"a piece of {bytes(size_text[:20])!r} bytes") from None
        if size == 0:
            while self._line():
                pass
            return b""
        while len(self._got) < size + 2:
            self._more()
        found = bytes(self._got[:size])
        del self._got[: size + 2]
        return found

    def _head(self) -> tuple[int, dict[bytes, bytes]]:
        """The status and the fields, names in lower case; behind the empty name is HTTP's version."""
        while (end := self._got.find(b"\r\n\r\n")) < 0:
            if len(self._got) > _LONGEST_HEAD:
                raise BrokenAnswer("the header of the answer has no end")
            self._more()
        first, *rest = bytes(self._got[:end]).split(b"\r\n")
        del self._got[: end + 4]
        found = _STATUS.match(first)
        if found is None:
            raise BrokenAnswer(f"no HTTP: {first[:60]!r}")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in rest)}
        return int(found[2]), fields | {b"": found[1]}

    def _line(self) -> bytes:
        while (end := self._got.find(b"\r\n")) < 0:
            if len(self._got) > _LONGEST_HEAD:
                raise BrokenAnswer("a line without end")
            self._more()
        found = bytes(self._got[:end])
        del self._got[: end + 2]
        return found

    def _more(self, most: int = _CHUNK) -> None:
        data = self._sock.recv(max(most, _CHUNK))
        if not data:
            raise BrokenAnswer("the other end closed the connection")
        self._got += data
