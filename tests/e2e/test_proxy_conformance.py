"""What a service is, whichever mode of kube-proxy makes it: one set of checks for all modes, on real traffic.

Where the real modes differ, EXPECTED says how. The checks of a mode share one world and run in it one after another.

Chance: who asks N times and expects to meet each of k back ends, chosen fairly and independently, is disappointed with a probability below
k((k-1)/k)^N: with MANY = 40 and two back ends 2e-12. Affinity of 31 clients, chosen anew, stays the same for all with 2^-31 = 5e-10.
"""

from __future__ import annotations

import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab.model.objects import Service, ServicePort
from tests.e2e.proxy_world import (
    AFFINITY,
    BALANCER_IP,
    CLIENT,
    EXTERNAL_IP,
    MODES,
    MORE_CLIENTS,
    NODES,
    PATIENT,
    SHORT,
    Answer,
    Machine,
    World,
)
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e

VIP = "10.96.1.1"
NOBODYS_IP = "10.96.9.9"
MANY = 40
B = "10.244.1.3"
N1, N2, N3 = NODES.values()
BRIDGE1, BRIDGE2 = "10.244.1.1", "10.244.2.1"


@dataclass(frozen=True)
class Expected:
    """Where a mode differs from others.

    node_sees, pod_sees       what comes of a connection to a service without back ends, made on a node and in a pod
    unused_port               … to a port that the service does not have, made on a node
    unused_ip                 … to an address of the service network that no service has
    localhost                 whether a node port answers on the node's 127.0.0.1
    relayed                   back ends see the node as their client, never who it really is
    local_policy, firewalls   whether externalTrafficPolicy Local and source ranges are known
    retries                   a back end that refuses is made good by the next
    sticks                    a UDP client keeps a back end that is gone until it has been idle
    astray                    a packet may meet old rules whose maps have gone already: one connection in a hundred at most, see docs/kube-proxy.md
    """

    node_sees: str = "refused"
    pod_sees: str = "refused"
    unused_port: str = "timeout"
    unused_ip: str = "refused"
    localhost: bool = True
    relayed: bool = False
    local_policy: bool = True
    firewalls: bool = True
    retries: bool = False
    sticks: bool = False
    astray: bool = False


EXPECTED = {
    # Refusals hang on INPUT and OUTPUT only: what a pod sends is forwarded to where nobody is.
    "iptables-1.7": Expected(pod_sees="timeout"),
    "iptables-1.33": Expected(),
    # A destination NAT that the portal makes leads into the proxy, which accepts before it looks for a back end.
    "userspace": Expected("closed", "closed", relayed=True, local_policy=False, firewalls=False, retries=True, sticks=True),
    # Node ports are open on the node's primary address only; it knows the service network, of which the others have not heard.
    "nftables": Expected(unused_port="refused", unused_ip="timeout", localhost=False, astray=True),
}


def service(name: str = "web", *ports: ServicePort, **more: Any) -> Service:
    """A service of the pods a and c (app=echo) unless told otherwise."""
    return Service(name, "default", ports or (ServicePort(80, target_port="web"),), more.pop("ip", IPv4Address(VIP)), (("app", "echo"),), **more)


def only(pod: str, one: Service) -> Service:
    return replace(one, selector=(("one", pod),))


def node_port(number: int) -> ServicePort:
    return ServicePort(80, target_port="web", node_port=number)


def sources(answers: list[Answer | str]) -> dict[str, set[str]]:
    """Pod -> the sources it saw."""
    wrong = [one for one in answers if not isinstance(one, Answer)]
    assert not wrong, f"{len(wrong)} of {len(answers)} connections: {set(wrong)}"
    good = [one for one in answers if isinstance(one, Answer)]
    return {pod: {one.source for one in good if one.pod == pod} for pod in sorted({one.pod for one in good})}


def asked(machine: Machine, ip: str = VIP, port: int = 80, times: int = MANY) -> dict[str, set[str]]:
    answers: list[Answer | str] = []
    while len(answers) < times and all(isinstance(one, Answer) for one in answers[-1:]):
        answers.append(machine.ask(ip, port))
    return sources(answers)


def outcome(machine: Machine, ip: str, port: int, expected: str) -> Answer | str:
    """What comes of a connection. Time is given to it, except where no answer is expected."""
    return machine.ask(ip, port, SHORT if expected == "timeout" else PATIENT)


