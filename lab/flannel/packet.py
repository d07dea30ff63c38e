"""IPv4 packets as the udp backend treats them: check, look at, take one off the TTL, refuse. Pure functions on bytes.

The behaviour is that of flannel's C data path; where that trusts its input, these functions check it.
"""

from __future__ import annotations

import struct

MIN_HEADER = 20
"""Bytes of an IPv4 header without options."""

TCP = 6
"""The protocol number."""

_ICMP = 1
_UNREACHABLE_TTL = 8
_QUOTED = 8
"""Bytes of the refused packet's payload that go into the ICMP message."""

_LONGEST_HEADER = 56
"""flannel's C code refuses to answer a packet whose header has all 40 bytes of options."""


def fault(packet: bytes | bytearray | memoryview) -> str:
    """Why these bytes are not one whole IPv4 packet, as a short name for a counter; empty if they are.

    The length must be the header's: a datagram with bytes missing or left over was not made by a flanneld.
    """
    size = len(packet)
    if size < MIN_HEADER:
        return "too short"
    first = packet[0]
    if first >> 4 != 4:
        return "not IPv4"
    header = (first & 15) * 4
    if header < MIN_HEADER or header > size:
        return "bad header length"
    if packet[2] << 8 | packet[3] != size:
        return "bad total length"
    return ""


def destination(packet: bytes | bytearray | memoryview) -> int:
    """The destination address of a packet without fault, as a number."""
    return int.from_bytes(packet[16:20], "big")


def decrement_ttl(packet: bytearray | memoryview) -> bool:
    """Take one off the TTL in place and mend the header checksum; False if the packet's time is over, and then it must be dropped.

    The checksum is corrected as RFC 1624 says, not computed anew, so a wrong one stays wrong and the receiver notices. A TTL of 0 is over
    too; flannel's C code would wrap it round to 255.
    """
    ttl = packet[8]
    if ttl <= 1:
        return False
    packet[8] = ttl - 1
    # One less in the upper byte of a 16-bit word of the header is 0x100 more in the ones' complement sum's complement.
    checksum = (packet[10] << 8 | packet[11]) + 0x100
    checksum += checksum >= 0xFFFF
    packet[10] = checksum >> 8 & 0xFF
    packet[11] = checksum & 0xFF
    return True


def net_unreachable(packet: bytes | bytearray | memoryview, source: int) -> bytes | None:
    """The ICMP message that answers a packet whose destination nobody holds: destination unreachable, network unreachable.

    packet   without fault, as it came out of the TUN device
    source   address that the answer bears: the TUN device's own, as a number
    Returns None where flannel stays silent: about ICMP, about fragments other than the first, about a header full of options.
    """
    header = (packet[0] & 15) * 4
    fragment_offset = (packet[6] << 8 | packet[7]) & 0x1FFF
    if packet[9] == _ICMP or fragment_offset or header > _LONGEST_HEADER:
        return None
    message = bytearray(struct.pack("!BBHI", 3, 0, 0, 0)) + packet[: header + _QUOTED]
    struct.pack_into("!H", message, 2, checksum(message))
    sender = source.to_bytes(4, "big")
    outer = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, MIN_HEADER + len(message), 0, 0, _UNREACHABLE_TTL, _ICMP, 0))
    outer += sender + packet[12:16]
    struct.pack_into("!H", outer, 10, checksum(outer))
    return bytes(outer + message)


def checksum(data: bytes | bytearray) -> int:
    """The Internet checksum of RFC 1071 over `data`, in which the checksum field itself must be 0."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
