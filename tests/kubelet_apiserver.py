"""An apiserver of a hundred lines, for the kubelet's own tests: keeps objects in memory, lists, watches, merges patches."""

from __future__ import annotations

import contextlib
import copy
import json
import queue
import socket
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.waiting import POLLING

Object = dict[str, Any]


def merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    result = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


class Apiserver(ThreadingHTTPServer):
    """Serves on a port of the namespace that it is made in. `objects` by path, such as /api/v1/namespaces/default/pods/web."""

    daemon_threads = True
    kubelet = "10.9.0.1"

    def __init__(self, port: int = 8080) -> None:
        super().__init__(("0.0.0.0", port), _Handler)
        self.objects: dict[str, Object] = {}
        self.version = 0
        self.history: list[tuple[int, str, str, Object]] = []
        self.watchers: list[tuple[str, queue.SimpleQueue[tuple[str, Object] | None]]] = []
        self.lock = threading.RLock()
        threading.Thread(target=self.serve_forever, args=(POLLING,), daemon=True).start()

    def put(self, path: str, item: Object, event: str = "MODIFIED") -> Object:
        with self.lock:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            self.objects[path] = item
            self._tell(event, path, item)
            return item

    def create(self, path: str, item: Object) -> Object:
        item = copy.deepcopy(item)
        item["metadata"] |= {"uid": str(uuid.uuid4()), "namespace": "default"}
        return self.put(f"{path}/{item['metadata']['name']}", item, "ADDED")

    def remove(self, path: str) -> None:
        with self.lock:
            self.version += 1
            item = self.objects.pop(path)
            item["metadata"]["resourceVersion"] = str(self.version)
            self._tell("DELETED", path, item)

    def _tell(self, event: str, path: str, item: Object) -> None:
        self.history.append((self.version, event, path, copy.deepcopy(item)))
        for plural, watcher in self.watchers:
            if f"/{plural}/" in path:
                watcher.put((event, copy.deepcopy(item)))

    # What the tests use

    def run_pod(self, name: str, spec: Object, annotations: Object | None = None) -> Object:
        item = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "annotations": annotations or {}}}
        return self.create("/api/v1/namespaces/default/pods", item | {"spec": {"nodeName": "node1", **spec}, "status": {"phase": "Pending"}})

    def pod(self, name: str) -> Object | None:
        return self.objects.get(f"/api/v1/namespaces/default/pods/{name}")

    def delete_pod(self, name: str, grace: int) -> None:
        path = f"/api/v1/namespaces/default/pods/{name}"
        now = {"deletionTimestamp": "2017-07-11T10:00:00Z", "deletionGracePeriodSeconds": grace}
        self.put(path, merged(self.objects[path], {"metadata": now}))

    def is_ready(self, name: str) -> bool:
        pod = self.pod(name) or {}
        return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", ()))

    def container(self, name: str) -> Object:
        statuses = (self.pod(name) or {}).get("status", {}).get("containerStatuses") or [{}]
        found: Object = statuses[0]
        return found

    def reasons(self, name: str) -> list[str]:
        events = [item for path, item in list(self.objects.items()) if "/events/" in path]
        return [one["reason"] for one in events if one["involvedObject"]["name"] == name]


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
DISCOVERY: dict[str, Object] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/version": {"major": "1", "minor": "7", "gitVersion": "v1.7.3"},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [{"name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "verbs": _VERBS, "shortNames": ["po"]}],
    },
}
"""Enough for kubectl to find out what a pod is."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rbufsize = 0  # what follows the head belongs to a relayed connection
    server: Apiserver

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def _answer(self, item: Any, code: int = 200) -> None:
        raw = json.dumps(item).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if "watch" in query:
            return self._watch(path.rsplit("/", 1)[1], int(query["resourceVersion"][0]))
        if path in DISCOVERY:
            return self._answer(DISCOVERY[path])
        if path.rsplit("/", 1)[1] in ("exec", "attach", "portforward", "log"):
            return self._relay(path, urlsplit(self.path).query)
        with self.server.lock:
            item = copy.deepcopy(self.server.objects.get(path))
            plural = path.rsplit("/", 1)[1]
            items = [copy.deepcopy(one) for key, one in self.server.objects.items() if key.rsplit("/", 2)[1] == plural]
            version = str(self.server.version)
        if item is not None:
            return self._answer(item)
        if path.count("/") > 3:
            return self._answer({"kind": "Status", "message": "not found"}, 404)
        self._answer({"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}, "items": items})

    def _relay(self, path: str, query: str) -> None:
        """To the kubelet: everything of this connection from now on."""
        *_, namespace, _, pod, what = path.split("/")
        container = (parse_qs(query).get("container") or [self.server.objects[path.rsplit("/", 1)[0]]["spec"]["containers"][0]["name"]])[0]
        verb = {"log": "containerLogs", "portforward": "portForward"}.get(what, what)
        target = f"/{verb}/{namespace}/{pod}" + ("" if verb == "portForward" else f"/{container}")
        heads = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        with socket.create_connection((self.server.kubelet, 10250)) as other:
            other.sendall(f"GET {target}?{query} HTTP/1.1\r\n{heads}\r\n".encode())
            threading.Thread(target=_pipe, args=(self.connection, other), daemon=True).start()
            _pipe(other, self.connection)
        self.close_connection = True

    def _watch(self, plural: str, since: int) -> None:
        news: queue.SimpleQueue[tuple[str, Object] | None] = queue.SimpleQueue()
        with self.server.lock:
            for version, event, path, item in self.server.history:
                if version > since and f"/{plural}/" in path:
                    news.put((event, item))
            self.server.watchers.append((plural, news))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (told := news.get()) is not None:
            line = json.dumps({"type": told[0], "object": told[1]}).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

    def do_POST(self) -> None:
        self._answer(self.server.create(urlsplit(self.path).path, self._body()), 201)

    def do_PATCH(self) -> None:
        path, patch = urlsplit(self.path).path.removesuffix("/status"), self._body()
        with self.server.lock:
            if path not in self.server.objects:
                return self._answer({"kind": "Status", "message": "not found"}, 404)
            patch.pop("metadata", None)
            self._answer(self.server.put(path, merged(self.server.objects[path], patch)))

    def do_DELETE(self) -> None:
        self._body()
        path = urlsplit(self.path).path
        if path not in self.server.objects:
            return self._answer({"kind": "Status", "message": "not found"}, 404)
        self.server.remove(path)
        self._answer({"kind": "Status", "status": "Success"})
