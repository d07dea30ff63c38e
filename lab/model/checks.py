"""What a schema cannot see: rules between the parts of a topology. Each check is a small pure function that yields findings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.model import names, schema
from lab.model.topology import BACKEND_OPTIONS, DOCKER_DEFAULT, Backend, Machine, Topology

RESERVED_INTERFACES = ("lo", "docker0", "cni0", "flannel", "veth", "tun")
"""Names, or beginnings of names, that the lab gives to other interfaces of a node."""

_CLOUDS = ("aws-vpc", "gce")
"""Backends whose packets a router carries that follows the cloud's route table."""


@dataclass(frozen=True)
class Finding:
    """A problem before it has a line. `path`: keys and indexes in the YAML's own spelling."""

    path: tuple[str | int, ...]
    text: str


def of_topology(topology: Topology) -> Iterator[Finding]:
    """Every problem of a topology that fits the schema. Ends early only where the rest would follow from what was found."""
    yield from wrong_names(topology)
    yield from wrong_words(topology)
    yield from duplicate_names(topology)
    yield from not_one_master(topology)
    yield from bad_host_addresses(topology)
    yield from duplicate_addresses(topology)
    yield from bad_gateways(topology)
    yield from unreachable_machines(topology)
    yield from overlapping_networks(topology)
    if not topology.has_flannel:
        yield from idle_without_flannel(topology)
        return
    yield from bad_subnet_rules(topology)
    yield from bad_pod_cidrs(topology)
    yield from foreign_backend_options(topology)
    yield from backend_trouble(topology)


def _machines(topology: Topology) -> Iterator[tuple[tuple[str | int, ...], Machine]]:
    """Path and machine: nodes, then clients."""
    for index, node in enumerate(topology.nodes):
        yield ("nodes", index), node
    for index, client in enumerate(topology.clients):
        yield ("clients", index), client


def wrong_names(topology: Topology) -> Iterator[Finding]:
    """Names of machines are hostnames, names of interfaces are the kernel's."""
    places: list[tuple[tuple[str | int, ...], str]] = [(("name",), topology.name), (("router",), topology.router)]
    places += [((*path, "name"), machine.name) for path, machine in _machines(topology)]
    for path, name in places:
        if trouble := names.label_trouble(name):
            yield Finding(path, trouble)
    for path, machine in _machines(topology):
        trouble = names.interface_trouble(machine.interface)
        if not trouble and machine.interface.startswith(RESERVED_INTERFACES):
            trouble = f"`{machine.interface}` is a name that the lab needs for another interface; use eth0 or the like"
        if trouble:
            yield Finding((*path, "interface"), trouble)


def wrong_words(topology: Topology) -> Iterator[Finding]:
    """Texts with a form of their own: the Kubernetes version and flannel's etcd prefix."""
    if not re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+", topology.kubernetes):
        yield Finding(("kubernetes",), f"`{names.shown(topology.kubernetes)}` is no version; write it as v1.7.3")
    prefix = topology.flannel.etcd_prefix
    if not re.fullmatch(r"(/[-A-Za-z0-9._]+)+", prefix):
        yield Finding(("flannel", "etcdPrefix"), f"`{names.shown(prefix)}` is no etcd prefix; write it as /coreos.com/network")


def duplicate_names(topology: Topology) -> Iterator[Finding]:
    """Every machine has a name of its own, the router and the switches included."""
    taken = {topology.router: "the router"} if any(segment.gateway for segment in topology.segments) else {}
    taken |= {segment.switch: f"the switch of {segment.network}" for segment in topology.segments if segment.switch}
    for path, machine in _machines(topology):
        if machine.name in taken:
            text = f"`{machine.name}` is already the name of {taken[machine.name]}; give every machine its own"
            yield Finding((*path, "name"), text)
        taken.setdefault(machine.name, f"{path[0]}[{path[1]}]")


