"""Services of every kind on real traffic, in the article's cluster: who answers, and whom the pod sees (kube-proxy v1.7, flannel 0.8)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lab.cluster.wanted import wanted
from lab.fabric import daemon
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from lab.workloads import echo
from tests.sandboxed import together

pytestmark = pytest.mark.e2e

PODS = """
apiVersion: v1
kind: Pod
metadata: {name: e1, labels: {app: echo}}
spec:
  nodeName: zenlinnode1
  containers: [{name: echo, image: echo, ports: [{name: web, containerPort: 8080}, {name: dns, containerPort: 5353, protocol: UDP}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: e2, labels: {app: echo}}
spec:
  nodeName: zenlinnode2
  containers: [{name: echo, image: echo, ports: [{name: web, containerPort: 9090}, {name: dns, containerPort: 5353, protocol: UDP}]}]
---
apiVersion: v1
kind: Pod
metadata: {name: other}
spec: {nodeName: zenlin, containers: [{name: u, image: ubuntu}]}
"""
SERVICE = """
---
apiVersion: v1
kind: Service
metadata: {{name: {name}}}
spec:
  clusterIP: {ip}
  selector: {{app: {app}}}
  {more}
"""


def _service(name: str, ip: str, more: str, app: str = "echo") -> str:
    return SERVICE.format(name=name, ip=ip, more=more, app=app)


SERVICES = (
    _service("plain", "10.96.1.1", "ports: [{port: 80, targetPort: web}]"),
    _service("np", "10.96.1.2", "type: NodePort\n  ports: [{port: 80, targetPort: web, nodePort: 31000}]"),
    _service("local", "10.96.1.3", "type: NodePort\n  externalTrafficPolicy: Local\n  ports: [{port: 80, targetPort: web, nodePort: 31001}]"),
    _service("sticky", "10.96.1.4", "sessionAffinity: ClientIP\n  ports: [{port: 80, targetPort: web}]"),
    _service("nobody", "10.96.1.5", "ports: [{port: 80}]", app="nobody"),
    _service("udp", "10.96.1.6", "ports: [{port: 53, protocol: UDP, targetPort: dns}]"),
)


def _boot() -> Any:
    """The topology zenlin with the pods and services."""
    from lab.cluster.boot import boot

    return boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(PODS + "".join(SERVICES), "test.yaml")))


def _curl(host: Any, url: str, times: int = 1) -> list[dict[str, str]]:
    """Answers of that many connections: {"pod": …, "client": address without port}."""
    ran = host.run(f"for i in $(seq {times}); do curl -s -m 3 {url} || exit 1; done", timeout=30)
    assert ran.status == 0, f"{host.name}: curl {url}: {ran}"
    pods = [line.split()[1] for line in ran.stdout.splitlines() if line.startswith("pod: ")]
    clients = [line.split()[1].rpartition(":")[0] for line in ran.stdout.splitlines() if line.startswith("client: ")]
    return [{"pod": pod, "client": client} for pod, client in zip(pods, clients, strict=True)]


def _seen(answers: list[dict[str, str]]) -> dict[str, set[str]]:
    """Pod -> the client addresses it saw."""
    return {pod: {one["client"] for one in answers if one["pod"] == pod} for pod in {one["pod"] for one in answers}}


MANY = 24
"""Connections; a fair choice between two leaves one of them out once in 2^23 runs."""


def target_ports_by_name_differ_by_pod(lab: Any) -> None:
    endpoints = {str(subset.addresses[0].ip): subset.ports[0].port for subset in lab.endpoints("plain").subsets}
    assert endpoints == {str(lab.pod_object("e1").pod_ip): 8080, str(lab.pod_object("e2").pod_ip): 9090}
    own = str(lab.pod_object("other").pod_ip)
    assert _seen(_curl(lab.pod("other"), "10.96.1.1", MANY)) == {"e1": {own}, "e2": {own}}


def node_port_from_outside(lab: Any) -> None:
    seen = _seen(_curl(lab.client(), "10.229.53.146:31000", MANY))
    assert seen == {"e1": {"10.244.1.1"}, "e2": {"10.244.1.0"}}, "masqueraded to the address of the device it left by"
    assert set(_seen(_curl(lab.node("zenlinnode2"), "127.0.0.1:31000", MANY))) == {"e1", "e2"}, "route_localnet"
    assert lab.client().run("curl -s -m 0.5 10.96.1.2:80").status != 0, "a cluster IP means nothing outside the cluster"


def local_policy_keeps_the_clients_address(lab: Any) -> None:
    assert _seen(_curl(lab.client(), "10.229.53.146:31001", 8)) == {"e1": {"192.168.88.10"}}
    assert _seen(_curl(lab.client(), "10.229.45.161:31001", 8)) == {"e2": {"192.168.88.10"}}
    assert lab.client().run("curl -s -m 0.5 10.229.43.65:31001").status != 0, "the master has no such pod"


def client_affinity(lab: Any) -> None:
    for host in (lab.pod("other"), lab.node("zenlinnode1"), lab.node("zenlinnode2")):
        assert len(_seen(_curl(host, "10.96.1.4", MANY))) == 1, "the same pod every time"


def without_endpoints_a_node_is_refused_at_once(lab: Any) -> None:
    assert lab.node("zenlin").run("curl -s -m 3 10.96.1.5").status == 7, "refused, not timed out"


def udp(lab: Any) -> None:
    ask = "exec 3<>/dev/udp/10.96.1.6/53; echo hello >&3; timeout 5 dd bs=4096 count=1 <&3 2>/dev/null"  # one read, one datagram
    own = str(lab.pod_object("other").pod_ip)
    answers = [lab.pod("other").run(ask).stdout.split() for _ in range(MANY)]
    assert {words[1] for words in answers} == {"e1", "e2"}
    assert {words[3].rpartition(":")[0] for words in answers} == {own}
    assert {words[4] for words in answers} == {"hello"}


def pods_are_masqueraded_to_the_world_and_only_to_it(lab: Any) -> None:
    client = lab.client()
    running = daemon.fork(client.namespace, "echo", partial(echo.serve, "client", [("TCP", 8080)]))
    running.wait_until(lambda: client.run("ss -Hltn 'sport = :8080'").stdout != "", "listening")
    assert _seen(_curl(lab.pod("e1"), "192.168.88.10:8080")) == {"client": {"10.229.53.146"}}
    assert _seen(_curl(lab.pod("e1"), f"{lab.pod_object('e2').pod_ip}:9090")) == {"e2": {str(lab.pod_object("e1").pod_ip)}}


def a_service_that_goes_leaves_no_chain_and_a_pod_that_goes_is_not_chosen(lab: Any) -> None:
    node = lab.node("zenlin")
    before = node.run("iptables-save | sed 's/ \\[.*//; /^#/d'").stdout
    assert lab.service("plain").cluster_ip is not None and "default/plain:" in before
    lab.delete_service("plain")
    after = node.run("iptables-save").stdout
    assert "default/plain" not in after
    assert after.count(":KUBE-SVC-") == before.count(":KUBE-SVC-") - 1
    assert after.count(":KUBE-SEP-") == before.count(":KUBE-SEP-") - 2
    lab.apply(load_manifests(SERVICES[0], "plain.yaml"))
    assert node.run("iptables-save | sed 's/ \\[.*//; /^#/d'").stdout == before, "the same rules come back"
    lab.delete_pod("e2")
    assert set(_seen(_curl(lab.pod("other"), "10.96.1.1", MANY))) == {"e1"}
    assert "e2" not in lab.network.nameToNode


CHECKS: tuple[Callable[[Any], None], ...] = (
    target_ports_by_name_differ_by_pod,
    node_port_from_outside,
    local_policy_keeps_the_clients_address,
    client_affinity,
    without_endpoints_a_node_is_refused_at_once,
    udp,
    pods_are_masqueraded_to_the_world_and_only_to_it,
    a_service_that_goes_leaves_no_chain_and_a_pod_that_goes_is_not_chosen,  # the last: it takes a pod away
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return together(tmp_path_factory.mktemp("services") / "results.json", _boot, CHECKS)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_services(results: dict[str, str], check: str) -> None:
    if results[check]:
        pytest.fail(results[check])
