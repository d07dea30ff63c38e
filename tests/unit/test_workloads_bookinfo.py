"""bookinfo's services and the small pages: what they answer, whatever their callees do; and the article's manifests that use them."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model import manifests
from lab.model.objects import Container, ContainerPort, Pod
from lab.workloads import bookinfo, bookpage, images, web
from tests.waiting import POLLING, until

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
ARTICLE = {
    "details": "10.111.84.67 9080",
    "grafana": "10.110.131.254 3000",
    "istio-egress": "10.99.236.93 80",
    "nginx-service": "10.105.211.16 8000",
    "php-apache": "10.106.156.64 80",
    "productpage": "10.104.17.86 9080",
    "prometheus": "10.109.48.180 9090",
    "ratings": "10.100.168.14 9080",
    "reviews": "10.110.130.11 9080",
    "servicegraph": "10.104.205.192 8088",
    "zipkin": "10.105.183.37 9411",
}
"""The article's table but for kubernetes, which the apiserver makes."""

PLAIN = st.none() | st.booleans() | st.integers() | st.text()
JSON = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def cluster(role: str, path: str, **pods: str) -> web.Page:
    """Ask one service, whose callees are the pure functions of the others; one that has no pod is away."""

    def call(service: str, path: str, headers: Any) -> Any:
        if service not in pods:
            return None
        versions = {"reviews": pods.get("version", "reviews-v1")}
        page = bookinfo.answer(versions.get(service, f"{service}-v1"), pods[service], path, headers, call)
        return json.loads(page.body)

    return bookinfo.answer(role, "me", path, {}, call)


@pytest.mark.parametrize("version, color, ratings", [("reviews-v1", "", ""), ("reviews-v2", "black", "t"), ("reviews-v3", "red", "t")])
def test_the_page_names_the_pods_and_shows_the_versions_stars(version: str, color: str, ratings: str) -> None:
    pods = {"details": "d", "reviews": "r", "ratings": "t", "version": version}
    said = json.loads(cluster("productpage-v1", "/api/v1/products/0", **pods).body)
    assert said["pods"] == {"productpage": "me", "details": "d", "reviews": "r", "ratings": ratings}
    page = cluster("productpage-v1", "/productpage", **pods)
    assert page.kind == "text/html" and page.status == 200
    assert "<li>reviews: r</li>" in page.body and "William Shakespeare" in page.body
    assert page.body.count("★") == (9 if color else 0) and (f'color="{color}"' in page.body) == bool(color)


def test_a_callee_that_is_away_costs_its_part_only() -> None:
    page = cluster("productpage-v1", "/productpage", details="d").body
    assert "Sorry, product reviews are currently unavailable for this book." in page and "William Shakespeare" in page
    page = cluster("productpage-v1", "/productpage", reviews="r", version="reviews-v2").body
    assert "Sorry, product details are currently unavailable for this book." in page
    assert page.count("Ratings service is currently unavailable") == 2
    assert cluster("productpage-v1", "/api/v1/products/0/reviews").status == 503


@pytest.mark.parametrize(
    "role, path, status",
    [
        ("details-v1", "/details/0", 200),
        ("details-v1", "/details/x", 400),
        ("ratings-v1", "/reviews/0", 404),
        ("reviews-v3", "/health", 200),
        ("productpage-v1", "/", 200),
        ("productpage-v1", "/api/v1/products", 200),
        ("productpage-v1", "/api/v1/products/1", 404),
        ("productpage-v1", "/productpage/..", 404),
    ],
)
def test_paths(role: str, path: str, status: int) -> None:
    assert cluster(role, path, ratings="t").status == status


@given(st.dictionaries(st.sampled_from(["reviews", "podname", "ratings", "author", "x"]), JSON), st.booleans())
def test_whatever_a_callee_says_there_is_a_page(said: dict[str, Any], nested: bool) -> None:
    said = {"reviews": [{"text": "<script>", "rating": said}]} if nested else said
    page = bookpage.page("me", said, said)
    assert page.endswith("</html>\n") and "<script>" not in page
    json.dumps(bookpage.product("me", said, said))
    bookpage.reviews(0, "me", said, "red")


def test_callees_are_found_by_the_kubelets_variables_and_else_by_name() -> None:
    assert bookinfo.address_of("details", {"DETAILS_SERVICE_HOST": "10.1.1.1", "DETAILS_SERVICE_PORT": "80"}) == ("10.1.1.1", 80)
    for port in ("", "x", "99999", "tcp://10.1.1.1:80"):
        assert bookinfo.address_of("details", {"DETAILS_SERVICE_HOST": "10.1.1.1", "DETAILS_SERVICE_PORT": port}) == ("details", 9080)


def test_a_trace_hangs_together() -> None:
    assert bookinfo.carried({"x-b3-traceid": "1", "x-request-id": "2", "cookie": "no"}) == {"x-b3-traceid": "1", "x-request-id": "2"}


# --- over HTTP --------------------------------------------------------------------------------------------------------------------


