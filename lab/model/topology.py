"""A topology: the machines of a cluster, the networks between them, and how its flannel and kube-proxy are set up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from lab.model.names import shown

NODE_MTU = 1500
"""Ethernet's payload, the MTU of every wire of the underlay unless the topology says otherwise (bytes)."""

DOCKER_DEFAULT = IPv4Interface("172.17.0.1/16")
"""What docker gives docker0 when nobody tells it otherwise: the idle bridge of `bridge: cni0`, and every node's with `podNetwork: docker`."""

_T = TypeVar("_T")


def _parsed(kind: Callable[[str], _T], what: str) -> BeforeValidator:
    """A validator that reads text only (the ipaddress classes would also take a bare number) and says what it expected."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            if isinstance(value, kind):  # type: ignore[arg-type]  # every kind here is a class
                return value
            raise PydanticCustomError("lab", "{problem}", {"problem": f"must be {what}, in quotes if YAML takes it for a number"})
        try:
            if kind is not IPv4Address and "/" not in value:
                raise ValueError("ipaddress would take it for a /32")
            return kind(value)
        except ValueError:
            raise PydanticCustomError(
                "lab", "{problem}", {"problem": f"`{shown(value)}` is not {what}{_hint(kind, value)}"}
            ) from None

    return BeforeValidator(read)


def _hint(kind: Callable[[str], Any], value: str) -> str:
    if kind is not IPv4Network:
        return ""
    try:
        return f"; did you mean {IPv4Network(value, strict=False)}?" if "/" in value else ""
    except ValueError:
        return ""


Address = Annotated[IPv4Address, _parsed(IPv4Address, "an IPv4 address such as 10.229.52.1")]
Interface = Annotated[IPv4Interface, _parsed(IPv4Interface, "an IPv4 address with its prefix length, such as 10.229.53.146/23")]
Network = Annotated[IPv4Network, _parsed(IPv4Network, "an IPv4 network such as 10.244.0.0/16")]
Whole = Annotated[int, Strict()]
Switch = Annotated[bool, Strict()]


class Declared(BaseModel):
    """Base of everything that stands in a YAML file: frozen, camelCase keys as Kubernetes writes them, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Networks(Declared):
    """The cluster's two virtual networks; the third, the nodes', follows from the nodes' own addresses."""

    pod: Network = IPv4Network("10.244.0.0/16")
    service: Network = IPv4Network("10.96.0.0/12")


class Machine(Declared):
    """Something with an address on a segment.

    gateway     the router's address on the segment; None: no default route
    interface   the name of its network card
    """

    name: str
    address: Interface
    gateway: Address | None = None
    interface: str = "eth0"


class Node(Machine):
    """A machine of the cluster. `pod_cidr`: the subnet reserved for it in etcd; None: flanneld leases a free one."""

    role: Literal["master", "worker"] = "worker"
    pod_cidr: Network | None = Field(default=None, alias="podCIDR")


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


class Backend(Declared):
    """flannel's Backend object: how packets travel between nodes. None leaves an option to the backend's own default.

    port             UDP port: 8285 for udp, 8472 for vxlan
    vni              vxlan's network identifier, 1; the device is flannel.<VNI>
    direct_routing   vxlan: plain routes to nodes on the same layer 2, as host-gw has them
    l3miss           vxlan: as flannel 0.7 did it, one route for all pods, and neighbours looked up when the kernel misses them
    route_table_id   aws-vpc: the VPC route table, by default the one that the node's VPC subnet uses
    """

    type: Literal["udp", "vxlan", "host-gw", "alloc", "aws-vpc", "gce"] = "udp"
    port: Whole | None = Field(default=None, ge=1, le=65535)
    vni: Whole | None = Field(default=None, ge=1, le=0xFFFFFF)
    direct_routing: Switch | None = None
    l3miss: Switch | None = Field(default=None, alias="l3miss")
    route_table_id: str | None = Field(default=None, alias="routeTableID")

    @property
    def foreign_options(self) -> tuple[str, ...]:
        """Options that are set but that this backend does not read."""
        options = {option: None for those in BACKEND_OPTIONS.values() for option in those}
        return tuple(one for one in options if getattr(self, one) is not None and one not in BACKEND_OPTIONS[self.type])


class Flannel(Declared):
    """What stands in etcd under <etcdPrefix>/config, and the flags of every flanneld."""

    etcd_prefix: str = "/coreos.com/network"
    backend: Backend = Backend()
    subnet_len: Whole | None = Field(default=None, ge=1, le=30)
    subnet_min: Address | None = None
    subnet_max: Address | None = None
    ip_masq: Switch = True


PROXY_MODES = ("iptables", "userspace", "nftables")


class KubeProxy(Declared):
    """Flags of every kube-proxy.

    rules_version   which release's iptables rules to write: the article's, or today's
    """

    mode: Literal["iptables", "userspace", "nftables"] = "iptables"
    rules_version: Literal["1.7", "1.33"] = "1.7"
    masquerade_all: Switch = False


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


class Topology(Declared):
    """A whole lab, as declared.

    router       the name of the machine between the segments; a segment is what nodes with one network share
    pod_network  flannel: one network for all pods, a subnet of it a node; docker: nobody tells docker, so every node has the same range
    bridge       docker0: pods hang on docker0, as the article tells it; cni0: pods hang on cni0 and docker0 idles on 172.17.0.0/16
    """

    name: str
    kubernetes: str = "v1.7.3"
    networks: Networks = Networks()
    nodes: tuple[Node, ...]
    clients: tuple[Client, ...] = ()
    router: str = "router"
    pod_network: Literal["flannel", "docker"] = "flannel"
    flannel: Flannel = Flannel()
    kube_proxy: KubeProxy = KubeProxy()
    bridge: Literal["docker0", "cni0"] = "docker0"
    mtu: Whole = Field(default=NODE_MTU, ge=576, le=65535)

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
        changed = self.flannel.backend.model_copy(update={"type": kind})
        changed = changed.model_copy(update=dict.fromkeys(changed.foreign_options))
        return self.model_copy(update={"flannel": self.flannel.model_copy(update={"backend": changed})})

    def with_proxy_mode(self, mode: str) -> Topology:
        """The same topology with another mode of kube-proxy."""
        return self.model_copy(update={"kube_proxy": self.kube_proxy.model_copy(update={"mode": mode})})

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
