"""The vocabulary of a plan: what can be done to build a lab, one small frozen operation a kernel or file change.

`str(operation)` is the shell command a person would type for it, `reason` says why it is there. An Interface is named by the
machine it is on and the name it has in that machine's namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal

Kind = Literal["node", "pod", "router", "switch", "client"]


@dataclass(frozen=True)
class Interface:
    """One end of a wire, or a bridge: `name` in the namespace of `host`; `mac` empty lets the kernel choose."""

    host: str
    name: str
    mac: str = ""


@dataclass(frozen=True)
class Operation:
    """Base of all: `reason` is one short sentence for people."""

    reason: str

    def __str__(self) -> str:
        raise TypeError(f"{type(self).__name__} has no text")  # every subclass defines its own


@dataclass(frozen=True)
class AddNamespace(Operation):
    """A machine: network, UTS and mount namespace, with its own hostname and /run."""

    host: str
    kind: Kind

    def __str__(self) -> str:
        return f"ip netns add {self.host}"


@dataclass(frozen=True)
class AddWire(Operation):
    """A veth pair between two machines, both ends up. `gso`: largest super-packet that leaves by `a`, bytes; 0 leaves the kernel's choice."""

    a: Interface
    b: Interface
    mtu: int
    gso: int = 0

    def __str__(self) -> str:
        ends = [f"name {end.name} netns {end.host}" + (f" address {end.mac}" if end.mac else "") for end in (self.a, self.b)]
        gso = f" gso_max_size {self.gso}" if self.gso else ""
        return f"ip link add {ends[0]} mtu {self.mtu}{gso} type veth peer {ends[1]} mtu {self.mtu}"


@dataclass(frozen=True)
class AddBridge(Operation):
    """A bridge, up, without ports. `mtu` 0 leaves the kernel's choice."""

    bridge: Interface
    mtu: int = 0

    def __str__(self) -> str:
        mac = f" address {self.bridge.mac}" if self.bridge.mac else ""
        mtu = f" mtu {self.mtu}" if self.mtu else ""
        return f"ip -n {self.bridge.host} link add {self.bridge.name}{mac}{mtu} type bridge"


@dataclass(frozen=True)
class AddPort(Operation):
    """An interface becomes a port of a bridge. `hairpin`: a frame may leave by the port it came in by."""

    interface: Interface
    bridge: str
    hairpin: bool = False

    def __str__(self) -> str:
        hairpin = " type bridge_slave hairpin on" if self.hairpin else ""
        return f"ip -n {self.interface.host} link set {self.interface.name} master {self.bridge}{hairpin}"


@dataclass(frozen=True)
class SetAddress(Operation):
    """An address and its prefix length on an interface."""

    interface: Interface
    address: IPv4Interface

    def __str__(self) -> str:
        return f"ip -n {self.interface.host} address add {self.address} broadcast + dev {self.interface.name}"


@dataclass(frozen=True)
class AddRoute(Operation):
    """A route in a machine's main table; `via` None means that the destination is on the link `dev`."""

    host: str
    destination: IPv4Network
    via: IPv4Address | None = None
    dev: str = ""

    def __str__(self) -> str:
        to = "default" if self.destination.prefixlen == 0 else str(self.destination)
        via = f" via {self.via}" if self.via else ""
        dev = f" dev {self.dev}" if self.dev else ""
        return f"ip -n {self.host} route add {to}{via}{dev}"


@dataclass(frozen=True)
class AddNeighbours(Operation):
    """Who is at the other end of an interface: addresses and their MACs, which are never asked for and never forgotten."""

    interface: Interface
    neighbours: tuple[tuple[IPv4Address, str], ...]

    def __str__(self) -> str:
        own, (address, mac) = self.interface, self.neighbours[0]
        more = f"; and {len(self.neighbours) - 1} more" if len(self.neighbours) > 1 else ""
        return f"ip -n {own.host} neighbour add {address} lladdr {mac} dev {own.name}{more}"


@dataclass(frozen=True)
class SetSysctl(Operation):
    """A kernel setting of one machine. `key` as below /proc/sys, with slashes: net/ipv4/ip_forward."""

    host: str
    key: str
    value: str

    def __str__(self) -> str:
        return f"ip netns exec {self.host} sysctl -w {self.key.replace('/', '.')}={self.value}"


@dataclass(frozen=True)
class AddRule(Operation):
    """A rule at the end of a chain of a machine's iptables; `rule` as iptables-save prints it, without `-A CHAIN`."""

    host: str
    table: str
    chain: str
    rule: tuple[str, ...]

    def __str__(self) -> str:
        return f"ip netns exec {self.host} {' '.join(self.argv)}"

    @property
    def argv(self) -> tuple[str, ...]:
        """The command."""
        return ("iptables", "-w", "-t", self.table, "-A", self.chain, *self.rule)


@dataclass(frozen=True)
class WriteFile(Operation):
    """A file that only this machine sees, at `path`, whatever the real machine has there."""

    host: str
    path: str
    text: str

    def __str__(self) -> str:
        lines = self.text.count("\n")
        return f"write {self.host}:{self.path} ({lines} line{'' if lines == 1 else 's'})"