@contextmanager
def serving(role: str, pod: str, environ: dict[str, str]) -> Iterator[int]:
    call = bookinfo.caller(environ)
    server = web.server(pod, 0, lambda path, headers: bookinfo.answer(role, pod, path, headers, call), "127.0.0.1")
    threading.Thread(target=server.serve_forever, args=(POLLING,), daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def get(port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def variables(service: str, port: int) -> dict[str, str]:
    return {f"{service}_SERVICE_HOST": "127.0.0.1", f"{service}_SERVICE_PORT": str(port)}


def test_four_services_talk_to_each_other() -> None:
    with ExitStack() as stack:
        ratings = stack.enter_context(serving("ratings-v1", "t", {}))
        reviews = stack.enter_context(serving("reviews-v3", "r", variables("RATINGS", ratings)))
        details = stack.enter_context(serving("details-v1", "d", {}))
        page = stack.enter_context(serving("productpage-v1", "p", variables("REVIEWS", reviews) | variables("DETAILS", details)))
        status, body = get(page, "/api/v1/products/0?u=normal")
        assert status == 200 and json.loads(body)["pods"] == {"productpage": "p", "details": "d", "reviews": "r", "ratings": "t"}
        assert '<font color="red">' in get(page, "/productpage")[1]


def test_a_callee_that_says_nothing_or_nonsense_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookinfo, "TIMEOUTS", {"details": 0.2, "reviews": 0.2})
    with socket.create_server(("127.0.0.1", 0)) as silent, ExitStack() as stack:
        wrong = stack.enter_context(serving("ratings-v1", "t", {}))
        environ = variables("REVIEWS", silent.getsockname()[1]) | variables("DETAILS", wrong)
        page = stack.enter_context(serving("productpage-v1", "p", environ))
        body = get(page, "/productpage")[1]
        assert "Sorry, product reviews" in body and "Sorry, product details" in body
        with socket.create_connection(("127.0.0.1", page)) as rude:
            rude.sendall(b"\x00\xff /\r\n\r\n")
        assert get(page, "/health")[0] == 200


# --- images and manifests ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image, args, port",
    [
        ("istio/examples-bookinfo-reviews-v2:0.2.3", (), 9080),
        ("docker.io/istio/grafana:0.1", (), 3000),
        ("gcr.io/google_containers/hpa-example", (), 80),
        ("docker.io/istio/proxy_debug:0.2", ("proxy", "egress"), 80),
        ("docker.io/istio/proxy_debug:0.2", ("proxy", "sidecar"), 0),
        ("docker.io/istio/proxyv2", (), 0),
        ("gcr.io/google_containers/k8s-dns-kube-dns-amd64:1.14.4", ("--kube-master-url", "http://a", "--dns-port=10053"), 10053),
        ("registry.k8s.io/coredns/coredns", ("--kube-master-url=http://a",), 53),
    ],
)
def test_what_images_stand_for(image: str, args: tuple[str, ...], port: int) -> None:
    container = Container("c", image, args=args)
    workload = images.workload(Pod("p", "default", (container,)), container)
    assert images.is_known(container) and workload.port == port
    assert bool(workload.argv) == bool(port)


def test_a_containers_own_port_goes_before_the_images() -> None:
    container = Container("c", "zipkin", ports=(ContainerPort(9999),))
    assert images.workload(Pod("p", "default", (container,)), container).port == 9999


def test_a_page_names_the_pod_and_is_served_from_anywhere() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    container = Container("c", "hpa-example", ports=(ContainerPort(port),))
    argv = images.workload(Pod("php-apache-1", "default", (container,)), container).argv
    with subprocess.Popen([sys.executable, *argv[1:]], cwd="/", env={"PATH": "/usr/bin"}, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: _listens(port), "the page's start")
            status, body = get(port, "/any?x")
            assert status == 200 and body.startswith("OK!\npod: php-apache-1\n")
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _objects(files: list[Path]) -> manifests.Objects:
    return manifests.load_files((file.read_text(), str(file)) for file in files)


def test_the_articles_services_have_its_addresses_and_their_pods_can_run() -> None:
    objects = _objects(sorted((SCENARIOS / "three-networks").glob("*.yaml")))
    assert {one.name: f"{one.cluster_ip} {one.ports[0].port}" for one in objects.services} == ARTICLE
    assert {one.name: one.ports[0].node_port for one in objects.services if one.ports[0].node_port} == {"zipkin": 30305}
    for service in objects.services:
        behind = [one for one in objects.deployments if set(service.selector) <= set(one.labels)]
        assert behind, service.name
        for deployment in behind:
            images.require_known(deployment.name, deployment.containers)
            port = service.ports[0].target_port
            assert any(images.workload(Pod("p", "default", deployment.containers), one).port == port for one in deployment.containers)
    alone = _objects([SCENARIOS / "bookinfo" / "bookinfo.yaml"])
    assert {one.name for one in alone.services} == {"details", "ratings", "reviews", "productpage"}
    assert all(len(one.containers) == 2 for one in alone.deployments) and len(alone.deployments) == 6
