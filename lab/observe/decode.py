"""Bytes as an interface saw them -> Packet. Pure, and never raises: what cannot be read is told in `fault`, with what could be.

Formats: Ethernet II, 802.1Q tags skipped, ARP (RFC 826), IPv4 (791), ICMP (792, 1191), UDP (768), TCP (9293), VXLAN (7348),
IP-in-IP (2003). flannel's udp backend puts an IPv4 packet as it is into a UDP datagram.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address
from types import MappingProxyType
from typing import Literal

from lab.observe.packet import (
    ECHO_REPLY,
    ECHO_REQUEST,
    FRAGMENTATION_NEEDED,
    ICMP,
    IPIP,
    TCP,
    UDP,
    UNREACHABLE,
    Arp,
    Ethernet,
    Icmp,
    Ip,
    Packet,
    Tcp,
    Udp,
    Vxlan,
)

Link = Literal["ethernet", "ip"]
"""What an interface's frames begin with: an Ethernet header, or, on TUN and tunnel devices, the IP header."""
Tunnel = Literal["ip", "vxlan"]
"""What a UDP datagram carries: an IP packet as it is, or a VXLAN header and an Ethernet frame."""

TUNNELS: Mapping[int, Tunnel] = MappingProxyType({8285: "ip", 8472: "vxlan"})
"""UDP ports of flannel's udp and vxlan backends."""

DEPTH = 4
"""Packets within packets that are looked at; a made-up one could go on for as long as it has bytes."""

_IPV4, _ARP, _VLAN = 0x0800, 0x0806, 0x8100
_FLAGS = (("SYN", 2), ("FIN", 1), ("RST", 4), ("PSH", 8), ("ACK", 16), ("URG", 32))


def decode(data: bytes, link: Link = "ethernet", tunnels: Mapping[int, Tunnel] = TUNNELS) -> Packet:
    """What is in `data`.

    link      what it begins with
    tunnels   UDP destination port -> what datagrams to it carry
    """
    return _decode(data, link, tunnels, DEPTH)


