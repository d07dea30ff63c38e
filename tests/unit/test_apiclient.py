"""The client of the apiserver and the informer, against a server that answers what it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab.errors import UsageError
from lab.master.client import ApiClient, ApiError, Unreachable
from lab.master.informer import Informer, key_of, only_metadata
from lab.master.resources import by_kind, by_plural, served
from tests.waiting import POLLING, until

Answer = tuple[int, Any]


class Server:
    """Answers each request by `script`, and keeps what it was asked. A list as answer is a watch: its events, one a line."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any, str]] = []
        self.script: Callable[[str, str], Answer] = lambda method, path: (200, {})
        own = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                own.asked.append((self.command, self.path, body, self.headers.get("Content-Type", "")))
                code, answer = own.script(self.command, self.path)
                self.send_response(code)
                self.end_headers()
                for line in answer if isinstance(answer, list) else [answer]:
                    self.wfile.write(json.dumps(line).encode() + b"\n")

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(POLLING,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        """Stop listening."""
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback."""
    made = Server()
    yield made
    made.close()


def pod(name: str, version: int) -> dict[str, Any]:
    """A pod, as far as an informer looks."""
    return {"kind": "Pod", "metadata": {"namespace": "default", "name": name, "resourceVersion": str(version)}}


def pods(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    """A list of pods; its items have no kind, as real ones."""
    bare = [{key: value for key, value in item.items() if key != "kind"} for item in items]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": str(version)}, "items": bare}


def test_places_of_resources() -> None:
    """Kubernetes' own paths in URLs and in etcd."""
    assert by_plural("pods").path("a", "default", "log") == "/api/v1/namespaces/default/pods/a/log"
    assert by_plural("nodes").path("zenlin", "ignored") == "/api/v1/nodes/zenlin"
    assert by_kind("Deployment").path("x", "y", api_version="extensions/v1beta1") == "/apis/extensions/v1beta1/namespaces/y/deployments/x"
    assert by_plural("pods").path("../x", "a/b") == "/api/v1/namespaces/a%2Fb/pods/..%2Fx"
    assert by_kind("Node").key("zenlin") == "/registry/minions/zenlin"
    assert by_kind("Service").key("nginx", "default") == "/registry/services/specs/default/nginx"
    assert by_kind("Pod").key() == "/registry/pods/" and by_kind("Pod").key(namespace="default") == "/registry/pods/default/"
    assert len({(version, resource.plural) for version, resource in served()}) == len(list(served()))
    with pytest.raises(UsageError, match="no resource 'gizmos'"):
        by_plural("gizmos")


def test_calls_are_kubernetes_requests(server: Server) -> None:
    """Method, path, body and content type."""
    client = ApiClient(server.url)
    client.create({"kind": "Pod", "metadata": {"name": "a"}})
    client.update(pod("a", 1), "status")
    client.patch("pods", "a", "default", {"x": 1}, "strategic")
    client.delete("pods", "a", "default", grace=0)
    client.list("services", labels="app=nginx", fields="metadata.name=x")
    assert [one[:2] for one in server.asked] == [
        ("POST", "/api/v1/namespaces/default/pods"),
        ("PUT", "/api/v1/namespaces/default/pods/a/status"),
        ("PATCH", "/api/v1/namespaces/default/pods/a"),
        ("DELETE", "/api/v1/namespaces/default/pods/a"),
        ("GET", "/api/v1/services?labelSelector=app%3Dnginx&fieldSelector=metadata.name%3Dx"),
    ]
    assert server.asked[2][3] == "application/strategic-merge-patch+json" and server.asked[3][2]["gracePeriodSeconds"] == 0


def test_refusals_say_what_the_apiserver_says(server: Server) -> None:
    """A Status becomes an ApiError; what is no Status, or no JSON object, does too."""
    client = ApiClient(server.url)
    server.script = lambda *_: (404, {"kind": "Status", "message": 'pods "a" not found', "reason": "NotFound"})
    assert client.find("pods", "a", "default") is None
    with pytest.raises(ApiError, match='pods "a" not found') as caught:
        client.get("pods", "a", "default")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    server.script = lambda *_: (500, "oops")
    with pytest.raises(ApiError, match="GET /api/v1/namespaces/default/pods/a: HTTP status 500"):
        client.find("pods", "a", "default")


def test_nobody_answers(server: Server) -> None:
    """Unreachable says where."""
    server.close()
    with pytest.raises(Unreachable, match=f"{server.url} does not answer"):
        ApiClient(server.url, timeout=1).list("pods")
    with pytest.raises(Unreachable):
        ApiClient("unix:/nowhere/socket").list("pods")
    for wrong in ("10.229.43.65:8080", "https://a", "unix:", "http://"):
        with pytest.raises(UsageError, match="no apiserver's address"):
            ApiClient(wrong)


def test_an_informer_lists_then_watches(server: Server) -> None:
    """Each change is told once; the watch goes on where the last one ended."""
    told: list[tuple[str, str]] = []
    events = [{"type": "ADDED", "object": pod("b", 6)}, {"type": "BOOKMARK", "object": pod("", 8)}, {"type": "DELETED", "object": pod("a", 9)}]

    def script(_: str, path: str) -> Answer:
        if "watch" not in path:
            return 200, pods(5, pod("a", 3))
        return 200, events if "resourceVersion=5&" in path else []

    server.script = script
    informer = Informer(ApiClient(server.url), "pods", lambda what, item: told.append((what, key_of(item)[1])), fields="spec.nodeName=n").start()
    until(lambda: any("resourceVersion=9&" in path for _, path, _, _ in list(server.asked)), "watch from version 9")
    informer.stop()
    assert told == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a")]
    assert [key_of(item)[1] for item in informer.items] == ["b"] and informer.get("b", "default")
    assert all("fieldSelector=spec.nodeName%3Dn" in path for _, path, _, _ in server.asked)


def test_an_informer_survives_what_happens_to_apiservers(server: Server) -> None:
    """Away at the start, and a version that is gone: it lists anew and tells the difference."""
    told: list[tuple[str, str]] = []
    lines: list[str] = []
    lists = iter([(503, {}), (200, pods(5, pod("a", 3), pod("b", 4))), (200, pods(9, pod("b", 8), pod("c", 7)))])
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}

    def script(_: str, path: str) -> Answer:
        if "watch" not in path:
            return next(lists)
        return 200, [gone] if "resourceVersion=5&" in path else []

    server.script = script
    informer = Informer(ApiClient(server.url), "pods", lambda what, item: told.append((what, key_of(item)[1])), log=lines.append).start()
    until(lambda: any("resourceVersion=9&" in path for _, path, _, _ in list(server.asked)), "watch from version 9")
    informer.stop()
    assert told == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "a"), ("MODIFIED", "b"), ("ADDED", "c")]
    assert informer.items[0]["kind"] == "Pod"
    assert lines[0].startswith("pods: ") and lines[1] == "pods: the apiserver answers again"


def test_an_informer_keeps_what_it_is_told_to(server: Server) -> None:
    """The handler hears of whole objects; kept is the brief of one, by which a later list still tells what has changed."""
    told: list[tuple[str, dict[str, Any]]] = []
    whole = pod("a", 3) | {"spec": {"nodeName": "n"}}
    lists = iter([pods(5, whole, pod("b", 4)), pods(9, whole)])
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    server.script = lambda _, path: (200, next(lists)) if "watch" not in path else (200, [gone] if "resourceVersion=5&" in path else [])
    informer = Informer(ApiClient(server.url), "pods", lambda what, item: told.append((what, item)), brief=only_metadata).start()
    until(lambda: any("resourceVersion=9&" in path for _, path, _, _ in list(server.asked)), "watch from version 9")
    informer.stop()
    assert [(what, key_of(item)[1]) for what, item in told] == [("ADDED", "a"), ("ADDED", "b"), ("DELETED", "b")]
    assert told[0][1]["spec"] == {"nodeName": "n"}
    assert informer.items == [{"metadata": {"namespace": "default", "name": "a", "resourceVersion": "3"}}]
