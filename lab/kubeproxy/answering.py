"""A small HTTP server: GET and nothing else, an answer and the connection is closed."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer

Answer = tuple[int, str, str]
"""Status, content type, text."""

PATIENCE = 5.0
"""Seconds that a client may be silent."""


class Server:
    """Serves at an address in threads of its own, from its making until `close`. `answer` is asked with a path. Raises OSError."""

    def __init__(self, host: str, port: int, answer: Callable[[str], Answer]) -> None:
        self._http = _Http((host, port), answer)
        threading.Thread(target=self._run, name=f"http {port}", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Listen no more; requests that are being answered are answered."""
        self._http.is_closed = True
        with contextlib.suppress(OSError):
            self._http.socket.shutdown(socket.SHUT_RDWR)  # which ends a wait for requests; a close alone would not
        self._http.server_close()

    def _run(self) -> None:
        """`serve_forever` would look several times a second whether it is to end: felt, with two servers in each of a hundred kube-proxies."""
        with contextlib.suppress(OSError, ValueError):  # of a socket that was closed before the wait for requests began
            while not self._http.is_closed:
                self._http.handle_request()


class _Http(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64
    timeout = None

    def __init__(self, address: tuple[str, int], answer: Callable[[str], Answer]) -> None:
        self.answer, self.is_closed = answer, False
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """The client's end of the connection is its own business."""


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Ask for the answer and give it."""
        status, kind, text = self.server.answer(self.path.partition("?")[0])
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Not in kube-proxy's log."""
