"""A client of the apiserver: what the lab's own daemons speak to it with.

Objects are Kubernetes JSON as dicts. A watch holds its connection; every other call takes one for itself, so a client may serve several
threads. Cut off from the apiserver a call fails within its timeout, and a watch ends when nothing has come for longer than bookmarks take.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from typing import Any
from urllib.parse import urlencode, urlsplit

from lab.errors import LabError, UsageError
from lab.master import connections
from lab.master.plainhttp import Answer, Connection
from lab.master.resources import by_kind, by_plural

Object = dict[str, Any]
"""A Kubernetes object as JSON."""

TIMEOUT = 5.0
"""Seconds to connect, and to wait for an answer."""

WATCH_SILENCE = 90.0
"""Seconds without a byte after which a watch counts as dead: the apiserver sends a bookmark every minute."""

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""What to accept to get rows and columns for people instead of objects."""

PATCHES = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}


class ApiError(LabError):
    """The apiserver refused a request. `code` is the HTTP status, `reason` and `status` are from its Status object."""

    def __init__(self, code: int, message: str, reason: str = "", status: Object | None = None) -> None:
        self.code, self.reason, self.status_object = code, reason, status or {}
        super().__init__(message)


class Unreachable(ApiError):
    """No answer: nobody listens, the network is cut, or the connection broke. Trying again later can heal it."""

    def __init__(self, message: str) -> None:
        super().__init__(0, message)


class ApiClient:
    """Talks to one apiserver.

    server   `http://10.229.43.65:8080`, or `unix:/path` for a socket in the file system
    Every method raises Unreachable without an answer, and ApiError for an answer that is none of 2xx.
    """

    def __init__(self, server: str, timeout: float = TIMEOUT, agent: str = "lab") -> None:
        parts = urlsplit(server)
        if not (parts.scheme == "http" and parts.hostname) and not (parts.scheme == "unix" and parts.path):
            raise UsageError(f"{server!r} is no apiserver's address; it looks like http://10.229.43.65:8080")
        self.server, self.timeout, self.agent = server, timeout, agent
        self._unix = parts.path if parts.scheme == "unix" else ""
        self._host, self._port = parts.hostname or "localhost", parts.port or 80
        self._idle = connections.Idle()

    def list(self, plural: str, namespace: str = "", labels: str = "", fields: str = "") -> Object:
        """A list object: `items`, and `metadata.resourceVersion` to watch from. Without a namespace, of all namespaces."""
        found = self.request("GET", by_plural(plural).path("", namespace), query=_selectors(labels, fields))
        return found | {"items": found.get("items") or []}

    def get(self, plural: str, name: str, namespace: str = "") -> Object:
        """One object; ApiError with code 404 when there is none."""
        return self.request("GET", by_plural(plural).path(name, namespace))

    def find(self, plural: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None when there is none."""
        try:
            return self.get(plural, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def create(self, item: Object, subresource: str = "") -> Object:
        """Create an object in its namespace (`default` where it names none), or POST to a subresource; returns the answer."""
        resource = by_kind(item["kind"]) if not subresource else by_plural("pods")
        metadata = item["metadata"]
        namespace = metadata.get("namespace") or "default"
        return self.request("POST", resource.path(metadata["name"] if subresource else "", namespace, subresource), item)

    def update(self, item: Object, subresource: str = "") -> Object:
        """Replace an object, or its status; 409 when its resourceVersion is no longer the newest."""
        metadata = item["metadata"]
        path = by_kind(item["kind"]).path(metadata["name"], metadata.get("namespace", ""), subresource)
        return self.request("PUT", path, item)

    def patch(self, plural: str, name: str, namespace: str, patch: Any, how: str = "merge", subresource: str = "") -> Object:
        """Change an object: `how` is json, merge or strategic."""
        return self.request("PATCH", by_plural(plural).path(name, namespace, subresource), patch, content_type=PATCHES[how])

    def apply(self, item: Object, manager: str = "lab") -> Object:
        """Server-side apply: create it, or change what this manager said earlier; `force`, as a controller does."""
        metadata = item["metadata"]
        path = by_kind(item["kind"]).path(metadata["name"], metadata.get("namespace") or "default")
        query = {"fieldManager": manager, "force": "true"}
        return self.request("PATCH", path, item, query, PATCHES["apply"])

    def delete(self, plural: str, name: str, namespace: str = "", grace: int | None = None) -> Object:
        """Delete an object. grace: seconds, 0 for at once; None for what the object says."""
        options = {} if grace is None else {"gracePeriodSeconds": grace}
        body = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        return self.request("DELETE", by_plural(plural).path(name, namespace), body)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        query: dict[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        """Any request; the answer's JSON."""
        connection = self._idle.take(self._host, self._port) or self._connection(self.timeout)
        try:
            answer = self._send(connection, method, path, body, query, content_type, accept)
            text = answer.read()
        except OSError as error:
            connection.close()
            raise self._unreachable(error) from error
        self._idle.put(connection)
        return _judged(answer.status, text, f"{method} {path}")

    def watch(
        self, plural: str, version: str, namespace: str = "", labels: str = "", fields: str = "", silence: float = WATCH_SILENCE
    ) -> Generator[tuple[str, Object], None, None]:
        """What changes after resourceVersion `version`: (ADDED, MODIFIED, DELETED or BOOKMARK, object).

        Ends when the apiserver ends it: then watch on from the last version seen. Raises ApiError with code 410 when that is too old:
        then list again; Unreachable after `silence` seconds without a byte. `close()` on the iterator ends the watch.
        """
        query = _selectors(labels, fields) | {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true"}
        path = by_plural(plural).path("", namespace)
        connection = self._connection(self.timeout)
        try:
            answer = self._send(connection, "GET", path, None, query, "application/json")
            if answer.status != 200:
                _judged(answer.status, answer.read(), f"watch {path}")
            if connection.sock is not None:
                connection.sock.settimeout(silence)
            for line in answer.lines():
                event = json.loads(line.decode())
                if event["type"] == "ERROR":
                    raise _refusal(int(event["object"].get("code", 500)), event["object"], f"watch {path}")
                yield event["type"], event["object"]
        except (OSError, ValueError) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _connection(self, timeout: float) -> Connection:
        return Connection(self._host, self._port, timeout, self._unix)

    def _send(
        self,
        connection: Connection,
        method: str,
        path: str,
        body: Any,
        query: dict[str, str] | None,
        content_type: str,
        accept: str = "application/json",
    ) -> Answer:
        headers = {"Accept": accept, "User-Agent": self.agent}
        if body is not None:
            headers["Content-Type"] = content_type
        text = None if body is None else json.dumps(body).encode()
        return connection.ask(method, f"{path}?{urlencode(query)}" if query else path, text, headers)

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(f"the apiserver at {self.server} does not answer: {error}")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    pairs = {"labelSelector": labels, "fieldSelector": fields}
    return {key: value for key, value in pairs.items() if value}


def _judged(code: int, raw: bytes, what: str) -> Object:
    answer: Object = {}
    with contextlib.suppress(ValueError):
        read = json.loads(raw.decode() or "{}")
        answer = read if isinstance(read, dict) else {}
    if 200 <= code < 300:
        return answer
    raise _refusal(code, answer, what)


def _refusal(code: int, status: Object, what: str) -> ApiError:
    return ApiError(code, str(status.get("message") or f"{what}: HTTP status {code}"), str(status.get("reason", "")), status)
