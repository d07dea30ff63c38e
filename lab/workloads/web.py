"""A small HTTP server for images of which only the answer on their port matters: Grafana, Prometheus, Zipkin and others.

Every path gets the same page, which names the pod; the header X-Pod names it too.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATIENCE = 5.0
"""Seconds that a client has for its request, and to take the answer."""


@dataclass(frozen=True)
class Page:
    """What is answered."""

    body: str
    status: int = 200
    kind: str = "text/plain"


Handle = Callable[[str, Mapping[str, str]], Page]
"""From the request's path, without its query, and headers (names in lower case) to the page. Called in a thread of its own."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, address: object) -> None:
        """A client that goes away early is no error, and anything else is said in one line."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(f"{address}: {error!r}", file=sys.stderr, flush=True)  # noqa: T201 (the container's log)


def serve(pod: str, port: int, handle: Handle, address: str = "0.0.0.0") -> int:
    """Serve until killed. Raises OSError when the port is taken."""
    server(pod, port, handle, address).serve_forever()
    return 0


def server(pod: str, port: int, handle: Handle, address: str = "0.0.0.0") -> ThreadingHTTPServer:
    """The server, bound and not yet serving."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = PATIENCE

        def do_GET(self) -> None:
            page = handle(self.path.partition("?")[0], {name.lower(): value for name, value in self.headers.items()})
            body = page.body.encode()
            self.send_response(page.status)
            self.send_header("Content-Type", f"{page.kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Pod", pod)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_HEAD = do_GET

        def version_string(self) -> str:
            return "lab"

        def log_message(self, template: str, *values: object) -> None:
            with contextlib.suppress(OSError):
                print(f"{self.address_string()} {template % values}", flush=True)  # noqa: T201 (the container's log)

    return _Server((address, port), Handler)


def main(argv: Sequence[str]) -> int:
    """Serve one text until killed."""
    parser = argparse.ArgumentParser(prog="web", allow_abbrev=False)
    parser.add_argument("--pod", default="", help="name of the pod")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--text", required=True, help="the page")
    args = parser.parse_args(list(argv))
    try:
        return serve(args.pod, args.port, lambda path, headers: Page(args.text))
    except OSError as error:
        print(f"port {args.port}: {error.strerror}", file=sys.stderr)  # noqa: T201 (the container's log)
        return 1
