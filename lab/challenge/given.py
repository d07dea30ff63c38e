"""What a seed decides: names and addresses of the cluster, and every choice that a fault leaves open. Pure.

Two students with two seeds have different clusters with different faults, and one student gets the same one again. Without a seed the
cluster is that of the topology's file.
"""

from __future__ import annotations

import hashlib
import random
import re
import string
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from lab.errors import UsageError
from lab.model.topology import Node, Topology

TEMPLATE = ("master", "worker1", "worker2", "podNetwork", "podNetwork1", "podNetwork2", "app", "clusterIP", "client")
"""The names that texts and manifests may use as ${name}. podNetwork1 and 2 are the workers' subnets."""

APPS = ("shop", "wiki", "forum", "library", "tickets", "photos", "weather", "recipes", "museum", "chess")
HOSTNAMES = (
    "alder", "aspen", "beech", "birch", "cedar", "cherry", "elm", "fir", "hazel", "larch", "linden", "maple", "oak", "pine", "poplar", "rowan",
    "spruce", "walnut", "willow", "yew",
)  # fmt: skip
SEED = re.compile(r"[\w.@+-]{0,64}", re.ASCII)
_NAME = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Given:
    """One student's cluster.

    seed        who it is for; empty: nobody in particular
    topology    with the names and addresses of that seed
    app         the name of the application, its service and its pods' label
    cluster_ip  of its service
    dice        for what the fault leaves open; the same seed throws the same
    """

    seed: str
    topology: Topology
    app: str
    cluster_ip: IPv4Address
    dice: random.Random

    @property
    def workers(self) -> tuple[str, ...]:
        """The nodes on which pods run, in the topology's order."""
        return tuple(node.name for node in self.topology.nodes if node.role == "worker")

    @property
    def master(self) -> str:
        """The master's name."""
        return self.topology.master.name

    @property
    def names(self) -> dict[str, str]:
        """What stands for each name of TEMPLATE."""
        first, second, *_ = (node for node in self.topology.nodes if node.role == "worker")
        return {
            "master": self.master,
            "worker1": first.name,
            "worker2": second.name,
            "podNetwork": str(self.topology.networks.pod),
            "podNetwork1": str(first.pod_cidr),
            "podNetwork2": str(second.pod_cidr),
            "app": self.app,
            "clusterIP": str(self.cluster_ip),
            "client": self.topology.clients[0].name,
        }

    def fill(self, text: str) -> str:
        """The text with every ${name} replaced; a $ that begins no such name stays."""
        return string.Template(text).safe_substitute(self.names)


def give(challenge: str, seed: str, topology: Topology) -> Given:
    """The cluster of one student for one challenge. Raises UsageError for a seed that is none, or a topology without two workers."""
    if not SEED.fullmatch(seed):
        raise UsageError(f"the seed {seed!r} is no name for a student: letters, digits and . _ @ + -, at most 64")
    workers = [node for node in topology.nodes if node.role == "worker"]
    if len(workers) < 2 or any(node.pod_cidr is None for node in workers) or not topology.clients:
        raise UsageError(f"the topology {topology.name} cannot carry a challenge: it takes two workers with a podCIDR and a client")
    dice = random.Random(hashlib.sha256(f"{challenge}\n{seed}".encode()).digest())
    if not seed:
        return Given(seed, topology, APPS[0], topology.networks.service.network_address + 0x9D310, dice)
    changed = varied(topology, dice)
    service = changed.networks.service
    address = service.network_address + dice.randrange(0x100, service.num_addresses - 0x100)
    return Given(seed, changed, dice.choice(APPS), address, dice)


def varied(topology: Topology, dice: random.Random) -> Topology:
    """The topology with other names for its nodes, other addresses on the same segments, and another pod network of the same size."""
    old = topology.networks.pod
    pod = _another_network(old, topology, dice)
    names = dice.sample(HOSTNAMES, len(topology.nodes))
    shift = int(pod.network_address) - int(old.network_address)
    nodes = tuple(_another_node(node, name, shift, dice) for node, name in zip(topology.nodes, names, strict=True))
    flannel = topology.flannel
    moved: dict[str, Any] = {one: getattr(flannel, one) + shift for one in ("subnet_min", "subnet_max") if getattr(flannel, one) is not None}
    return replace(topology, nodes=nodes, networks=replace(topology.networks, pod=pod), flannel=replace(flannel, **moved))


def _another_network(old: IPv4Network, topology: Topology, dice: random.Random) -> IPv4Network:
    taken = [topology.networks.service, *(machine.address.network for machine in topology.machines)]
    while True:
        address = (10 << 24) + dice.randrange(1 << 24)
        found = IPv4Network((address, old.prefixlen), strict=False)
        if not any(found.overlaps(one) for one in taken):
            return found


def _another_node(node: Node, name: str, shift: int, dice: random.Random) -> Node:
    network = node.address.network
    free = [IPv4Address(one) for one in range(int(network.network_address) + 2, int(network.broadcast_address)) if IPv4Address(one) != node.gateway]
    address = IPv4Interface((dice.choice(free), network.prefixlen))
    subnet = node.pod_cidr and IPv4Network((int(node.pod_cidr.network_address) + shift, node.pod_cidr.prefixlen))
    return replace(node, name=name, address=address, pod_cidr=subnet)


def unknown_names(text: str) -> list[str]:
    """The ${names} of a text that stand for nothing."""
    return sorted(set(_NAME.findall(text)) - set(TEMPLATE))
