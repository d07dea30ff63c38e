"""A topology: the machines of a cluster, the networks between them, and how its flannel and kube-proxy are set up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from lab.model.schema import ADDRESS, INTERFACE, NETWORK, SWITCH, TEXT, Declared, below, choice, key, several, whole

LARGE = 20
"""Nodes; a lab that has more is a large one."""

NODE_MTU = 1500
"""Ethernet's payload, the MTU of every wire of the underlay unless the topology says otherwise (bytes)."""

DOCKER_DEFAULT = IPv4Interface("172.17.0.1/16")
"""What docker gives docker0 when nobody tells it otherwise: the idle bridge of `bridge: cni0`, and every node's with `podNetwork: docker`."""


@dataclass(frozen=True, kw_only=True)
class Networks(Declared):
    """The cluster's two virtual networks; the third, the nodes', follows from the nodes' own addresses."""

    pod: IPv4Network = key(NETWORK, IPv4Network("10.244.0.0/16"))
    service: IPv4Network = key(NETWORK, IPv4Network("10.96.0.0/12"))


@dataclass(frozen=True, kw_only=True)
class Machine(Declared):
    """Something with an address on a segment.

    gateway     the router's address on the segment; None: no default route
    interface   the name of its network card
    """

    name: str = key(TEXT)
    address: IPv4Interface = key(INTERFACE)
    gateway: IPv4Address | None = key(ADDRESS, None)
    interface: str = key(TEXT, "eth0")


@dataclass(frozen=True, kw_only=True)
class Node(Machine):
    """A machine of the cluster. `pod_cidr`: the subnet reserved for it in etcd; None: flanneld leases a free one."""

    role: str = key(choice(("master", "worker")), "worker")
    pod_cidr: IPv4Network | None = key(NETWORK, None, "podCIDR")


@dataclass(frozen=True, kw_only=True)
class Client(Machine):
    """A machine outside the cluster."""


BACKEND_OPTIONS = {
    "udp": ("port",),
    "vxlan": ("port", "vni", "direct_routing", "l3miss"),
    "host-gw": (),
    "alloc": (),
    "aws-vpc": ("route_table_id",),
    "gce": (),
}
"""flannel's backends and the options that each of them reads."""


@dataclass(frozen=True, kw_only=True)
class Backend(Declared):
    """flannel's Backend object: how packets travel between nodes. None leaves an option to the backend's own default.

    port             UDP port: 8285 for udp, 8472 for vxlan
    vni              vxlan's network identifier, 1; the device is flannel.<VNI>
    direct_routing   vxlan: plain routes to nodes on the same layer 2, as host-gw has them
    l3miss           vxlan: as flannel 0.7 did it, one route for all pods, and neighbours looked up when the kernel misses them
    route_table_id   aws-vpc: the VPC route table, by default the one that the node's VPC subnet uses
    """

    type: str = key(choice(tuple(BACKEND_OPTIONS)), "udp")
    port: int | None = key(whole(1, 65535), None)
    vni: int | None = key(whole(1, 0xFFFFFF), None)
    direct_routing: bool | None = key(SWITCH, None)
    l3miss: bool | None = key(SWITCH, None)
    route_table_id: str | None = key(TEXT, None, "routeTableID")

    @property
    def foreign_options(self) -> tuple[str, ...]:
        """Options that are set but that this backend does not read."""
        options = {option: None for those in BACKEND_OPTIONS.values() for option in those}
        return tuple(one for one in options if getattr(self, one) is not None and one not in BACKEND_OPTIONS[self.type])


@dataclass(frozen=True, kw_only=True)
class Flannel(Declared):
    """What stands in etcd under <etcdPrefix>/config, and the flags of every flanneld."""

    etcd_prefix: str = key(TEXT, "/coreos.com/network")
    backend: Backend = key(below(Backend), Backend())
    subnet_len: int | None = key(whole(1, 30), None)
    subnet_min: IPv4Address | None = key(ADDRESS, None)
    subnet_max: IPv4Address | None = key(ADDRESS, None)
    ip_masq: bool = key(SWITCH, True)


PROXY_MODES = ("iptables", "userspace", "nftables")


@dataclass(frozen=True, kw_only=True)
class KubeProxy(Declared):
    """Flags of every kube-proxy.

    rules_version   which release's iptables rules to write: the article's, or today's
    """

    mode: str = key(choice(PROXY_MODES), "iptables")
    rules_version: str = key(choice(("1.7", "1.33")), "1.7")
    masquerade_all: bool = key(SWITCH, False)


