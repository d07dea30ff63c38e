"""The header that a TUN device with IFF_VNET_HDR puts before each packet, struct virtio_net_hdr. Pure functions on bytes.

By it the kernel and a program leave each other the work on checksums and on cutting long TCP packets.
The fields are defined by the virtio specification (5.1.6, "Device Operation"); on a TUN device they are in the machine's own byte order.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

SIZE = 10
"""Bytes of the header."""

NEEDS_CSUM = 1
"""Flag: the checksum field holds the sum of the pseudo header only, and the sum over the rest is yet to be added."""

GSO_NONE = 0
GSO_TCPV4 = 1
GSO_ECN = 0x80
"""Goes with GSO_TCPV4: the packet carries CWR, which belongs to its first segment."""

_FORMAT = struct.Struct("=BBHHHH")


class Header(NamedTuple):
    """One header.

    header_size           bytes of the IP and TCP headers; a hint
    segment_size          bytes of TCP payload in each segment
    start, offset         the checksum covers the packet from `start`, and its field is `offset` bytes after that
    """

    flags: int = 0
    gso: int = GSO_NONE
    header_size: int = 0
    segment_size: int = 0
    start: int = 0
    offset: int = 0

    @classmethod
    def parse(cls, raw: bytes | bytearray | memoryview) -> Header:
        """Read the first SIZE bytes."""
        return cls(*_FORMAT.unpack_from(raw))

    def packed(self) -> bytes:
        """The header as bytes."""
        return _FORMAT.pack(*self)


PLAIN = Header().packed()
"""The header of a packet that is complete as it is."""


def complete(packet: bytearray | memoryview, header: Header) -> bool:
    """Finish in place the checksum that NEEDS_CSUM leaves to us; False if the header points outside the packet."""
    start, size = header.start, len(packet)
    field = start + header.offset
    if field + 2 > size:
        return False
    # The field itself holds the start value, the sum of the pseudo header.
    total = int.from_bytes(packet[start:], "big")
    if (size - start) % 2:
        total <<= 8
    # 0 would mean "no checksum" in UDP; 0xFFFF is the same number in ones' complement.
    value = -total % 0xFFFF or 0xFFFF
    packet[field] = value >> 8
    packet[field + 1] = value & 0xFF
    return True