def not_one_master(topology: Topology) -> Iterator[Finding]:
    """etcd and the control plane run on one node."""
    masters = [index for index, node in enumerate(topology.nodes) if node.role == "master"]
    if not topology.nodes:
        yield Finding(("nodes",), "is empty; a lab has at least one node, the master")
    elif not masters:
        yield Finding(("nodes",), "no node is the master; give one of them `role: master`")
    for index in masters[1:]:
        first = topology.nodes[masters[0]].name
        yield Finding(("nodes", index, "role"), f"{first} is the master already; a lab has one, the others are workers")


def host_address_trouble(address: IPv4Address, network: IPv4Network) -> str:
    """Why no machine can have `address` on a segment with `network`, as the end of a sentence; empty when one can."""
    if network.prefixlen > 30:
        return f"{network} has no room for a machine and its neighbours; use a prefix length of at most 30"
    for wrong, what in ((network.network_address, "network"), (network.broadcast_address, "broadcast")):
        if address == wrong:
            return f"{address} is the {what} address of {network}; use one between {network[1]} and {network[-2]}"
    return ""


def bad_host_addresses(topology: Topology) -> Iterator[Finding]:
    """An address must be usable by one machine."""
    for path, machine in _machines(topology):
        network = machine.address.network
        trouble = host_address_trouble(machine.address.ip, network)
        if trouble := trouble or _unusable(network):
            yield Finding((*path, "address"), trouble)


def _unusable(network: IPv4Network) -> str:
    """Why the kernel would not route `network` as a plain one, as the end of a sentence."""
    special = ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")
    hit = next((one for one in special if network.overlaps(IPv4Network(one))), "")
    return f"{network} lies in {hit}, which has a meaning of its own; use a private network such as 10.0.0.0/8" if hit else ""


def duplicate_addresses(topology: Topology) -> Iterator[Finding]:
    """No two machines share an address."""
    taken: dict[IPv4Address, str] = {}
    for path, machine in _machines(topology):
        address = machine.address.ip
        if address in taken:
            yield Finding((*path, "address"), f"{address} is already {taken[address]}'s; give every machine its own")
        taken.setdefault(address, machine.name)


def bad_gateways(topology: Topology) -> Iterator[Finding]:
    """A gateway is the router's own address on the segment, and one segment has one."""
    owners = {machine.address.ip: machine.name for _, machine in _machines(topology)}
    first: dict[IPv4Network, Machine] = {}
    for path, machine in _machines(topology):
        network, gateway = machine.address.network, machine.gateway
        other = first.setdefault(network, machine)
        if gateway is None:
            continue
        if gateway not in network:
            text = f"{gateway} is not on {machine.name}'s network {network}; the router has an address there"
            yield Finding((*path, "gateway"), text)
        elif trouble := host_address_trouble(gateway, network):
            yield Finding((*path, "gateway"), trouble)
        elif gateway in owners:
            yield Finding((*path, "gateway"), f"{gateway} is {owners[gateway]}'s own address; the gateway is the router's")
        elif other.gateway is None:
            first[network] = machine
        elif other.gateway != gateway:
            text = f"{machine.name} names {gateway} and {other.name} names {other.gateway} as the router on {network}; use one"
            yield Finding((*path, "gateway"), text)


def unreachable_machines(topology: Topology) -> Iterator[Finding]:
    """With more than one segment, every machine needs a way off its own."""
    routers = {segment.network: segment.gateway for segment in topology.segments}
    shared = _node_networks(topology)
    for path, machine in _machines(topology):
        network = machine.address.network
        if machine.gateway is not None or (len(routers) == 1 and routers[network] is None):
            continue
        if path[0] == "nodes":
            lack = "cannot answer other networks"
        elif network not in shared:
            lack = "cannot reach any node"
        else:
            continue
        yield Finding(path, f"{machine.name} has no gateway, so it {lack}; {_add(routers[network], network)}")


