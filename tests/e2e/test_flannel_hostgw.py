"""flanneld with the host-gw backend: real etcd, real routes, real packets, in namespaces of their own."""

from __future__ import annotations

import signal

import pytest

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.e2e.pod_traffic import all_pairs_talk, masqueraded_to_the_outside_only, ping
from tests.waiting import until

pytestmark = pytest.mark.e2e

CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"host-gw"}}'
SUBNETS = "/coreos.com/network/subnets/"
TO_TWO = "10.244.2.0/24 via 192.168.1.2 dev eth0"


@pytest.fixture
def pair(sandbox: Sandbox) -> list[Node]:
    """Two nodes with 10.244.1.0/24 and 10.244.2.0/24, flanneld running and looking for deleted routes often."""
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    start(sandbox, nodes, "--route-check", "0.1")
    return nodes


def start(sandbox: Sandbox, nodes: list[Node], *flags: str) -> None:
    """Start the nodes, and wait until each has as many routes as there are others."""
    sandbox.start_nodes(CONFIG, nodes, *flags)
    for node in nodes:
        until(lambda node=node: len(routes(node)) == len(nodes) - 1, f"{node.name}'s routes")  # type: ignore[misc]


def routes(node: Node) -> list[str]:
    """The routes to other nodes' subnets."""
    return [line.rstrip() for line in node.run("ip route").splitlines() if " via 192.168." in line and not line.startswith("default")]


def publish(sandbox: Sandbox, subnet: str, address: str, kind: str = "host-gw") -> None:
    sandbox.etcdctl(f"""put {SUBNETS}{subnet} '{{"PublicIP":"{address}","BackendType":"{kind}"}}'""")


def test_a_node_shows_what_flannel_shows(sandbox: Sandbox, pair: list[Node]) -> None:
    one = pair[0]
    assert routes(one) == [TO_TWO]
    assert "flannel" not in one.run("ip -o link")
    assert one.subnet_file.read_text() == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=false\n"
    )
    assert sandbox.etcdctl(f"get --print-value-only {SUBNETS}10.244.1.0-24") == '{"PublicIP":"192.168.1.1","BackendType":"host-gw"}\n'
    assert one.flanneld.said("Subnet added: 10.244.2.0/24 via 192.168.1.2")


def test_all_pairs_of_three_nodes_talk(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2, 3)]
    start(sandbox, nodes)
    all_pairs_talk(sandbox, nodes, ttl=62)


def test_a_node_that_goes_takes_its_route_along(sandbox: Sandbox, pair: list[Node]) -> None:
    one = pair[0]
    sandbox.etcdctl(f"del {SUBNETS}10.244.2.0-24")
    until(lambda: routes(one) == [], "the route's end")
    assert one.flanneld.said("Subnet removed: 10.244.2.0/24")


def test_a_deleted_route_comes_back(pair: list[Node]) -> None:
    one = pair[0]
    one.run("ip route del 10.244.2.0/24")
    until(lambda: routes(one) == [TO_TWO], "the route's return")
    until(lambda: one.flanneld.said("Route recovered 10.244.2.0/24 : 192.168.1.2"), "the line about it")
    assert "routes=1 recovered=1" in one.stats()


def test_a_nodes_new_address_takes_the_place_of_the_old_gateway(sandbox: Sandbox, pair: list[Node]) -> None:
    """As flannel v0.9; v0.8 deletes by the new gateway, which fails, and keeps the old route."""
    one, two = pair
    two.run("ip address add 192.168.1.7/24 dev eth0")
    publish(sandbox, "10.244.2.0-24", "192.168.1.7")
    until(lambda: routes(one) == ["10.244.2.0/24 via 192.168.1.7 dev eth0"], "the new gateway")
    assert one.flanneld.said("Replacing existing route to 10.244.2.0/24 via 192.168.1.2 with 10.244.2.0/24 via 192.168.1.7.")
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {two.gateway}")


def test_a_route_that_is_there_already_is_kept(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    one.flanneld.signal(signal.SIGTERM)
    one.flanneld.wait()
    assert routes(one) == [TO_TWO]
    assert "ttl=62" in ping(sandbox, pod, there), "packets go on without flanneld"
    one.start_flanneld()
    one.ready()
    until(lambda: one.flanneld.said("Route to 10.244.2.0/24 via 192.168.1.2 already exists, skipping."), "the line about it")
    assert routes(one) == [TO_TWO]


def test_behind_a_nat_it_refuses(sandbox: Sandbox) -> None:
    sandbox.configure(CONFIG)
    flanneld = sandbox.add_node(1).start_flanneld("--public-ip", "203.0.113.5")
    assert flanneld.wait() == 2
    assert flanneld.said("your PublicIP differs from interface IP, meaning that probably you're on a NAT")
    assert not flanneld.said("Traceback")
    assert sandbox.etcdctl(f"get --prefix {SUBNETS}") == "", "no lease is taken"


def test_a_node_off_the_link_cannot_be_a_gateway_and_the_others_go_on(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    publish(sandbox, "10.244.9.0-24", "172.16.0.9")
    until(lambda: one.flanneld.said("Error adding route to 10.244.9.0/24 via 172.16.0.9: network is unreachable"), "the line about it")
    until(lambda: one.flanneld.said("Error recovering route to 10.244.9.0/24 via 172.16.0.9: network is unreachable"), "another try")
    assert routes(one) == [TO_TWO]
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {two.gateway}")
    one.run("ip route del 10.244.2.0/24")
    until(lambda: routes(one) == [TO_TWO], "the other route's return")


@pytest.mark.parametrize("kind", ["udp", "vxlan"])
def test_leases_of_other_backends_are_ignored(sandbox: Sandbox, pair: list[Node], kind: str) -> None:
    one = pair[0]
    value = '{"PublicIP":"192.168.1.9"}' if kind == "udp" else '{"PublicIP":"192.168.1.9","BackendType":"vxlan","BackendData":null}'
    sandbox.etcdctl(f"put {SUBNETS}10.244.9.0-24 '{value}'")
    until(lambda: one.flanneld.said(f"Ignoring non-host-gw subnet: type={kind}"), "the line about it")
    assert routes(one) == [TO_TWO]


def test_a_full_packet_passes_and_one_byte_more_is_answered(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    assert "ttl=62" in sandbox.run(f"ping -c 1 -W 5 -M do -s {1500 - 28} {there}", pod)
    # The pod's own interface would refuse it: a larger one lets it out, and the node has to answer.
    one.run("ip link set docker0 mtu 9000 && ip link set veth0 mtu 9000")
    sandbox.run("ip link set eth0 mtu 9000", pod)
    answer = sandbox.run(f"ping -c 1 -W 5 -M do -s {1501 - 28} {there}", pod, check=False)
    assert "From 10.244.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1500)" in answer


def test_masquerade_is_for_the_outside_only(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    start(sandbox, nodes, "--ip-masq")
    masqueraded_to_the_outside_only(sandbox, nodes)
