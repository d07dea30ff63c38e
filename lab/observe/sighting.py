"""A packet seen at a place, and how people are told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.observe.packet import (
    ECHO_REPLY,
    ECHO_REQUEST,
    FRAGMENTATION_NEEDED,
    TIME_EXCEEDED,
    UNREACHABLE,
    Arp,
    Icmp,
    Ip,
    Packet,
    Tcp,
    Udp,
)

Direction = Literal["in", "out"]

_KINDS = {ECHO_REQUEST: "echo request", ECHO_REPLY: "echo reply", TIME_EXCEEDED: "time exceeded", UNREACHABLE: "unreachable"}
_UNREACHABLE = {0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable"}
_PROTOCOLS = {1: "ICMP", 2: "IGMP", 4: "IPIP", 6: "TCP", 17: "UDP", 47: "GRE", 50: "ESP"}


@dataclass(frozen=True, order=True)
class Place:
    """An interface of a machine."""

    machine: str
    interface: str

    def __str__(self) -> str:
        return f"{self.machine} {self.interface}"


@dataclass(frozen=True)
class Sighting:
    """A packet at a place.

    time        by the kernel's one clock, nanoseconds
    direction   `out`: the machine sends it there; `in`: it comes from there
    """

    time: int
    place: Place
    direction: Direction
    packet: Packet


def ordered(sightings: Iterable[Sighting], places: Sequence[Place]) -> tuple[Sighting, ...]:
    """The sightings in the order in which they happened.

    A packet keeps the timestamp of its arrival while the kernel passes it up on one machine: from eth0 to the vxlan device that unwraps
    it, from a bridge's port to the bridge. Of equal times the more wrapped comes first, and then what comes first in `places`.
    """
    rank = {place: number for number, place in enumerate(places)}
    return tuple(sorted(sightings, key=lambda one: (one.time, -sum(1 for _ in one.packet.layers), rank[one.place])))


def lines(sightings: Iterable[Sighting]) -> tuple[str, ...]:
    """Two or more lines a sighting: the place with the time since the first one, then the packet, each wrapping on a line of its own."""
    found = list(sightings)
    return tuple(line for one in found for line in _lines(one, found[0].time))


def _lines(sighting: Sighting, first: int) -> Iterator[str]:
    yield f"{sighting.place}, {sighting.direction}, {(sighting.time - first) / 1000:.0f} µs"
    for depth, layer in enumerate(sighting.packet.layers):
        yield f"    {'| ' if depth else ''}{layer_text(layer)}"


def text(packet: Packet) -> str:
    """The packet on one line, from the outside in: `A:8285 > B:8285 UDP ttl 64, 112 bytes | C > D ICMP echo request ...`."""
    return " | ".join(layer_text(layer) for layer in packet.layers)


def layer_text(packet: Packet) -> str:
    """One packet without those inside it: `10.244.1.145 > 10.244.2.246 ICMP echo request id 7 seq 1 ttl 62, 84 bytes`."""
    fault = f" ({packet.fault})" if packet.fault else ""
    if packet.ip is not None:
        return f"{_ip(packet, packet.ip)}{fault}"
    if packet.arp is not None:
        return f"{_arp(packet.arp)}{fault}"
    if packet.ethernet is not None:
        ethernet = packet.ethernet
        return f"{ethernet.source} > {ethernet.destination} type 0x{ethernet.kind:04x}, {packet.size} bytes{fault}"
    return f"{packet.size} bytes{fault}"


def _ip(packet: Packet, ip: Ip) -> str:
    source, destination = str(ip.source), str(ip.destination)
    if isinstance(packet.transport, Udp | Tcp):
        source, destination = f"{source}:{packet.transport.source}", f"{destination}:{packet.transport.destination}"
    words = [f"{source} > {destination}", _PROTOCOLS.get(ip.protocol, f"protocol {ip.protocol}"), *_transport(packet)]
    if ip.fragment_offset:
        words.append(f"fragment at {ip.fragment_offset}")
    elif ip.more_fragments:
        words.append("first fragment")
    about = f" (about {layer_text(packet.quoted)})" if packet.quoted else ""
    return f"{' '.join(words)} ttl {ip.ttl}, {ip.length} bytes{about}"


def _transport(packet: Packet) -> Iterator[str]:
    found = packet.transport
    if isinstance(found, Tcp) and found.flags:
        yield ",".join(found.flags)
    if isinstance(found, Icmp):
        yield _icmp(found)
    if packet.vxlan is not None:
        yield f"VXLAN vni {packet.vxlan.vni}"


def _icmp(icmp: Icmp) -> str:
    if icmp.kind in (ECHO_REQUEST, ECHO_REPLY):
        return f"{_KINDS[icmp.kind]} id {icmp.identifier} seq {icmp.sequence}"
    if icmp.kind == UNREACHABLE and icmp.code == FRAGMENTATION_NEEDED:
        return f"fragmentation needed (mtu={icmp.mtu})"
    if icmp.kind == UNREACHABLE and icmp.code in _UNREACHABLE:
        return _UNREACHABLE[icmp.code]
    return f"{_KINDS[icmp.kind]} code {icmp.code}" if icmp.kind in _KINDS else f"type {icmp.kind} code {icmp.code}"


def _arp(arp: Arp) -> str:
    if arp.operation == 1:
        return f"ARP who has {arp.target}? tell {arp.sender}"
    return f"ARP {arp.sender} is at {arp.sender_mac}" if arp.operation == 2 else f"ARP operation {arp.operation}"