def _add(gateway: IPv4Address | None, network: IPv4Network) -> str:
    known = f" {gateway}" if gateway and gateway in network else " with an address of the router on its network"
    return f"add `gateway:`{known}"


def _node_networks(topology: Topology) -> set[IPv4Network]:
    return {node.address.network for node in topology.nodes}


def overlapping_networks(topology: Topology) -> Iterator[Finding]:
    """Every address means one thing: pod, service, segments and docker's own range lie apart."""
    virtual = {"pod": topology.networks.pod} if topology.has_flannel else {}
    virtual["service"] = topology.networks.service
    known: list[tuple[IPv4Network, str]] = [(network, f"the {field} network") for field, network in virtual.items()]
    for field, network in virtual.items():
        if trouble := _unusable(network):
            yield Finding(("networks", field), trouble)
    if "pod" in virtual and virtual["service"].overlaps(virtual["pod"]):
        yield Finding(("networks", "service"), f"{virtual['service']} overlaps the pod network {virtual['pod']}; keep them apart")
    if topology.bridge == "cni0" or not topology.has_flannel:
        docker, why = DOCKER_DEFAULT.network, "bridge: cni0" if topology.has_flannel else "podNetwork: docker"
        for field, network in virtual.items():
            if network.overlaps(docker):
                yield Finding(("networks", field), f"{network} overlaps {docker}, which docker0 keeps with `{why}`")
        known.append((docker, f"docker0's network (`{why}`)"))
    seen: set[IPv4Network] = set()
    for path, machine in _machines(topology):
        network = machine.address.network
        if network in seen:
            continue
        seen.add(network)
        for other, what in known:
            if network.overlaps(other):
                yield Finding((*path, "address"), f"{machine.name}'s network {network} overlaps {what} {other}; keep them apart")
        known.append((network, f"{machine.name}'s network"))


def idle_without_flannel(topology: Topology) -> Iterator[Finding]:
    """What `podNetwork: docker` makes meaningless: a value there would promise what does not happen."""
    docker = DOCKER_DEFAULT.network
    if "flannel" in topology.given:
        yield Finding(("flannel",), "there is no flannel with `podNetwork: docker`; drop this key, or the other")
    if "pod" in topology.networks.given:
        text = f"with `podNetwork: docker` every node gives its pods addresses of {docker}, docker's default; drop this key"
        yield Finding(("networks", "pod"), text)
    if topology.bridge != "docker0":
        yield Finding(("bridge",), f"{topology.bridge} is made by a CNI plugin, and `podNetwork: docker` has none; use docker0")
    for index, node in enumerate(topology.nodes):
        if node.pod_cidr is not None:
            text = f"no node has a subnet of its own with `podNetwork: docker`: all have {docker}; drop this key"
            yield Finding(("nodes", index, "podCIDR"), text)


def bad_subnet_rules(topology: Topology) -> Iterator[Finding]:
    """flannel's Network, SubnetLen, SubnetMin and SubnetMax must leave a subnet for every node (v0.8, subnet/config.go)."""
    pod, length = topology.networks.pod, topology.subnet_len
    if length <= pod.prefixlen:
        text = f"/{length} subnets do not fit into the pod network {pod}; use more than {pod.prefixlen}"
        yield Finding(("flannel", "subnetLen"), text)
        return
    if length > 30:
        yield Finding(("networks", "pod"), f"{pod} is too small for subnets with pods in them; use a prefix length of at most 28")
        return
    low, high = topology.subnet_min, topology.subnet_max
    troubles = list(_bad_limits(topology))
    yield from troubles
    if troubles or topology.subnet_count >= len(topology.nodes):
        return
    count, nodes = topology.subnet_count, len(topology.nodes)
    room = f"has {count} subnet{'' if count == 1 else 's'} of /{length} from {low} to {high} for {nodes} nodes"
    yield Finding(("networks", "pod"), f"{pod} is too small: it {room}; use a larger network or another flannel.subnetLen")