def cluster_ip_from_a_node(world: World, expected: Expected) -> None:
    world.serve(service())
    assert asked(world.nodes["n1"]) == {"a": {BRIDGE1}, "c": {N1}}
    assert asked(world.nodes["n3"]) == {"a": {N3}, "c": {N3}}


def cluster_ip_from_a_pod(world: World, expected: Expected) -> None:
    world.serve(service())
    assert asked(world.pods["b"]) == ({"a": {BRIDGE1}, "c": {N1}} if expected.relayed else {"a": {B}, "c": {B}})


def hairpin(world: World, expected: Expected) -> None:
    world.serve(only("a", service()))
    assert asked(world.pods["a"], times=3) == {"a": {BRIDGE1}}


def a_node_port_leads_from_every_node_to_every_pod(world: World, expected: Expected) -> None:
    world.serve(service("np", node_port(30001), type="NodePort"))
    for name, ip in NODES.items():
        own = {"n1": {"a": {BRIDGE1}, "c": {N1}}, "n2": {"a": {N2}, "c": {BRIDGE2}}, "n3": {"a": {N3}, "c": {N3}}}[name]
        assert asked(world.client, ip, 30001) == own, name


def a_node_port_on_localhost(world: World, expected: Expected) -> None:
    world.serve(service("np", node_port(30001), type="NodePort"))
    if expected.localhost:
        assert set(asked(world.nodes["n1"], "127.0.0.1", 30001)) == {"a", "c"}
    else:
        assert world.nodes["n1"].ask("127.0.0.1", 30001) == "refused"


def the_policy_local_keeps_the_clients_address(world: World, expected: Expected) -> None:
    world.serve(service("np", node_port(30001), type="NodePort", external_traffic_policy="Local"))
    if not expected.local_policy:
        assert asked(world.client, N1, 30001) == {"a": {BRIDGE1}, "c": {N1}}
        assert asked(world.client, N3, 30001) == {"a": {N3}, "c": {N3}}
        return
    assert asked(world.client, N1, 30001) == {"a": {CLIENT}}
    assert asked(world.client, N2, 30001) == {"c": {CLIENT}}
    assert outcome(world.client, N3, 30001, "timeout") == "timeout", "n3 has no such pod"
    assert set(asked(world.pods["b"], N1, 30001)) == {"a", "c"}, "for pods the policy does not count"


def an_external_ip(world: World, expected: Expected) -> None:
    world.serve(service(external_ips=(IPv4Address(EXTERNAL_IP),)))
    assert asked(world.client, EXTERNAL_IP) == {"a": {BRIDGE1}, "c": {N1}}


def a_load_balancer_with_source_ranges(world: World, expected: Expected) -> None:
    ranges = (IPv4Network("192.168.50.101/32"), IPv4Network("198.51.100.0/24"))
    balancer = (IPv4Address(BALANCER_IP),)
    world.serve(service("lb", node_port(30001), type="LoadBalancer", load_balancer_ips=balancer, load_balancer_source_ranges=ranges))
    good = [world.client.ask(BALANCER_IP, 80, source=MORE_CLIENTS[0]) for _ in range(MANY)]
    assert sources(good) == {"a": {BRIDGE1}, "c": {N1}}
    if expected.firewalls:
        assert outcome(world.client, BALANCER_IP, 80, "timeout") == "timeout"
    else:
        assert set(asked(world.client, BALANCER_IP)) == {"a", "c"}
    assert set(asked(world.client, N1, 30001)) == {"a", "c"}, "node ports are not subject to the ranges"


def session_affinity_and_its_end(world: World, expected: Expected) -> None:
    world.serve(service("sticky", node_port(30001), type="NodePort", session_affinity="ClientIP", affinity_seconds=AFFINITY))

    def round_of_all() -> dict[str, str]:
        answers = {source: world.client.ask(N1, 30001, source=source) for source in MORE_CLIENTS}
        sources(list(answers.values()))
        return {source: one.pod for source, one in answers.items() if isinstance(one, Answer)}

    judged = 0
    while not judged:  # a machine that stops for as long as the affinity lasts proves nothing
        begun = time.monotonic()
        before, again = round_of_all(), round_of_all()
        if time.monotonic() - begun < AFFINITY:
            judged += 1
            assert before == again
    assert set(before.values()) == {"a", "c"}, "clients are different clients"
    world.forget_clients(time.monotonic())
    assert round_of_all() != before


