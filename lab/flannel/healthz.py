"""flannel's health check: GET /healthz answers 200 as long as the process lives."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    timeout = 5

    def do_GET(self) -> None:
        """Answer one request."""
        found = self.path == "/healthz"
        text = b"flanneld is running" if found else b"404 page not found\n"
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Probes come every few seconds; they are no news."""


def start(host: str, port: int) -> ThreadingHTTPServer:
    """A bound server, not yet serving. Raises OSError."""
    ThreadingHTTPServer.daemon_threads = True
    return ThreadingHTTPServer((host, port), _Handler)
