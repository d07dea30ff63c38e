"""A small HTTP server for the clouds' services: one request at a time reaches the application, each in a thread of its own."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PORT = 80
_TIMEOUT = 10.0
"""Seconds that a client may keep a connection without saying anything."""


@dataclass(frozen=True)
class Request:
    """What a client asked. `query`: the last value of each name; `source`: the client's address; header names in lower case."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    source: IPv4Address = IPv4Address("127.0.0.1")


@dataclass(frozen=True)
class Answer:
    """What it gets. `note` goes into the server's log."""

    status: int
    body: bytes
    kind: str = "text/plain"
    note: str = ""


App = Callable[[Request], Answer]


def text(words: str, status: int = 200) -> Answer:
    """An answer in plain text."""
    return Answer(status, words.encode())


def as_json(value: Any, status: int = 200, note: str = "") -> Answer:
    """An answer in JSON, laid out for people, as Google's APIs do it."""
    return Answer(status, (json.dumps(value, indent=2) + "\n").encode(), "application/json; charset=UTF-8", note)


def server(app: App, log: Callable[[str], None], host: str = "", port: int = PORT) -> ThreadingHTTPServer:
    """A server that listens; `serve_forever` answers. Raises OSError when the port is taken."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT

        def handle_any(self) -> None:
            length = self.headers.get("Content-Length", "0")
            body = self.rfile.read(int(length)) if length.isdecimal() else b""
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            source = IPv4Address(self.client_address[0])
            request = Request(self.command, parts.path, dict(parse_qsl(parts.query)), headers, body, source)
            with lock:
                answer = _answer(app, request)
            log(" ".join(filter(None, (str(source), self.command, parts.path, answer.note, str(answer.status)))))
            self.send_response_only(answer.status)
            self.send_header("Content-Type", answer.kind)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            log(f"{self.client_address[0]} {format % args}")

    class Server(ThreadingHTTPServer):
        request_queue_size = 64

    return Server((host, port), Handler)


def _answer(app: App, request: Request) -> Answer:
    try:
        return app(request)
    except Exception:  # of moto, for what it did not expect
        traceback.print_exc(file=sys.stderr)
        return text("the cloud failed; its log tells more\n", 500)