def headless_and_unserved_services_have_no_rules(world: World, expected: Expected) -> None:
    world.serve()
    world.sync()  # nftables: chains that one sync has emptied are deleted by the next
    nothing = {name: _shape(world, name) for name in NODES}
    world.serve(service("ghost", ip=None, headless=True))
    assert {name: _shape(world, name) for name in NODES} == nothing
    assert "ghost" not in world.rules("n1")
    world.serve(service("ghost"))
    assert "ghost" in world.rules("n1")


def _shape(world: World, node: str) -> list[str]:
    """The rules without counters."""
    return [line.split(" [")[0] for line in world.rules(node).splitlines() if not line.startswith("#")]


def no_endpoints(world: World, expected: Expected) -> None:
    world.serve(service("np", node_port(30001), type="NodePort"), pods=())
    assert world.nodes["n1"].ask(VIP, 80) == expected.node_sees
    assert outcome(world.pods["b"], VIP, 80, expected.pod_sees) == expected.pod_sees
    assert world.client.ask(N1, 30001) == expected.node_sees
    world.set_pods("np", "a")
    assert asked(world.pods["b"], times=3) == {"a": {BRIDGE1 if expected.relayed else B}}


def a_back_end_that_refuses(world: World, expected: Expected) -> None:
    world.serve(replace(service("half", ServicePort(80, target_port="half")), selector=(("half", "yes"),)))
    outcomes = {world.nodes["n3"].ask(VIP, 80) for _ in range(MANY)}
    assert outcomes == ({Answer("a", N3)} if expected.retries else {Answer("a", N3), "refused"})


def a_port_that_the_service_does_not_have(world: World, expected: Expected) -> None:
    world.serve(service())
    assert outcome(world.nodes["n1"], VIP, 81, expected.unused_port) == expected.unused_port


def an_address_of_the_service_network_that_no_service_has(world: World, expected: Expected) -> None:
    """It is given to the machine behind the default route here, which refuses what reaches it."""
    world.serve(service())
    world.client.run(f"ip address add {NOBODYS_IP}/32 dev lo; ip route add {B}/32 via {N1}")
    try:
        assert world.client.ask(NOBODYS_IP, 80) == "refused"
        for machine in (world.nodes["n1"], world.pods["b"]):
            assert outcome(machine, NOBODYS_IP, 80, expected.unused_ip) == expected.unused_ip
    finally:
        world.client.run(f"ip address delete {NOBODYS_IP}/32 dev lo; ip route delete {B}/32")


def several_ports_and_a_target_port_by_name(world: World, expected: Expected) -> None:
    ports = (ServicePort(80, "http", target_port="web"), ServicePort(81, "admin", target_port="admin"))
    world.serve(service("multi", *ports))
    numbers = {subset.addresses[0].target: {port.name: port.port for port in subset.ports} for subset in world.services["multi"][1].subsets}
    assert numbers == {"a": {"http": 8080, "admin": 9090}, "c": {"http": 9090, "admin": 9090}}, "`web` is another number on c"
    for port in (80, 81):
        assert set(asked(world.pods["b"], port=port)) == {"a", "c"}


def udp_and_a_back_end_replaced(world: World, expected: Expected) -> None:
    world.serve(service("dns", ServicePort(53, "dns", "UDP", "dns")), pods=("a",))
    client = world.pods["b"]
    source = BRIDGE1 if expected.relayed else B
    with client.socket(socket.SOCK_DGRAM) as one:
        assert [client.ask_udp(VIP, 53, using=one) for _ in range(3)] == [Answer("a", source)] * 3
        world.set_pods("dns", "c")
        if not expected.sticks:
            assert client.ask_udp(VIP, 53, using=one) == Answer("c", B)
            return
        last = time.monotonic()
        until(lambda: time.monotonic() > last + 0.5, "the end of the proxy's socket for this client")
        assert client.ask_udp(VIP, 53, using=one) == Answer("c", N1)


def udp_reaches_every_back_end(world: World, expected: Expected) -> None:
    world.serve(service("dns", ServicePort(53, "dns", "UDP", "dns")))
    client = world.pods["b"]
    assert set(sources([client.ask_udp(VIP, 53) for _ in range(MANY)])) == {"a", "c"}