def _bad_limits(topology: Topology) -> Iterator[Finding]:
    pod, length = topology.networks.pod, topology.subnet_len
    for key, limit in (("subnetMin", topology.flannel.subnet_min), ("subnetMax", topology.flannel.subnet_max)):
        if limit is None:
            continue
        if limit not in pod:
            yield Finding(("flannel", key), f"{limit} is not in the pod network {pod}")
        elif (aligned := IPv4Network(f"{limit}/{length}", strict=False).network_address) != limit:
            yield Finding(("flannel", key), f"{limit} is not the first address of a /{length} subnet; did you mean {aligned}?")
    low, high = topology.subnet_min, topology.subnet_max
    declared = [key for key in ("subnetMax", "subnetMin") if getattr(topology.flannel, key.replace("M", "_m"))]
    if low > high and declared:
        yield Finding(("flannel", declared[0]), f"the first subnet {low} comes after the last one {high}; exchange or drop them")


def bad_pod_cidrs(topology: Topology) -> Iterator[Finding]:
    """A reserved subnet must be one that flannel would lease: one of another length or outside its range it deletes."""
    pod, length = topology.networks.pod, topology.subnet_len
    taken: list[tuple[IPv4Network, str]] = []
    for index, node in enumerate(topology.nodes):
        path, cidr = ("nodes", index, "podCIDR"), node.pod_cidr
        if cidr is None:
            continue
        low, high = topology.subnet_min, topology.subnet_max
        if not cidr.subnet_of(pod):
            yield Finding(path, f"{cidr} is not in the pod network {pod}")
        elif cidr.prefixlen != length:
            text = f"{cidr} has another length than flannel's subnets, which are /{length}; use /{length} or set flannel.subnetLen"
            yield Finding(path, text)
        elif not low <= cidr.network_address <= high:
            text = f"{cidr} is outside of what flannel leases, {low} to {high}; set flannel.subnetMin or subnetMax"
            yield Finding(path, text)
        for other, owner in taken:
            if cidr.overlaps(other):
                yield Finding(path, f"{cidr} overlaps {owner}'s {other}; give every node a subnet of its own")
        taken.append((cidr, node.name))


def foreign_backend_options(topology: Topology) -> Iterator[Finding]:
    """An option of another backend would be silently ignored."""
    backend = topology.flannel.backend
    for option in backend.foreign_options:
        readers = " and ".join(kind for kind, options in BACKEND_OPTIONS.items() if option in options)
        key = next(key for key, field in schema.keys(Backend).items() if field.name == option)
        yield Finding(("flannel", "backend", key), f"the backend {backend.type} has no such option; it belongs to {readers}")


def backend_trouble(topology: Topology) -> Iterator[Finding]:
    """Why flannel's backend cannot carry packets between these nodes."""
    if not topology.has_flannel:
        yield Finding(("flannel",), "there is no flannel with `podNetwork: docker`; use another topology, such as zenlin")
        return
    backend = topology.flannel.backend.type
    if backend in _CLOUDS and any(segment.gateway is None for segment in topology.segments):
        text = f"{backend} lets the cloud's router carry the packets: give every machine a `gateway`, or use another backend"
        yield Finding(("flannel", "backend", "type"), text)
    networks = sorted(_node_networks(topology))
    odd = [network for network in networks if not 16 <= network.prefixlen <= 28]
    if backend == "aws-vpc" and odd:
        text = f"a subnet of a VPC is a /16 at the largest and a /28 at the smallest, and the nodes are on {odd[0]}; use gce, or other addresses"
        yield Finding(("flannel", "backend", "type"), text)
    if backend == "host-gw" and len(networks) > 1:
        shown = ", ".join(map(str, networks[:4])) + (", ..." if len(networks) > 4 else "")
        text = (
            "host-gw names other nodes as gateways, so they must be neighbours on one layer 2, but they are on "
            f"{shown}; use udp or vxlan, or a topology with one segment such as flat"
        )
        yield Finding(("flannel", "backend", "type"), text)