@dataclass(frozen=True)
class Segment:
    """What machines with one network share: one wire to the router, or a switch.

    number    1-based, in the order of the file, nodes before clients
    gateway   the router's address on it; None: no router here
    """

    number: int
    network: IPv4Network
    gateway: IPv4Address | None
    members: tuple[Machine, ...]

    @property
    def switch(self) -> str:
        """Name of the switch, empty where the only machine is wired to the router directly."""
        return "" if self.gateway and len(self.members) == 1 else f"switch{self.number}"


@dataclass(frozen=True, kw_only=True)
class Topology(Declared):
    """A whole lab, as declared.

    router       the name of the machine between the segments; a segment is what nodes with one network share
    pod_network  flannel: one network for all pods, a subnet of it a node; docker: nobody tells docker, so every node has the same range
    bridge       docker0: pods hang on docker0, as the article tells it; cni0: pods hang on cni0 and docker0 idles on 172.17.0.0/16
    """

    name: str = key(TEXT)
    kubernetes: str = key(TEXT, "v1.7.3")
    networks: Networks = key(below(Networks), Networks())
    nodes: tuple[Node, ...] = key(several(Node))
    clients: tuple[Client, ...] = key(several(Client), ())
    router: str = key(TEXT, "router")
    pod_network: str = key(choice(("flannel", "docker")), "flannel")
    flannel: Flannel = key(below(Flannel), Flannel())
    kube_proxy: KubeProxy = key(below(KubeProxy), KubeProxy())
    bridge: str = key(choice(("docker0", "cni0")), "docker0")
    mtu: int = key(whole(576, 65535), NODE_MTU)

    @property
    def master(self) -> Node:
        """The node that etcd and the control plane run on."""
        return next(node for node in self.nodes if node.role == "master")

    def node(self, name: str) -> Node:
        """The node of that name; KeyError if there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def with_backend(self, kind: str) -> Topology:
        """The same topology with another flannel backend; options that the new one does not read are dropped."""
        changed = replace(self.flannel.backend, type=kind)
        foreign: dict[str, Any] = dict.fromkeys(changed.foreign_options)
        changed = replace(changed, **foreign)
        return replace(self, flannel=replace(self.flannel, backend=changed))

    def with_proxy_mode(self, mode: str) -> Topology:
        """The same topology with another mode of kube-proxy."""
        return replace(self, kube_proxy=replace(self.kube_proxy, mode=mode))

    @property
    def is_large(self) -> bool:
        """Whether it has so many nodes that they do some things otherwise, because one machine and one kernel carry them all."""
        return len(self.nodes) > LARGE

    @property
    def has_flannel(self) -> bool:
        """Whether flannel makes the pod network; without it there is none that all nodes share."""
        return self.pod_network == "flannel"

    @property
    def machines(self) -> tuple[Machine, ...]:
        """Nodes, then clients, in the order of the file."""
        return (*self.nodes, *self.clients)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The networks of nodes and clients, in the order in which the file first names them."""
        members: dict[IPv4Network, list[Machine]] = {}
        for machine in self.machines:
            members.setdefault(machine.address.network, []).append(machine)
        return tuple(
            Segment(number, network, next((one.gateway for one in those if one.gateway), None), tuple(those))
            for number, (network, those) in enumerate(members.items(), 1)
        )

    @property
    def subnet_len(self) -> int:
        """flannel's SubnetLen in force: as declared, else 24, or from /24 on one more than the pod network's length (v0.8)."""
        prefix = self.networks.pod.prefixlen
        return self.flannel.subnet_len or (24 if prefix < 24 else prefix + 1)

    @property
    def subnet_min(self) -> IPv4Address:
        """First subnet that flannel leases: as declared, else the pod network's second; the first one is never leased (v0.8)."""
        return self.flannel.subnet_min or IPv4Address(_clipped(int(self.networks.pod.network_address) + self._subnet_size))

    @property
    def subnet_max(self) -> IPv4Address:
        """Last subnet that flannel leases: as declared, else the pod network's last."""
        return self.flannel.subnet_max or IPv4Address(_clipped(int(self.networks.pod.broadcast_address) + 1 - self._subnet_size))

    @property
    def _subnet_size(self) -> int:
        return 1 << (32 - min(self.subnet_len, 32))

    @property
    def subnet_count(self) -> int:
        """How many subnets lie between subnet_min and subnet_max, both included; 0 when there is none."""
        return max(0, (int(self.subnet_max) - int(self.subnet_min)) // self._subnet_size + 1)


def _clipped(number: int) -> int:
    return max(0, min(number, 0xFFFFFFFF))
