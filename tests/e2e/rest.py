"""Plain HTTP to the apiserver's unix socket, as raw as a test needs it."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

Object = dict[str, Any]
TIMEOUT = 20.0


class Rest:
    """Requests to one apiserver, each on a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def socket(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(TIMEOUT)
        made.connect(str(self.path))
        return made

    def send(self, method: str, path: str, body: Any = None, media: str = "application/json", **query: str) -> http.client.HTTPResponse:
        """The answer, its body not read yet. A body of bytes is sent as it is."""
        connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT)
        connection.sock = self.socket()
        raw = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Accept": query.pop("accept", "application/json"), "Connection": "close"} | ({} if body is None else {"Content-Type": media})
        connection.request(method, f"{path}?{urlencode(query)}" if query else path, raw, headers)
        return connection.getresponse()

    def __call__(self, method: str, path: str, body: Any = None, media: str = "application/json", **query: str) -> tuple[int, Object]:
        """The code and the JSON of the answer."""
        with self.send(method, path, body, media, **query) as answer:
            return answer.status, json.loads(answer.read())

    def fine(self, method: str, path: str, body: Any = None, media: str = "application/json", **query: str) -> Object:
        """The JSON of an answer that has to be one of 2xx."""
        code, said = self(method, path, body, media, **query)
        assert 200 <= code < 300, said
        return said

    def watch(self, path: str, **query: str) -> Watch:
        return Watch(self.send("GET", path, watch="1", **query))


class Watch:
    """The events of a watch."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.answer = answer

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()

    def next(self) -> tuple[str, Object]:
        event = json.loads(self.answer.readline())
        return event["type"], event["object"]