def _decode(data: bytes, link: Link, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    whole = Packet(len(data), payload=data)
    return _ethernet(whole, tunnels, depth) if link == "ethernet" else _ip(whole, tunnels, depth)


def _ethernet(packet: Packet, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    data = packet.payload
    if len(data) < 14:
        return replace(packet, fault="too short for Ethernet")
    destination, source = _mac(data[:6]), _mac(data[6:12])
    kind, start = _number(data[12:14]), 14
    while kind == _VLAN and len(data) >= start + 4:
        kind, start = _number(data[start + 2 : start + 4]), start + 4
    packet = replace(packet, ethernet=Ethernet(source, destination, kind), payload=data[start:])
    if kind == _IPV4:
        return _ip(packet, tunnels, depth)
    return _arp(packet) if kind == _ARP else packet


def _arp(packet: Packet) -> Packet:
    data = packet.payload
    if len(data) < 28 or data[:6] != b"\0\1\x08\0\6\4":
        return replace(packet, fault="not ARP for IPv4 on Ethernet")
    sender, target = (_mac(data[8:14]), IPv4Address(data[14:18])), (_mac(data[18:24]), IPv4Address(data[24:28]))
    return replace(packet, arp=Arp(_number(data[6:8]), *sender, *target), payload=b"")


def _ip(packet: Packet, tunnels: Mapping[int, Tunnel], depth: int, quoted: bool = False) -> Packet:
    """`quoted`: the bytes are the beginning of a packet in an ICMP error, so that most of it is missing without a fault."""
    data = packet.payload
    if len(data) < 20 or data[0] >> 4 != 4:
        return replace(packet, fault="not IPv4")
    header, length = (data[0] & 15) * 4, _number(data[2:4])
    if header < 20 or header > len(data) or length < header:
        return replace(packet, fault="bad IPv4 header")
    fragment = _number(data[6:8])
    ip = Ip(
        source=IPv4Address(data[12:16]),
        destination=IPv4Address(data[16:20]),
        protocol=data[9],
        ttl=data[8],
        length=length,
        identification=_number(data[4:6]),
        dont_fragment=bool(fragment & 0x4000),
        more_fragments=bool(fragment & 0x2000),
        fragment_offset=(fragment & 0x1FFF) * 8,
    )
    # Ethernet pads short frames, so the packet ends where its header says.
    packet = replace(packet, ip=ip, payload=data[header:length])
    if len(data) < length and not quoted:
        packet = replace(packet, fault="cut short")
    return packet if ip.fragment_offset else _transport(packet, ip, tunnels, depth)


def _transport(packet: Packet, ip: Ip, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    if ip.protocol == UDP:
        return _udp(packet, tunnels, depth)
    if ip.protocol == TCP:
        return _tcp(packet)
    if ip.protocol == ICMP:
        return _icmp(packet, tunnels, depth)
    return _carrying(packet, packet.payload, "ip", tunnels, depth) if ip.protocol == IPIP else packet


def _udp(packet: Packet, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    data = packet.payload
    if len(data) < 8:
        return replace(packet, fault=packet.fault or "too short for UDP")
    udp = Udp(*struct.unpack("!HHH", data[:6]))
    packet = replace(packet, transport=udp, payload=data[8:])
    tunnel = tunnels.get(udp.destination)
    if tunnel == "vxlan":
        return _vxlan(packet, tunnels, depth)
    return _carrying(packet, packet.payload, "ip", tunnels, depth) if tunnel else packet


def _vxlan(packet: Packet, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    data = packet.payload
    if len(data) < 8 or not data[0] & 8:
        return packet
    return _carrying(replace(packet, vxlan=Vxlan(_number(data[4:7]))), data[8:], "ethernet", tunnels, depth)


def _carrying(packet: Packet, data: bytes, link: Link, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    """The packet with the one inside it; unchanged when these bytes are none after all."""
    if depth <= 1:
        return packet
    inner = _decode(data, link, tunnels, depth - 1)
    found = inner.ip if link == "ip" else inner.ethernet
    return replace(packet, inner=inner, payload=b"") if found else packet


def _tcp(packet: Packet) -> Packet:
    data = packet.payload
    if len(data) < 8:
        return replace(packet, fault=packet.fault or "too short for TCP")
    source, destination, sequence = struct.unpack("!HHI", data[:8])
    if len(data) < 20:  # what an ICMP error quotes ends here
        return replace(packet, transport=Tcp(source, destination, sequence, 0, ()), payload=b"")
    flags = tuple(name for name, bit in _FLAGS if data[13] & bit)
    return replace(packet, transport=Tcp(source, destination, sequence, _number(data[8:12]), flags), payload=data[(data[12] >> 4) * 4 :])


def _icmp(packet: Packet, tunnels: Mapping[int, Tunnel], depth: int) -> Packet:
    data = packet.payload
    if len(data) < 8:
        return replace(packet, fault=packet.fault or "too short for ICMP")
    kind, code, first, second = data[0], data[1], _number(data[4:6]), _number(data[6:8])
    if kind in (ECHO_REQUEST, ECHO_REPLY):
        return replace(packet, transport=Icmp(kind, code, identifier=first, sequence=second), payload=data[8:])
    icmp = Icmp(kind, code, mtu=second if (kind, code) == (UNREACHABLE, FRAGMENTATION_NEEDED) else 0)
    packet = replace(packet, transport=icmp, payload=data[8:])
    if not icmp.is_error or depth <= 1:
        return packet
    about = _ip(Packet(len(data) - 8, payload=data[8:]), tunnels, depth - 1, quoted=True)
    return replace(packet, quoted=about, payload=b"") if about.ip else packet


def _mac(data: bytes) -> str:
    return data.hex(":")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")
