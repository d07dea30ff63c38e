"""A small HTTP server: GET and nothing else, an answer and the connection is closed.

What http.server offers looks for its end ten times a second and reads a request with a parser of mail: two of those in each of a hundred
kube-proxies are felt, and this is all that asking for health and metrics needs.
"""

from __future__ import annotations

import contextlib
import errno
import http
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate

_PASSING = frozenset({errno.ECONNABORTED, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What accept may answer while the server itself is well."""

Answer = tuple[int, str, str]
"""Status, content type, text."""

LONGEST = 1 << 16
"""Bytes that a request may have."""

PATIENCE = 5.0
"""Seconds that a client may be silent."""


class Server:
    """Serves at an address in threads of its own, from its making until `close`. `answer` is asked with a path. Raises OSError."""

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer]) -> None:
        self._answer = answer
        self._socket = socket.create_server((host, port), backlog=64)
        threading.Thread(target=self._run, name=f"http {port}", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Listen no more; requests that are being answered are answered."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # which ends an accept that waits; a close alone would not
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                if self._socket.fileno() < 0 or error.errno not in _PASSING:
                    return
                continue
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # the client's end of the connection is its own business
            connection.settimeout(PATIENCE)
            connection.sendall(response(*self._reply(_read(connection))))

    def _reply(self, head: bytes) -> Answer:
        words = head.partition(b"\n")[0].split()
        if len(words) not in (2, 3) or b"\n" not in head:
            return 400, "text/plain", "this is no HTTP request\n"
        if words[0] != b"GET":
            return 501, "text/plain", "only GET is answered here\n"
        return self._answer(words[1].decode("latin-1").partition("?")[0])


def _read(connection: socket.socket) -> bytes:
    """A request's head, or what came of it."""
    head = b""
    while b"\n\r\n" not in head and b"\n\n" not in head and len(head) < LONGEST:
        more = connection.recv(LONGEST)
        if not more:
            return b""
        head += more
    return head


def response(status: int, kind: str, text: str) -> bytes:
    """An answer as HTTP/1.0 has it."""
    body = text.encode()
    lines = (
        f"HTTP/1.0 {status} {http.HTTPStatus(status).phrase}",
        f"Date: {formatdate(usegmt=True)}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
    )
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode() + body
