"""lab.plan.build: what holds for the plan of any topology, and the article's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

from hypothesis import given, settings

from lab.kubelet import wires
from lab.kubelet.records import Sandbox
from lab.model.catalog import find_topology
from lab.model.load import load_topology, read_topology
from lab.model.topology import LARGE, Node, Topology
from lab.plan import operations as op
from lab.plan.build import mac_of, plan_bridge, plan_joining, plan_underlay, veth_of
from lab.plan.text import machine_of, render
from tests import declared
from topology_strategies import topologies


def plan_with_pods(topology: Topology) -> list[op.Operation]:
    """The underlay, and on every node a bridge with two pods."""
    plan = list(plan_underlay(topology))
    for number, node in enumerate(topology.nodes):
        bridge = IPv4Interface(f"10.244.{number}.1/24")
        plan += plan_bridge(topology, node.name, bridge, topology.mtu - 28)
        for pod in (2, 3):
            made = sandbox(topology, f"{number}.{pod}", f"{bridge.network[pod]}/24", bridge, topology.mtu - 28)
            plan += [op.AddNamespace("the pod", made.key, "pod"), *wires.plan(made, node.name)]
    return plan


def sandbox(topology: Topology, name: str, address: str, bridge: IPv4Interface, mtu: int) -> Sandbox:
    """A pod on a bridge, as a kubelet of the topology asks for it."""
    routes = (str(topology.networks.pod),) if topology.bridge == "cni0" else ()
    return Sandbox("uid", "default", name, name, topology.bridge, address, str(bridge.ip), mtu, routes=routes)


def created(plan: list[op.Operation]) -> Iterator[op.Interface]:
    for one in plan:
        if isinstance(one, op.AddWire):
            yield from (one.a, one.b)
        elif isinstance(one, op.AddBridge):
            yield one.bridge


@settings(max_examples=40)
@given(topologies())
def test_any_plan_can_be_carried_out_in_its_order(declared: dict[str, object]) -> None:
    machines: set[str] = set()
    interfaces: set[tuple[str, str]] = set()
    reachable: set[str] = set()
    for one in plan_with_pods(load_topology(json.dumps(declared), "f")):
        if isinstance(one, op.AddNamespace):
            assert one.host not in machines, "declared twice"
            machines.add(one.host)
        assert machine_of(one) in machines
        if isinstance(one, (op.AddWire, op.AddBridge)):
            for end in created([one]):
                assert end.host in machines
                assert (end.host, end.name) not in interfaces, "interface made twice"
                interfaces.add((end.host, end.name))
        if isinstance(one, (op.AddPort, op.SetAddress)):
            assert (one.interface.host, one.interface.name) in interfaces
        if isinstance(one, op.AddPort):
            assert (one.interface.host, one.bridge) in interfaces
        if isinstance(one, op.SetAddress):
            reachable.add(one.interface.host)
        if isinstance(one, op.AddRoute):
            assert one.host in reachable, "a route before the address that its gateway needs"


@settings(max_examples=40)
@given(topologies())
def test_names_addresses_and_macs_of_any_plan(declared: dict[str, object]) -> None:
    plan = plan_with_pods(load_topology(json.dumps(declared), "f"))
    made = list(created(plan))
    assert max(len(interface.name) for interface in made) <= 15
    macs = [interface.mac for interface in made]
    assert len(set(macs)) == len(macs)
    assert all(int(mac[:2], 16) & 0b11 == 0b10 for mac in macs), "locally administered, not multicast"
    addresses = [one.address.ip for one in plan if isinstance(one, op.SetAddress) and one.interface.name != "docker0"]
    assert len(set(addresses)) == len(addresses)


@settings(max_examples=40)
@given(topologies())
def test_every_machine_of_a_topology_is_in_its_plan(declared: dict[str, object]) -> None:
    topology = load_topology(json.dumps(declared), "f")
    plan = plan_underlay(topology)
    kinds = {one.host: one.kind for one in plan if isinstance(one, op.AddNamespace)}
    assert [name for name, kind in kinds.items() if kind == "node"] == [node.name for node in topology.nodes]
    assert [name for name, kind in kinds.items() if kind == "client"] == [client.name for client in topology.clients]
    addresses = {one.interface.host: one.address for one in plan if isinstance(one, op.SetAddress) and one.interface.name == "eth0"}
    for machine in topology.machines:
        assert addresses[machine.name] == machine.address
    assert all(one.mtu == topology.mtu for one in plan if isinstance(one, op.AddWire))


@settings(max_examples=40)
@given(topologies())
def test_rendering_loses_no_operation(declared: dict[str, object]) -> None:
    plan = plan_with_pods(load_topology(json.dumps(declared), "f"))
    lines = render(plan).splitlines()
    assert sum("  # " in line for line in lines) == len(plan)
    commands = {line[2:].split("  # ")[0].rstrip() for line in lines if line.startswith("  ")}
    assert {str(one) for one in plan} <= commands
    assert lines[-1] == f"{len(plan)} operations on {len({machine_of(one) for one in plan})} machines"


def test_a_plan_is_the_same_every_time() -> None:
    topology = read_topology(find_topology("zenlin"))
    assert plan_with_pods(topology) == plan_with_pods(topology)


def test_a_lone_machine_is_wired_to_the_router_and_company_gets_a_switch() -> None:
    kinds = {
        name: [one.kind for one in plan_underlay(read_topology(find_topology(name))) if isinstance(one, op.AddNamespace)]
        for name in ("zenlin", "flat")
    }
    assert kinds == {
        "zenlin": ["router", "node", "node", "node", "client"],
        "flat": ["router", "switch", "node", "node", "node", "client"],
    }


def test_ipv6_is_off_before_a_machine_has_a_wire() -> None:
    plan = plan_with_pods(read_topology(find_topology("flat")))
    for index, one in enumerate(plan):
        if isinstance(one, op.AddWire):
            for end in (one.a, one.b):
                assert any(isinstance(done, op.SetSysctl) and done.host == end.host and "ipv6" in done.key for done in plan[:index])


def test_macs_carry_the_address() -> None:
    assert mac_of(IPv4Address("10.244.1.53")) == "02:42:0a:f4:01:35"
    topology = replace(read_topology(find_topology("zenlin")), bridge="cni0")
    pod = sandbox(topology, "p", "10.244.1.2/24", IPv4Interface("10.244.1.1/24"), 1450)
    wire = next(one for one in wires.plan(pod, "zenlin") if isinstance(one, op.AddWire))
    assert wire.a.mac == "0a:58:0a:f4:01:02"
    assert wire.mtu == 1450


def test_a_pod_gets_the_length_of_the_subnet_and_a_hairpin_port() -> None:
    topology = read_topology(find_topology("zenlin"))
    plan = list(wires.plan(sandbox(topology, "p", "10.244.1.2/26", IPv4Interface("10.244.1.1/26"), 1472), "zenlin"))
    assert [str(one.address) for one in plan if isinstance(one, op.SetAddress)] == ["10.244.1.2/26"]
    assert [(one.bridge, one.hairpin) for one in plan if isinstance(one, op.AddPort)] == [("docker0", True)]


def neighbours(plan: list[op.Operation]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Who is told of whom: (machine, interface) -> addresses and MACs."""
    told = (one for one in plan if isinstance(one, op.AddNeighbours))
    return {(one.interface.host, one.interface.name): [(str(address), mac) for address, mac in one.neighbours] for one in told}


