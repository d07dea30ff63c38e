"""What the kernel answers to the questions of lab.fabric.rtnetlink, as data. Pure: each function reads the body of one message.

Formats and numbers are those of linux/rtnetlink.h, if_link.h, if_addr.h and neighbour.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

_INTERFACE, _ADDRESS = struct.Struct("=BxHiII"), struct.Struct("=BBBBI")
_ROUTE, _NEIGHBOUR = struct.Struct("=BBBBBBBBI"), struct.Struct("=BBHiHBB")
_ATTRIBUTE, _NUMBER = struct.Struct("=HH"), struct.Struct("=I")
_KIND = 0x3FFF
"""An attribute's number without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER."""


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and values of attributes; what is cut off is skipped."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & _KIND, data[_ATTRIBUTE.size : length]
        data = data[length + 3 & ~3 :]


@dataclass(frozen=True)
class Link:
    """An interface. kind: vxlan, veth and the like, empty for a card; `details`: the attributes of its kind."""

    index: int
    name: str
    mtu: int
    mac: str
    kind: str = ""
    details: dict[int, bytes] = field(default_factory=dict)

    def number(self, kind: int) -> int:
        """A detail of four bytes, 0 where it is missing."""
        return _number(self.details.get(kind))


def link(body: bytes) -> Link:
    """An interface."""
    index = _INTERFACE.unpack_from(body)[2]
    found = dict(attributes(body[_INTERFACE.size :]))
    info = dict(attributes(found.get(18, b"")))
    details = dict(attributes(info.get(2, b"")))
    return Link(index, _text(found.get(3)), _number(found.get(4)), _mac(found.get(1)), _text(info.get(1)), details)


def address(body: bytes) -> tuple[int, IPv4Interface]:
    """The number of an interface, and an address that it has; of a point-to-point one its own end's."""
    _, length, _, _, index = _ADDRESS.unpack_from(body)
    found = dict(attributes(body[_ADDRESS.size :]))
    return index, IPv4Interface((found.get(2) or found[1], length))


@dataclass(frozen=True)
class Route:
    """A route to a network: its gateway, the number of its interface, 0 for none or several; `kind` 1 is a unicast route."""

    network: IPv4Network
    via: IPv4Address | None
    link: int
    priority: int
    table: int
    kind: int
    flags: int


def route(body: bytes) -> Route:
    """A route."""
    _, length, _, _, table, _, _, kind, flags = _ROUTE.unpack_from(body)
    found = dict(attributes(body[_ROUTE.size :]))
    network, via = IPv4Network((found.get(1) or bytes(4), length)), found.get(5)
    gateway = IPv4Address(via) if via else None
    return Route(network, gateway, _number(found.get(4)), _number(found.get(6)), _number(found.get(15)) or table, kind, flags)


@dataclass(frozen=True)
class Neighbour:
    """A neighbour on the interface with the number `link`, or a forwarding entry, which need not have an address."""

    link: int
    state: int
    address: IPv4Address | None
    mac: str


def neighbour(body: bytes) -> Neighbour:
    """A neighbour or a forwarding entry; an IPv6 address counts as none."""
    _, _, _, index, state, _, _ = _NEIGHBOUR.unpack_from(body)
    found = dict(attributes(body[_NEIGHBOUR.size :]))
    there = found.get(1, b"")
    return Neighbour(index, state, IPv4Address(there) if len(there) == 4 else None, _mac(found.get(2)))


def _number(value: bytes | None) -> int:
    return int(_NUMBER.unpack(value)[0]) if value else 0


def _text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode("utf-8", "replace")


def _mac(value: bytes | None) -> str:
    return (value or b"").hex(":")
