"""What kube-proxy tells of itself over HTTP: health and metrics, as v1.7 and as today's."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from lab.kubeproxy.answering import Answer, Server
from lab.kubeproxy.web import State, local_ends
from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service, ServicePort


def metrics(state: State) -> dict[str, float]:
    """Metric with labels -> value."""
    status, kind, text = state.metrics("/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4")
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def synced(mode: str, modern: bool) -> State:
    state = State(mode, 60, modern)
    for seconds in (0.0015, 0.004, 99.0):
        state.synced(seconds, {})
    return state


def test_v17_tells_durations_in_microseconds_of_iptables_mode_only() -> None:
    name = "kubeproxy_sync_proxy_rules_latency_microseconds"
    found = metrics(synced("iptables", False))
    assert {key.partition("_bucket")[0] for key in found} == {name, f"{name}_sum", f"{name}_count"}
    assert len(found) == 15 + 3 and found[f'{name}_bucket{{le="1000"}}'] == 0
    assert found[f'{name}_bucket{{le="2000"}}'] == 1 and found[f'{name}_bucket{{le="4000"}}'] == 2
    assert found[f'{name}_bucket{{le="1.6384e+07"}}'] == 2 and found[f'{name}_bucket{{le="+Inf"}}'] == found[f"{name}_count"] == 3
    assert abs(found[f"{name}_sum"] - 99_005_500) < 1
    assert metrics(synced("userspace", False)) == {}


def test_today_they_are_seconds_and_there_are_more() -> None:
    state = synced("iptables", True)
    state.failures = 2
    found = metrics(state)
    name = "kubeproxy_sync_proxy_rules_duration_seconds"
    assert found[f'{name}_bucket{{le="0.002"}}'] == 1 and found[f'{name}_bucket{{le="16.384"}}'] == 2 and found[f"{name}_count"] == 3
    assert found["kubeproxy_sync_proxy_rules_iptables_restore_failures_total"] == 2
    assert found["kubeproxy_sync_proxy_rules_last_timestamp_seconds"] == state.last
    assert "kubeproxy_sync_proxy_rules_nftables_sync_failures_total" in metrics(synced("nftables", True))
    assert not any("microseconds" in key for key in found)


def test_it_is_ill_when_no_sync_succeeded_for_too_long_and_counts_who_asked() -> None:
    state = State("nftables", 60, modern=True)
    assert state.healthz("/healthz")[0] == 200, "at the start it is given time"
    state.synced(0.1, {})
    assert state.healthz("/healthz")[0] == 200
    state.last -= 61
    status, _, text = state.healthz("/healthz")
    assert status == 503 and json.loads(text).keys() == {"lastUpdated", "currentTime", "nodeEligible"}
    asked = {key: value for key, value in metrics(state).items() if "healthz" in key}
    assert asked == {'kubeproxy_proxy_healthz_total{code="200"}': 2, 'kubeproxy_proxy_healthz_total{code="503"}': 1}
    assert json.loads(State("iptables", 60).healthz("/healthz")[2]).keys() == {"lastUpdated", "currentTime"}


def test_only_a_load_balancers_local_policy_has_a_health_check() -> None:
    service = Service("web", "shop", (ServicePort(80),), None, type="LoadBalancer", external_traffic_policy="Local", health_check_node_port=30000)
    addresses = tuple(EndpointAddress(IPv4Address(f"10.244.{number}.2"), f"n{number}") for number in (1, 2))
    ends = Endpoints("web", "shop", (EndpointSubset(addresses, (EndpointPort(80),)),))
    assert local_ends([service], [ends], "n1") == {30000: ("shop", "web", 1)}
    assert local_ends([service], [ends], "n3") == {30000: ("shop", "web", 0)}
    for other in (replace(service, type="NodePort"), replace(service, external_traffic_policy="Cluster")):
        assert local_ends([other], [ends], "n1") == {}


def test_its_mode_and_nothing_else() -> None:
    state = State("nftables", 60)
    assert state.metrics("/proxyMode") == (200, "text/plain", "nftables")
    assert state.metrics("/secrets")[0] == state.healthz("/metrics")[0] == 404


ASKED = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server that answers with the path it was asked for."""
    server = Server("127.0.0.1", 0, _echo)
    yield server.port
    server.close()


def _echo(path: str) -> Answer:
    return (200 if path != "/no" else 503), "text/plain", f"{path} 你好\n"


def _said(port: int, words: bytes) -> bytes:
    """All that comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_path_is_answered_without_its_query(port: int) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics?a=b", timeout=60) as answer:
        assert (answer.status, answer.headers["Content-Type"], answer.read().decode()) == (200, "text/plain", "/metrics 你好\n")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/no", timeout=60)
    with refused.value as answer:
        assert answer.status == 503


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (ASKED, b"200"),
        (b"POST / HTTP/1.1\r\n\r\n", b"501"),
        (b"GET / HTTP/x\r\n\r\n", b"400"),
        (bytes(range(256)) * 4 + b"\n\n", b"400"),
    ],
)
def test_whatever_is_asked_is_answered(port: int, words: bytes, status: bytes) -> None:
    assert status in _said(port, words)


def test_a_closed_server_lets_its_port_go() -> None:
    first = Server("127.0.0.1", 0, _echo)
    number = first.port
    first.close()
    with pytest.raises(OSError):
        _said(number, ASKED)
    second = Server("127.0.0.1", number, _echo)
    assert b"200 OK" in _said(number, ASKED)
    second.close()
