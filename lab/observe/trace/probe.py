"""The probe: what a trace sends, and the marks by which it is known again wherever it goes by. Pure.

Addresses and ports are no marks, because netfilter rewrites them. A TCP connection is known by its initial sequence number, which no
translation touches: packets there bear it, packets back acknowledge it. UDP and ICMP carry eight bytes at the head of their payload, and
a UDP reply, which need not repeat them, answers to an address and port that the probe was seen with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from lab.observe.packet import ECHO_REQUEST, Icmp, Packet, Tcp, Udp

Protocol = Literal["tcp", "udp", "icmp"]
NUMBERS: dict[str, int] = {"icmp": 1, "tcp": 6, "udp": 17}
MARK = 8
"""Bytes of the mark in a payload."""


@dataclass(frozen=True)
class Probe:
    """What is sent.

    source, destination      as the sending socket has them; the source is 0.0.0.0 when there was no route
    source_port              of ICMP the identifier
    port                     of ICMP 0
    sequence                 of TCP the initial sequence number
    mark                     of UDP and ICMP the first bytes of the payload
    size                     bytes of the payload, mark included
    dont_fragment            whether the packet may not be cut
    """

    protocol: Protocol
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    port: int = 0
    sequence: int = 0
    mark: bytes = b""
    size: int = MARK
    dont_fragment: bool = False

    @property
    def tuple(self) -> Tuple:
        """The probe's addresses and ports as it is sent."""
        return Tuple(NUMBERS[self.protocol], str(self.source), self.source_port, str(self.destination), self.port)


@dataclass(frozen=True)
class Tuple:
    """What conntrack tells connections apart by. Of ICMP echoes, both ports are the identifier."""

    protocol: int
    source: str
    source_port: int
    destination: str
    port: int

    @property
    def reversed(self) -> Tuple:
        """The tuple of an answer."""
        return Tuple(self.protocol, self.destination, self.port, self.source, self.source_port)


def tuple_of(packet: Packet) -> Tuple | None:
    """The tuple of a packet, without looking into what it carries; None when it has none."""
    if packet.ip is None:
        return None
    ends: tuple[int, int] | None = None
    if isinstance(packet.transport, Udp | Tcp):
        ends = packet.transport.source, packet.transport.destination
    elif isinstance(packet.transport, Icmp):
        ends = packet.transport.identifier, packet.transport.identifier
    return Tuple(packet.ip.protocol, str(packet.ip.source), ends[0], str(packet.ip.destination), ends[1]) if ends else None


Role = Literal["there", "back", "error"]


class Recogniser:
    """Tells the probe and its answers from all other packets. Packets must come in the order in which they were seen."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self._there: set[Tuple] = {probe.tuple} if probe.protocol == "udp" else set()
        self._cut: dict[tuple[object, ...], Role] = {}

    def role(self, packet: Packet) -> Role | None:
        """`there` for the probe, `back` for its reply, `error` for an ICMP message about it; None for any other packet.

        Of a TCP connection only its first packet and the first answer count: SYN, SYN-ACK, RST.
        """
        pieces = [_piece(layer) for layer in packet.layers if layer.ip and (layer.ip.more_fragments or layer.ip.fragment_offset)]
        found = next((self._cut[piece] for piece in pieces if piece in self._cut), None) or self._whole(packet)
        if found is not None:
            self._cut.update(dict.fromkeys(pieces, found))
        return found

    def _whole(self, packet: Packet) -> Role | None:
        for layer in packet.layers:
            if layer.quoted is not None:
                return "error" if self._plain(layer.quoted.innermost) == "there" else None
        return self._plain(packet.innermost)

    def _plain(self, packet: Packet) -> Role | None:
        transport = packet.transport
        if isinstance(transport, Tcp) and self.probe.protocol == "tcp":
            return self._tcp(transport)
        if isinstance(transport, Icmp) and self.probe.protocol == "icmp" and packet.payload.startswith(self.probe.mark):
            return "there" if transport.kind == ECHO_REQUEST else "back"
        if isinstance(transport, Udp) and self.probe.protocol == "udp":
            return self._udp(packet)
        return None

    def _tcp(self, transport: Tcp) -> Role | None:
        if transport.sequence == self.probe.sequence and transport.flags in (("SYN",), ()):
            return "there"
        answers = transport.acknowledgement == (self.probe.sequence + 1) % (1 << 32)
        return "back" if answers and {"SYN", "RST"} & set(transport.flags) else None

    def _udp(self, packet: Packet) -> Role | None:
        ends = tuple_of(packet)
        if ends is None:
            return None
        if ends.reversed in self._there and ends not in self._there:
            return "back"
        if packet.payload.startswith(self.probe.mark):
            self._there.add(ends)
            return "there"
        return None


def _piece(packet: Packet) -> tuple[object, ...]:
    """What the fragments of one packet have in common (RFC 791)."""
    assert packet.ip is not None
    return packet.ip.source, packet.ip.destination, packet.ip.protocol, packet.ip.identification


def nft_matches(probe: Probe, tunnels: dict[int, str]) -> Iterator[str]:
    """The nftables expressions that match the probe, its reply, errors about it, and tunnelled packets with it inside.

    tunnels   UDP port -> `ip` or `vxlan`
    """
    if probe.protocol == "tcp":
        yield f"meta l4proto tcp tcp flags & (syn|ack) == syn {_at(4, probe.sequence, 4)}"
        yield f"meta l4proto tcp tcp flags & (syn|rst) != 0x0 {_at(8, (probe.sequence + 1) % (1 << 32), 4)}"
    elif probe.protocol == "udp":
        yield f"meta l4proto udp {_at(8, probe.mark)}"
        yield f"udp dport {probe.source_port}"
    else:
        yield f"icmp type {{ echo-request, echo-reply }} {_at(8, probe.mark)}"
    yield f"icmp type {{ destination-unreachable, time-exceeded }} {_marked(probe, 8 + 20)}"
    for port, kind in tunnels.items():
        yield f"udp dport {port} {_marked(probe, 8 + 20 if kind == 'ip' else 8 + 8 + 14 + 20)}"


def _marked(probe: Probe, start: int) -> str:
    """The mark of a probe whose transport header begins at byte `start` of the outer one's."""
    if probe.protocol == "tcp":
        return _at(start + 4, probe.sequence, 4)
    return _at(start + 8, probe.mark)


def _at(byte: int, value: int | bytes, size: int = MARK) -> str:
    number = int.from_bytes(value, "big") if isinstance(value, bytes) else value
    return f"@th,{byte * 8},{size * 8} {number:#x}"
