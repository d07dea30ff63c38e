"""From a topology to the operations that build its lab: the underlay, then a bridge on each node. Pods: lab.kubelet.wires. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.model.topology import DOCKER_DEFAULT, NODE_MTU, Machine, Node, Segment, Topology
from lab.plan import files
from lab.plan.operations import (
    AddBridge,
    AddNamespace,
    AddNeighbours,
    AddPort,
    AddRoute,
    AddRule,
    AddWire,
    Interface,
    Kind,
    Operation,
    SetAddress,
    SetSysctl,
    WriteFile,
)

ANYWHERE = IPv4Network("0.0.0.0/0")
SWITCH_BRIDGE = "br0"
NO_ROOM = "many nodes: the kernel has room for 1024 neighbours found by ARP, of all labs together"
"""Why the machines of a large lab are told of each other: net.ipv4.neigh.default.gc_thresh3 does not count those (arp(7), neighbour.c)."""

_DOCKER, _CNI, _IDLE, _SWITCH = "02:42", "0a:58", "02:64", "02:73"


def mac_of(address: IPv4Address, prefix: str = _DOCKER) -> str:
    """A locally administered MAC with an IPv4 address in its last four bytes, as docker (02:42) and CNI (0a:58) make it."""
    return prefix + "".join(f":{byte:02x}" for byte in address.packed)


def veth_of(namespace: str, pod: str) -> str:
    """Name of the node's end of a pod's wire: `veth` and eight hex digits, the same in every run (docker's are random)."""
    return "veth" + hashlib.sha256(f"{namespace}/{pod}".encode()).hexdigest()[:8]


def plan_underlay(topology: Topology) -> tuple[Operation, ...]:
    """What makes the machines of a topology and the wires between them: router, switches, nodes, clients; no pod bridge yet."""
    return tuple(_underlay(topology))


def plan_joining(topology: Topology, node: Node, other: str, card: str) -> tuple[Operation, ...]:
    """What makes one more node on a lab that is up.

    topology   with the node in it
    other      the machine at the other end of its cable: a switch, or the router
    card       the name of the interface there
    """
    segment = next(one for one in topology.segments if one.network == node.address.network)
    operations = [*_machine(topology, node.name, "node", "joins the cluster"), *_node_settings(node)]
    reason, own = f"a cable of {segment.network}", _card(node)
    if other == topology.router and segment.gateway:
        router = Interface(other, card, mac_of(segment.gateway))
        operations.append(AddWire(reason, own, router, topology.mtu))
        gateway = IPv4Interface(f"{segment.gateway}/{segment.network.prefixlen}")
        operations.append(SetAddress(f"{other} on {segment.network}", router, gateway))
    else:
        port = Interface(other, card)
        operations += [AddWire(reason, own, port, topology.mtu), AddPort(f"{node.name} is on this switch", port, SWITCH_BRIDGE)]
    operations += _own_way(segment, node)
    if topology.bridge == "cni0":
        operations += _idle_docker0(node)
    return tuple(operations)


def plan_bridge(topology: Topology, node_name: str, subnet: IPv4Interface, mtu: int) -> tuple[Operation, ...]:
    """What makes a node's pod bridge.

    subnet   FLANNEL_SUBNET: the bridge's own address with the subnet's length, 10.244.1.1/24
    mtu      FLANNEL_MTU, bytes
    """
    by = "docker starts with --bip and --mtu from" if topology.bridge == "docker0" else "the CNI bridge plugin reads"
    bridge = Interface(node_name, topology.bridge, mac_of(subnet.ip, _pod_mac_prefix(topology)))
    return (
        AddBridge(f"the bridge that {node_name}'s pods hang on", bridge, mtu),
        SetAddress(f"{by} flannel's subnet.env: the subnet leased to {node_name}", bridge, subnet),
    )


def plan_docker(topology: Topology) -> tuple[Operation, ...]:
    """The pod bridges of `podNetwork: docker` on all nodes; empty with flannel, where they follow from its leases."""
    return tuple(operation for node in topology.nodes for operation in plan_docker_bridge(node.name)) if not topology.has_flannel else ()


def plan_docker_bridge(node_name: str) -> tuple[Operation, ...]:
    """The pod bridge as docker makes it when nobody tells it otherwise, the same on every node, and docker's masquerade rule."""
    docker0 = Interface(node_name, "docker0", mac_of(DOCKER_DEFAULT.ip))
    rule = ("-s", str(DOCKER_DEFAULT.network), "!", "-o", "docker0", "-j", "MASQUERADE")
    return (
        AddBridge(f"the bridge that {node_name}'s pods hang on", docker0, NODE_MTU),
        SetAddress("docker's default, the same on every node: nobody told it another one", docker0, DOCKER_DEFAULT),
        AddRule("docker's own: what leaves the node bears the node's address", node_name, "nat", "POSTROUTING", rule),
    )


def pod_gso_size(topology: Topology, mtu: int) -> int:
    """Largest super-packet of a pod, bytes; 0: the kernel's own limit of 64 KiB.

    With the udp backend one must fit into one send of flanneld with UDP_SEGMENT: at most 64 datagrams and 65507 bytes. Larger ones would
    be cut into two sends, and cost a sixth of the throughput. The kernel takes its own room for headers (MAX_TCP_HEADER, up to 320 bytes)
    off before it counts segments; a TCP segment has 52 bytes of headers.
    """
    if not topology.has_flannel or topology.flannel.backend.type != "udp":
        return 0
    return min(65536, min(64, 65507 // mtu) * (mtu - 52) + 420)


def _pod_mac_prefix(topology: Topology) -> str:
    return _DOCKER if topology.bridge == "docker0" else _CNI


def _underlay(topology: Topology) -> Iterator[Operation]:
    segments = topology.segments
    if any(segment.gateway for segment in segments):
        yield from _machine(topology, topology.router, "router", "stands between the networks")
        yield from _forwarding(topology.router, "a router passes on what is not for itself")
    for segment in segments:
        if segment.switch:
            yield from _switch(segment)
    for node in topology.nodes:
        role = "the cluster's master" if node.role == "master" else "a worker of the cluster"
        yield from _machine(topology, node.name, "node", role)
        yield from _node_settings(node)
    for client in topology.clients:
        yield from _machine(topology, client.name, "client", "outside the cluster")
    cards = (f"eth{number}" for number in range(len(segments)))
    for segment in segments:
        yield from _segment(segment, Interface(topology.router, next(cards)) if segment.gateway else None, topology.mtu, topology.is_large)
    if topology.bridge == "cni0":
        for node in topology.nodes:
            yield from _idle_docker0(node)


def _machine(topology: Topology, name: str, kind: Kind, reason: str) -> Iterator[Operation]:
    yield AddNamespace(reason, name, kind)
    yield from _no_ipv6(name)
    for scope in ("all", "default"):
        # A new namespace copies these from the real machine, whose distribution may be strict: pin the kernel's own default.
        yield SetSysctl("accept a packet whatever way the answer would take", name, f"net/ipv4/conf/{scope}/rp_filter", "0")
    for path, text in files.of_machine(topology, name).items():
        yield WriteFile(_FILE_REASONS[path], name, path, text)


_FILE_REASONS = {
    files.HOSTS: "names of the machines, in place of DNS",
    files.HOSTNAME: "its own name",
    files.RESOLV_CONF: "nothing of the real machine's DNS",
    files.KUBECONFIG: "kubectl finds the apiserver",
}


def _no_ipv6(host: str) -> Iterator[Operation]:
    for scope in ("all", "default"):
        yield SetSysctl("no IPv6 noise in captures", host, f"net/ipv6/conf/{scope}/disable_ipv6", "1")


def _forwarding(host: str, reason: str) -> Iterator[Operation]:
    yield SetSysctl(reason, host, "net/ipv4/ip_forward", "1")


def _node_settings(node: Node) -> Iterator[Operation]:
    yield from _forwarding(node.name, "docker sets it: a node passes on what its pods send")
    by_kube_proxy = {
        "net/bridge/bridge-nf-call-iptables": "its rules must see what crosses a bridge",
        "net/ipv4/conf/all/route_localnet": "node ports answer on 127.0.0.1",
    }
    for key, why in by_kube_proxy.items():
        yield SetSysctl(f"kube-proxy sets it: {why}", node.name, key, "1")


def _switch(segment: Segment) -> Iterator[Operation]:
    yield AddNamespace(f"the switch of {segment.network}", segment.switch, "switch")
    yield from _no_ipv6(segment.switch)
    bridge = Interface(segment.switch, SWITCH_BRIDGE, _switch_mac(segment, 0))
    yield AddBridge(f"the switch of {segment.network} joins its ports at layer 2", bridge)


def _switch_mac(segment: Segment, port: int) -> str:
    return f"{_SWITCH}:{segment.number >> 8:02x}:{segment.number & 255:02x}:{port >> 8:02x}:{port & 255:02x}"


def _segment(segment: Segment, router: Interface | None, mtu: int, large: bool) -> Iterator[Operation]:
    """The wires of a segment, then the addresses, then the default routes. `router`: the router's card on it; `large`: of a large lab."""
    cards = [(_card(machine), machine.address) for machine in segment.members]
    if router and segment.gateway:
        own = Interface(router.host, router.name, mac_of(segment.gateway))
        cards.insert(0, (own, IPv4Interface(f"{segment.gateway}/{segment.network.prefixlen}")))
    yield from _wires(segment, [card for card, _ in cards], mtu)
    for card, address in cards:
        yield SetAddress(f"{card.host} on {segment.network}", card, address)
    if large:
        known = [(address.ip, card.mac) for card, address in cards]
        for card, address in cards:
            yield AddNeighbours(NO_ROOM, card, tuple(one for one in known if one[0] != address.ip))
    for machine in segment.members:
        yield from _default_route(machine)


def _own_way(segment: Segment, machine: Machine) -> Iterator[Operation]:
    yield SetAddress(f"{machine.name} on {segment.network}", _card(machine), machine.address)
    yield from _default_route(machine)


def _default_route(machine: Machine) -> Iterator[Operation]:
    if machine.gateway:
        reason = "the way to every other network: the router"
        yield AddRoute(reason, machine.name, ANYWHERE, via=machine.gateway, dev=machine.interface)


def _card(machine: Machine) -> Interface:
    return Interface(machine.name, machine.interface, mac_of(machine.address.ip))


def _wires(segment: Segment, cards: list[Interface], mtu: int) -> Iterator[Operation]:
    reason = f"a cable of {segment.network}"
    if not segment.switch:
        router, machine = cards
        yield AddWire(reason, machine, router, mtu)
        return
    for number, card in enumerate(cards, 1):
        port = Interface(segment.switch, f"port{number}", _switch_mac(segment, number))
        yield AddWire(reason, card, port, mtu)
        yield AddPort(f"{card.host} is on this switch", port, SWITCH_BRIDGE)


def _idle_docker0(node: Node) -> Iterator[Operation]:
    docker0 = Interface(node.name, "docker0", mac_of(node.address.ip, _IDLE))
    yield AddBridge("docker's own bridge; with CNI no pod hangs on it", docker0)
    yield SetAddress("docker's default range", docker0, DOCKER_DEFAULT)
