"""flanneld with the vxlan backend: real etcd, real vxlan devices, real packets, in namespaces of their own."""

from __future__ import annotations

import itertools
import json
import re
import signal
from collections.abc import Sequence

import pytest

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.e2e.pod_traffic import all_pairs_talk, masqueraded_to_the_outside_only, ping
from tests.waiting import until

pytestmark = pytest.mark.e2e

CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}'
L3MISS = '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","L3Miss":true}}'
SUBNETS = "/coreos.com/network/subnets/"


@pytest.fixture
def pair(sandbox: Sandbox) -> list[Node]:
    """Two nodes with 10.244.1.0/24 and 10.244.2.0/24, flanneld running, each knowing the other's device."""
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    start(sandbox, CONFIG, nodes)
    return nodes


def start(sandbox: Sandbox, config: str, nodes: Sequence[Node], *flags: str) -> None:
    """Start the nodes, and wait until each has the forwarding entry of each other's device."""
    sandbox.start_nodes(config, nodes, *flags)
    for one, two in itertools.permutations(nodes, 2):
        until(lambda one=one, two=two: mac(two) in fdb(one), f"{one.name}'s forwarding entry for {two.name}")  # type: ignore[misc]


def mac(node: Node, device: str = "flannel.1") -> str:
    return node.run(f"ip -o link show {device}").split("link/ether ")[1].split()[0]


def fdb(node: Node, device: str = "flannel.1") -> str:
    return node.run(f"bridge fdb show dev {device}")


def routes(node: Node) -> list[str]:
    return [line.rstrip() for line in node.run("ip route").splitlines()]


def restart(node: Node, *flags: str, kill: bool = False) -> None:
    flanneld = node.flanneld
    flanneld.signal(signal.SIGKILL if kill else signal.SIGTERM)
    flanneld.wait()
    node.start_flanneld(*flags)
    node.ready()


def test_a_node_shows_what_flannel_shows(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    assert routes(one) == [
        "default via 192.168.1.254 dev eth0",
        "10.244.1.0/24 dev docker0 proto kernel scope link src 10.244.1.1 linkdown",
        "10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink",
        "192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.1",
    ]
    assert one.run("ip neigh show dev flannel.1").split() == f"10.244.2.0 lladdr {mac(two)} PERMANENT".split()
    assert fdb(one).split() == f"{mac(two)} dst 192.168.1.2 self permanent".split()
    link = one.run("ip -d link show flannel.1")
    assert "mtu 1450" in link
    assert re.search(r"vxlan id 1 local 192\.168\.1\.1 dev eth0 srcport 0 0 dstport 8472 nolearning ", link)
    assert "inet 10.244.1.0/32 scope global flannel.1" in one.run("ip address show flannel.1")
    assert one.subnet_file.read_text() == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    published = f'{{"PublicIP":"192.168.1.1","BackendType":"vxlan","BackendData":{{"VtepMAC":"{mac(one)}"}}}}\n'
    assert sandbox.etcdctl(f"get --print-value-only {SUBNETS}10.244.1.0-24") == published


def test_all_pairs_of_three_nodes_talk(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2, 3)]
    start(sandbox, CONFIG, nodes)
    all_pairs_talk(sandbox, nodes, ttl=62)