def changes_under_load(world: World, expected: Expected) -> None:
    """Back ends come and go while clients in a pod and outside connect all the time: each new connection gets its answer.

    What earlier checks have tried in vain is forgotten first: conntrack remembers a connection that got no target for two minutes, and a new one
    that gets the same port from the system, one in some thousands, would follow it.
    """
    world.serve(service("np", node_port(30001), type="NodePort"))
    for node in world.nodes.values():
        node.run("conntrack -F")
    ended = threading.Event()
    seen: dict[str, list[Answer | str]] = {"pod": [], "client": []}
    ready = threading.Barrier(3)

    def load(name: str, machine: Machine, ip: str, port: int) -> None:
        with machine.namespace.entered():  # once, before the others go on: from then on this thread's file system is its own
            pass
        ready.wait()
        while not ended.is_set():
            seen[name].append(machine.ask(ip, port))

    threads = [
        threading.Thread(target=load, args=("pod", world.pods["b"], VIP, 80)),
        threading.Thread(target=load, args=("client", world.client, N3, 30001)),
    ]
    for thread in threads:
        thread.start()
    ready.wait()
    try:
        for pods in (("a",), ("a", "c"), ("c",), ("a", "c")) * 4:
            world.set_pods("np", *pods)
            counts = [len(one) for one in seen.values()]
            until(lambda counts=counts: all(len(one) > count + 3 for one, count in zip(seen.values(), counts, strict=True)), "connections")
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    for answers in seen.values():
        answered = [one for one in answers if isinstance(one, Answer)]
        astray = len(answers) // 100 if expected.astray else 0
        assert set(sources(answered if len(answered) >= len(answers) - astray else answers)) == {"a", "c"}


def what_goes_leaves_nothing(world: World, expected: Expected) -> None:
    world.serve()
    world.sync()
    empty = _shape(world, "n1")
    world.serve(
        service("np", node_port(30001), type="NodePort", session_affinity="ClientIP", external_ips=(IPv4Address(EXTERNAL_IP),)),
        service("dns", ServicePort(53, "dns", "UDP", "dns"), ip=IPv4Address("10.96.1.2")),
    )
    assert _shape(world, "n1") != empty
    world.serve()
    world.sync()
    assert _shape(world, "n1") == empty


def cleanup(world: World, expected: Expected) -> None:
    """Comes last."""
    world.serve(service("np", node_port(30001), type="NodePort", session_affinity="ClientIP"))
    world.close()
    for node in NODES:
        assert "kube" not in _kube_proxys(world.rules(node)).lower()
    assert not isinstance(world.nodes["n1"].ask(VIP, 80, SHORT), Answer)


CHECKS: tuple[Callable[[World, Expected], None], ...] = (
    cluster_ip_from_a_node,
    cluster_ip_from_a_pod,
    hairpin,
    a_node_port_leads_from_every_node_to_every_pod,
    a_node_port_on_localhost,
    the_policy_local_keeps_the_clients_address,
    an_external_ip,
    a_load_balancer_with_source_ranges,
    session_affinity_and_its_end,
    headless_and_unserved_services_have_no_rules,
    no_endpoints,
    a_back_end_that_refuses,
    a_port_that_the_service_does_not_have,
    an_address_of_the_service_network_that_no_service_has,
    several_ports_and_a_target_port_by_name,
    udp_reaches_every_back_end,
    udp_and_a_back_end_replaced,
    changes_under_load,
    what_goes_leaves_nothing,
    cleanup,
)


@pytest.fixture(scope="module", params=list(MODES))
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A mode, and for each check the traceback it ended with, or nothing."""
    file = tmp_path_factory.mktemp("conformance") / "results.json"
    sandboxed(lambda: _run_all(request.param, file))
    yield request.param, json.loads(file.read_text())


def _run_all(mode: str, file: Path) -> None:
    world = World(mode)
    found = {}
    for check in CHECKS:
        try:
            check(world, EXPECTED[mode])
            found[check.__name__] = ""
        except Exception:
            found[check.__name__] = f"{traceback.format_exc()}\n{world.rules('n1')}"
    file.write_text(json.dumps(found))


def _kube_proxys(rules: str) -> str:
    """Rules without those that kubelet writes."""
    return "\n".join(line for line in rules.splitlines() if "KUBE-FIREWALL" not in line and "KUBE-MARK-DROP" not in line)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_every_mode(results: tuple[str, dict[str, str]], check: str) -> None:
    mode, found = results
    if found[check]:
        pytest.fail(f"{mode}: {check}: {found[check]}")


def test_every_mode_has_its_expectations() -> None:
    assert set(EXPECTED) == set(MODES)