def many(nodes: int) -> Topology:
    """So many nodes on one switch."""
    some = tuple(Node(name=f"n{one}", role="worker" if one else "master", address=IPv4Interface(f"10.9.0.{one + 1}/24")) for one in range(nodes))
    return replace(read_topology(find_topology("zenlin")), nodes=some, clients=())


def test_in_a_large_lab_nobody_on_a_switch_has_to_ask_for_another() -> None:
    told = neighbours(list(plan_underlay(many(LARGE + 1))))
    assert len(told) == LARGE + 1
    assert told["n0", "eth0"] == [(f"10.9.0.{one}", f"02:42:0a:09:00:{one:02x}") for one in range(2, LARGE + 2)]
    assert neighbours(list(plan_underlay(many(LARGE)))) == {}


def test_in_a_large_lab_pod_and_node_know_each_other() -> None:
    pod = replace(sandbox(many(LARGE + 1), "p", "10.244.1.2/24", IPv4Interface("10.244.1.1/24"), 1450), neighbours=True)
    plan = list(wires.plan(pod, "n3"))
    bridge = next(one.bridge for one in plan_bridge(many(LARGE + 1), "n3", IPv4Interface("10.244.1.1/24"), 1450) if isinstance(one, op.AddBridge))
    card = next(one.a for one in plan if isinstance(one, op.AddWire))
    assert neighbours(plan) == {("default_p", "eth0"): [("10.244.1.1", bridge.mac)], ("n3", bridge.name): [("10.244.1.2", card.mac)]}
    assert not neighbours(list(wires.plan(replace(pod, neighbours=False), "n3")))