def test_a_node_comes_and_goes_while_a_ping_runs(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    running = sandbox.start(["ping", "-i", "0.02", there], "ping", pod)
    until(lambda: running.said("icmp_seq=5 "), "the ping's first answers")
    three = sandbox.add_node(3)
    three.start_flanneld()
    three.ready()
    three.add_bridge()
    gateway = str(three.subnet.network_address)
    until(lambda: gateway in one.run("ip route") and mac(three) in fdb(one), "the new node's entries")
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {gateway}")
    gone = mac(three)
    three.flanneld.signal(signal.SIGKILL)
    sandbox.run(["ip", "link", "del", "node3"])
    sandbox.etcdctl(f"del {SUBNETS}{gateway}-24")
    until(lambda: gateway not in one.run("ip route; ip neigh") and gone not in fdb(one), "the end of the dead node's entries")
    assert mac(two) in fdb(one)
    seen = running.log.read_text().count("icmp_seq=")
    until(lambda: running.log.read_text().count("icmp_seq=") >= seen + 5, "more answers")
    running.signal(signal.SIGINT)
    running.wait()
    assert " 0% packet loss" in running.log.read_text()


@pytest.mark.parametrize("kill", [False, True], ids=["SIGTERM", "SIGKILL"])
def test_a_restart_keeps_device_mac_and_traffic(sandbox: Sandbox, pair: list[Node], kill: bool) -> None:
    one, two = pair
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    before = (one.run("ip -o link show flannel.1"), routes(one), fdb(one))
    one.flanneld.signal(signal.SIGKILL if kill else signal.SIGTERM)
    one.flanneld.wait()
    assert "ttl=62" in ping(sandbox, pod, there), "packets go on without flanneld"
    one.start_flanneld()
    one.ready()
    one.knows(two)
    until(lambda: (one.run("ip -o link show flannel.1"), routes(one), fdb(one)) == before, "the state from before")
    assert "ttl=62" in ping(sandbox, pod, there)
    assert not one.flanneld.said("recreating device")


@pytest.mark.parametrize(
    "made, unfit",
    [
        ("type vxlan id 1 local 192.168.1.1 dev eth0 dstport 4789 nolearning", "port: 8472 vs 4789"),
        ("type vxlan id 1 local 192.168.1.1 dev eth0 dstport 8472 nolearning gbp", "gbp: False vs True"),
        ("type bridge", "vni: 1 vs 0, link: "),
    ],
)
def test_a_device_that_does_not_fit_is_made_anew(sandbox: Sandbox, made: str, unfit: str) -> None:
    node = sandbox.add_node(1)
    node.run(f"ip link add flannel.1 {made}")
    sandbox.start_nodes(CONFIG, [node])
    assert node.flanneld.said(f'"flannel.1" already exists with incompatable configuration: {unfit}')
    assert node.flanneld.said("; recreating device")
    assert "vxlan id 1 local 192.168.1.1 dev eth0 srcport 0 0 dstport 8472 nolearning" in node.run("ip -d link show flannel.1")
    assert "gbp" not in node.run("ip -d link show flannel.1")


def test_what_an_earlier_flanneld_left_for_a_node_that_is_gone_is_cleared(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    one.flanneld.signal(signal.SIGKILL)
    one.flanneld.wait()
    one.run("bridge fdb add 02:00:00:00:00:09 dev flannel.1 dst 192.168.1.9 self permanent")
    one.run("ip neigh add 10.244.9.0 lladdr 02:00:00:00:00:09 dev flannel.1 nud permanent")
    one.run("ip route add 10.244.9.0/24 via 10.244.9.0 dev flannel.1 onlink")
    one.run(f"bridge fdb replace {mac(two)} dev flannel.1 dst 192.168.1.99 self permanent")
    one.run("ip route add 10.99.0.0/16 via 192.168.1.2 dev eth0")
    one.start_flanneld()
    one.ready()
    one.knows(two)
    until(lambda: "10.244.9.0" not in one.run("ip route; ip neigh") and "192.168.1.9 " not in fdb(one), "the clearing")
    until(lambda: fdb(one).split() == f"{mac(two)} dst 192.168.1.2 self permanent".split(), "the right machine for node 2")
    assert "10.99.0.0/16 via 192.168.1.2 dev eth0" in routes(one), "somebody else's route is not flannel's to take away"


def test_direct_routing_has_plain_routes_to_neighbours_and_wraps_for_the_rest(sandbox: Sandbox) -> None:
    sandbox.add_segment()
    nodes = [sandbox.add_node(1), sandbox.add_node(2), sandbox.add_node(3, segment=2)]
    sandbox.start_nodes('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","DirectRouting":true}}', nodes)
    one, _, three = nodes
    until(lambda: mac(three) in fdb(one) and "10.244.2.0/24" in one.run("ip route"), "the entries for both")
    assert "10.244.2.0/24 via 192.168.1.2 dev eth0" in routes(one)
    assert "10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink" in routes(one)
    assert "10.244.2.0" not in one.run("ip neigh") and "192.168.1.2" not in fdb(one)
    assert fdb(one).split() == f"{mac(three)} dst 192.168.2.3 self permanent".split()
    until(lambda: mac(one) in fdb(three), "the way back")
    all_pairs_talk(sandbox, nodes, ttl=62)


def test_with_l3miss_one_route_and_a_neighbour_for_each_pod_that_is_asked_for(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    start(sandbox, L3MISS, nodes)
    one, two = nodes
    assert "10.244.0.0/16 dev flannel.1" in [line.split(" scope")[0].split(" proto")[0] for line in routes(one)]
    assert not [line for line in routes(one) if "onlink" in line]
    assert one.run("ip neigh show dev flannel.1") == ""
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    assert "ttl=62" in ping(sandbox, pod, there)
    assert one.flanneld.said(f"L3 miss: {there}")
    assert f"{there} lladdr {mac(two)}" in one.run("ip neigh show dev flannel.1")
    assert "PERMANENT" not in one.run("ip neigh show dev flannel.1")
    sandbox.run("ping -c 1 -W 0.2 10.244.9.9", pod, check=False)
    until(lambda: one.flanneld.said("L3 miss but route for 10.244.9.9 not found"), "the line about a pod of nobody")
    assert re.search(r"nodes=1 misses answered=\d+ unanswered=[1-9]", one.stats())
    assert re.fullmatch(rf"{mac(two)} dst 192.168.1.2 self permanent\s*", fdb(one))


def test_l3miss_takes_away_what_the_newer_way_left(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    sandbox.configure(L3MISS)
    restart(one)
    one.knows(two)
    until(lambda: "onlink" not in one.run("ip route") and one.run("ip neigh show dev flannel.1 nud permanent") == "", "the clearing")
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    assert "ttl=62" in ping(sandbox, pod, there)


def test_another_vni_and_port(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    sandbox.start_nodes('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","VNI":77,"Port":4789}}', nodes)
    one, two = nodes
    assert "vxlan id 77 local 192.168.1.1 dev eth0 srcport 0 0 dstport 4789" in one.run("ip -d link show flannel.77")
    assert "flannel.1:" not in one.run("ip link")
    for here, other in itertools.permutations(nodes):
        until(lambda here=here, other=other: mac(other, "flannel.77") in fdb(here, "flannel.77"), "the entries")  # type: ignore[misc]
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {two.gateway}")


STRANGE = {
    "udp": {"PublicIP": "192.168.1.9"},
    "host-gw": {"PublicIP": "192.168.1.9", "BackendType": "host-gw"},
    "without data": {"PublicIP": "192.168.1.9", "BackendType": "vxlan"},
    "not a MAC": {"PublicIP": "192.168.1.9", "BackendType": "vxlan", "BackendData": {"VtepMAC": "nonsense"}},
    "multicast": {"PublicIP": "192.168.1.9", "BackendType": "vxlan", "BackendData": {"VtepMAC": "01:00:5e:00:00:01"}},
    "a list": {"PublicIP": "192.168.1.9", "BackendType": "vxlan", "BackendData": [1, 2]},
}


def test_leases_of_other_backends_and_malformed_ones_do_no_harm(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    for number, value in enumerate(STRANGE.values(), 100):
        sandbox.etcdctl(f"put {SUBNETS}10.244.{number}.0-24 '{json.dumps(value)}'")
    last = f"10.244.{99 + len(STRANGE)}.0/24"
    until(lambda: one.flanneld.said(f"Subnet added: {last}"), "the last of them")
    assert one.flanneld.said("ignoring non-vxlan subnet(10.244.100.0/24): type=udp")
    assert one.flanneld.said("ignoring non-vxlan subnet(10.244.101.0/24): type=host-gw")
    assert one.flanneld.said("ignoring subnet(10.244.102.0/24): its vxlan lease has no usable VtepMAC")
    assert "10.244.10" not in one.run("ip route; ip neigh")
    assert fdb(one).split() == f"{mac(two)} dst 192.168.1.2 self permanent".split()
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {two.gateway}")


def test_a_lease_that_turns_into_another_kind_takes_its_entries_along(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    sandbox.etcdctl(f"""put {SUBNETS}10.244.2.0-24 '{{"PublicIP":"192.168.1.2","BackendType":"host-gw"}}'""")
    until(lambda: "10.244.2.0" not in one.run("ip route; ip neigh") and mac(two) not in fdb(one), "the end of its entries")


def test_a_device_with_a_new_mac_is_learnt_in_place_of_the_old_one(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    old = mac(two)
    two.flanneld.signal(signal.SIGKILL)
    two.flanneld.wait()
    two.run("ip link del flannel.1")
    two.start_flanneld()
    two.ready()
    assert mac(two) != old
    until(lambda: fdb(one).split() == f"{mac(two)} dst 192.168.1.2 self permanent".split(), "the new MAC's entry alone")
    until(lambda: f"10.244.2.0 lladdr {mac(two)} PERMANENT" in one.run("ip neigh show dev flannel.1"), "the new neighbour")
    assert "ttl=64" in one.run(f"ping -c 1 -W 5 {two.gateway}")


def test_a_full_packet_passes_and_one_byte_more_is_answered(sandbox: Sandbox, pair: list[Node]) -> None:
    one, two = pair
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    assert "ttl=62" in sandbox.run(f"ping -c 1 -W 5 -M do -s {1450 - 28} {there}", pod)
    # The pod's own interface would refuse it: a larger one lets it out, and the node has to answer.
    one.run("ip link set docker0 mtu 1500 && ip link set veth0 mtu 1500")
    sandbox.run("ip link set eth0 mtu 1500", pod)
    answer = sandbox.run(f"ping -c 1 -W 5 -M do -s {1451 - 28} {there}", pod, check=False)
    assert "From 10.244.1.1 icmp_seq=1 Frag needed and DF set (mtu = 1450)" in answer


def test_masquerade_is_for_the_outside_only(sandbox: Sandbox) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    start(sandbox, CONFIG, nodes, "--ip-masq")
    masqueraded_to_the_outside_only(sandbox, nodes)
