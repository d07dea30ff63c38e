"""Packets as data: the headers that were found in a frame, from the outside in. Pure; lab.observe.decode makes them from bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

ICMP, IPIP, TCP, UDP = 1, 4, 6, 17
"""IP protocol numbers."""

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED = 0, 3, 8, 11
"""ICMP types."""
FRAGMENTATION_NEEDED = 4
"""The ICMP code of UNREACHABLE that names an MTU."""


@dataclass(frozen=True)
class Ethernet:
    """A frame's header. `kind` is the EtherType: 0x0800 for IPv4."""

    source: str
    destination: str
    kind: int


@dataclass(frozen=True)
class Arp:
    """A question for, or an answer with, the MAC of an IPv4 address. `operation` 1 asks, 2 answers."""

    operation: int
    sender_mac: str
    sender: IPv4Address
    target_mac: str
    target: IPv4Address


@dataclass(frozen=True)
class Ip:
    """An IPv4 header.

    length           of the whole packet as the header says, header included, bytes
    fragment_offset  bytes; 0 for a whole packet and for the first fragment
    """

    source: IPv4Address
    destination: IPv4Address
    protocol: int
    ttl: int
    length: int
    identification: int
    dont_fragment: bool = False
    more_fragments: bool = False
    fragment_offset: int = 0


@dataclass(frozen=True)
class Udp:
    """A UDP header; `length` with the header, bytes."""

    source: int
    destination: int
    length: int


@dataclass(frozen=True)
class Tcp:
    """A TCP header. `flags` in the order in which they are read aloud: ("SYN", "ACK")."""

    source: int
    destination: int
    sequence: int
    acknowledgement: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Icmp:
    """An ICMP header.

    identifier, sequence   of echo request and reply, otherwise 0
    mtu                    of "fragmentation needed", otherwise 0
    """

    kind: int
    code: int
    identifier: int = 0
    sequence: int = 0
    mtu: int = 0

    @property
    def is_error(self) -> bool:
        """Whether the message is about another packet, whose beginning it quotes."""
        return self.kind in (UNREACHABLE, TIME_EXCEEDED)


@dataclass(frozen=True)
class Vxlan:
    """A VXLAN header. `vni` names the virtual network."""

    vni: int


@dataclass(frozen=True)
class Packet:
    """What was found in some bytes. A header that is not there, or could not be read, is None.

    size       how many bytes there were
    payload    what follows the last header that was understood; of a packet that carries another one, empty
    inner      the packet that this one carries: in flannel's UDP datagram, in VXLAN, in IP-in-IP
    quoted     the beginning of the packet that an ICMP error is about
    fault      why reading ended early; empty when nothing was wrong
    """

    size: int
    ethernet: Ethernet | None = None
    arp: Arp | None = None
    ip: Ip | None = None
    transport: Udp | Tcp | Icmp | None = None
    vxlan: Vxlan | None = None
    payload: bytes = b""
    inner: Packet | None = None
    quoted: Packet | None = None
    fault: str = ""

    @property
    def layers(self) -> Iterator[Packet]:
        """This packet, the one in it, the one in that."""
        layer: Packet | None = self
        while layer is not None:
            yield layer
            layer = layer.inner

    @property
    def innermost(self) -> Packet:
        """The packet that is not a wrapping: what a pod sent, wherever it was seen."""
        *_, last = self.layers
        return last

    @property
    def wrapped(self) -> bool:
        """Whether another packet is inside."""
        return self.inner is not None

    @property
    def echo(self) -> Icmp | None:
        """The ICMP header of an echo request or reply, as ping sends them."""
        found = self.transport
        return found if isinstance(found, Icmp) and found.kind in (ECHO_REQUEST, ECHO_REPLY) else None