def test_veth_names_depend_on_the_namespace_too() -> None:
    assert veth_of("a", "pod") != veth_of("b", "pod")
    assert len(veth_of("a" * 63, "b" * 63)) == 12


def joining(base: str, address: str, gateway: str, other: str, card: str, bridge: str = "docker0") -> list[op.Operation]:
    node = declared.node({"name": "late", "address": address, "gateway": gateway})
    topology = read_topology(find_topology(base))
    after = replace(topology, nodes=(*topology.nodes, node), bridge=bridge)
    return list(plan_joining(after, node, other, card))


def test_a_node_that_joins_is_built_as_one_of_the_first_hour() -> None:
    """Apart from the wire's other end: the operations on the node itself are those that the underlay has for such a node."""
    node = declared.node({"name": "late", "address": "192.168.1.14/24", "gateway": "192.168.1.1"})
    topology = read_topology(find_topology("flat"))
    after = replace(topology, nodes=(*topology.nodes, node))
    of_node = [str(one) for one in plan_underlay(after) if machine_of(one) == "late" and not isinstance(one, op.AddWire)]
    late = [str(one) for one in plan_joining(after, node, "switch1", "port4") if machine_of(one) == "late" and not isinstance(one, op.AddWire)]
    assert sorted(late) == sorted(of_node)


def test_a_node_joins_by_a_switch() -> None:
    plan = joining("flat", "192.168.1.14/24", "192.168.1.1", "switch1", "port0")
    (wire,) = (one for one in plan if isinstance(one, op.AddWire))
    assert (wire.a.host, wire.a.name, wire.a.mac, wire.b.host, wire.b.name) == ("late", "eth0", "02:42:c0:a8:01:0e", "switch1", "port0")
    assert [(one.interface.host, one.bridge) for one in plan if isinstance(one, op.AddPort)] == [("switch1", "br0")]
    assert [one.interface.host for one in plan if isinstance(one, op.SetAddress)] == ["late"]


def test_a_node_joins_by_a_cable_to_the_router_which_becomes_its_gateway() -> None:
    plan = joining("zenlin", "10.229.61.20/23", "10.229.60.1", "router", "eth4")
    assert [(one.interface.host, one.interface.name, str(one.address)) for one in plan if isinstance(one, op.SetAddress)] == [
        ("router", "eth4", "10.229.60.1/23"),
        ("late", "eth0", "10.229.61.20/23"),
    ]
    assert [(one.host, str(one.destination), str(one.via)) for one in plan if isinstance(one, op.AddRoute)] == [("late", "0.0.0.0/0", "10.229.60.1")]
    assert not [one for one in plan if isinstance(one, op.AddPort)]


def test_with_cni0_a_node_that_joins_has_its_idle_docker0() -> None:
    plan = joining("flat", "192.168.1.14/24", "192.168.1.1", "switch1", "port0", bridge="cni0")
    assert [(one.bridge.host, one.bridge.name) for one in plan if isinstance(one, op.AddBridge)] == [("late", "docker0")]
