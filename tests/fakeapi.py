"""A small apiserver for tests of its clients: list, get, watch, PUT, DELETE and merge patches of any resource, over HTTP, in memory.

It checks nothing and knows no kinds. In a test's process: `with FakeApi() as api`; as a process of its own: python -m tests.fakeapi 8080.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.waiting import POLLING

Object = dict[str, Any]

_PATH = re.compile(r"(?:/api/v1|/apis/[^/]+/[^/]+)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?(?:/status)?\Z")


def merged(old: Any, patch: Any) -> Any:
    """A JSON merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class FakeApi:
    """The store and its server. `patches` are the bodies of all PATCH requests, with their paths."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.patches: list[tuple[str, Object]] = []
        self._changed = threading.Condition()
        self._objects: dict[tuple[str, str, str], Object] = {}
        self._log: list[tuple[int, str, str, Object]] = []
        self._closing = False
        self.http = ThreadingHTTPServer((address, port), _handler(self))
        self.http.daemon_threads = True
        self.url = f"http://{address}:{self.http.server_address[1]}"

    def __enter__(self) -> FakeApi:
        threading.Thread(target=self.http.serve_forever, args=(POLLING,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self.http.shutdown()
        self.http.server_close()

    def put(self, plural: str, item: Object) -> Object:
        """Create or replace an object."""
        with self._changed:
            metadata = item["metadata"]
            key = (plural, metadata.get("namespace", ""), metadata["name"])
            what = "MODIFIED" if key in self._objects else "ADDED"
            return self._record(what, key, item)

    def delete(self, plural: str, name: str, namespace: str = "") -> Object:
        """Delete an object."""
        with self._changed:
            return self._record("DELETED", (plural, namespace, name), self._objects[plural, namespace, name])

    def find(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """One object."""
        with self._changed:
            return self._objects.get((plural, namespace, name))

    def list(self, plural: str, namespace: str) -> Object:
        """A list object."""
        with self._changed:
            items = [item for (kind, where, _), item in self._objects.items() if kind == plural and namespace in ("", where)]
            return {"kind": "List", "metadata": {"resourceVersion": str(len(self._log))}, "items": items}

    def next(self, plural: str, version: int) -> tuple[int, list[Object]]:
        """Wait for changes after a version; nothing when the server is about to close."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._log) > version or self._closing, 30)
            events = [{"type": what, "object": item} for _, what, kind, item in self._log[version:] if kind == plural]
            return len(self._log), [] if self._closing else events or [{"type": "BOOKMARK", "object": _bookmark(len(self._log))}]

    def _record(self, what: str, key: tuple[str, str, str], item: Object) -> Object:
        version = len(self._log) + 1
        item = item | {"metadata": item["metadata"] | {"resourceVersion": str(version)}}
        if what == "DELETED":
            del self._objects[key]
        else:
            self._objects[key] = item
        self._log.append((version, what, key[0], item))
        self._changed.notify_all()
        return item


def _bookmark(version: int) -> Object:
    return {"metadata": {"resourceVersion": str(version)}}


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            found = _PATH.match(urlsplit(self.path).path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            if not found:
                return self._say(404, {"message": f"no such path {self.path}"})
            namespace, plural, name = found[1] or "", found[2], found[3] or ""
            if "watch=1" in self.path:
                with contextlib.suppress(OSError):
                    return self._watch(plural, int(re.findall(r"resourceVersion=(\d+)", self.path)[0]))
            if not name:
                return self._say(200, api.list(plural, namespace))
            if self.command == "PUT":
                return self._say(200, api.put(plural, body))
            old = api.find(plural, name, namespace)
            if old is None:
                return self._say(404, {"message": f'{plural} "{name}" not found'})
            if self.command == "PATCH":
                api.patches.append((self.path, body))
                return self._say(200, api.put(plural, merged(old, body)))
            return self._say(200, api.delete(plural, name, namespace) if self.command == "DELETE" else old)

        do_GET = do_PUT = do_PATCH = do_DELETE = _any

        def _say(self, code: int, answer: Object) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def _watch(self, plural: str, version: int) -> None:
            self.send_response(200)
            self.end_headers()
            events: list[Object] = [{}]
            while events:
                version, events = api.next(plural, version)
                for event in events:
                    self.wfile.write(json.dumps(event).encode() + b"\n")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler


if __name__ == "__main__":
    FakeApi("0.0.0.0", int(sys.argv[1])).http.serve_forever()
