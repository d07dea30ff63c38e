"""A stand-in for the apiserver that has its answers ready: lists of services and endpoints, and watches that tell of what is posted to it.

For benchmarks of those who watch an apiserver: its own work must not be in the figures.
"""

from __future__ import annotations

import http.client
import json
import queue
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8080


def serve(lists: Mapping[str, list[Any]]) -> int:
    """Serve these objects, by the plural of their kind, until killed. Whatever is posted is told to everyone who watches endpoints."""
    answers = {
        plural: json.dumps({"kind": f"{plural.capitalize()}List", "metadata": {"resourceVersion": "1"}, "items": items}).encode()
        for plural, items in lists.items()
    }
    watches: list[queue.SimpleQueue[bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """A list, or a watch."""
            plural = self.path.partition("?")[0].rpartition("/")[2]
            self.send_response(200)
            if "watch=1" not in self.path:
                self.send_header("Content-Length", str(len(answers[plural])))
                self.end_headers()
                self.wfile.write(answers[plural])
                return
            self.end_headers()
            events: queue.SimpleQueue[bytes] = queue.SimpleQueue()
            if plural == "endpoints":
                watches.append(events)
            while True:
                self.wfile.write(events.get())

        def do_POST(self) -> None:
            """A change of endpoints."""
            item = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            event = json.dumps({"type": "MODIFIED", "object": item}).encode() + b"\n"
            told = time.time()
            for one in watches:
                one.put(event)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(repr(told).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()
    return 0


def post(item: Any) -> float:
    """Change an object; the time.time() at which watchers were told. Called in the server's network namespace."""
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
    connection.request("POST", "/", json.dumps(item))
    return float(connection.getresponse().read())
