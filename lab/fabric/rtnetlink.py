"""The few rtnetlink requests that a large lab makes by the ten thousand: written with struct, and many sent at once.

pyroute2 makes everything else. It needs 0.25 ms of computing for a request and as much for a socket; these need a hundredth of that. A
hundred nodes tell each other of their subnets with 30,000 requests, which would be a quarter of a minute otherwise.

The formats are those of rtnetlink(7), netlink(7) and the kernel's linux/rtnetlink.h and linux/neighbour.h: numbers in the machine's byte
order, addresses as on the wire, everything padded to four bytes. The functions are pure but for `transact`.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

IPV4, BRIDGE = 2, 7
"""Address families: AF_INET, and AF_BRIDGE for forwarding entries."""

PERMANENT, REACHABLE = 0x80, 0x02
"""States of a neighbour: until it is deleted, or ageing as if the kernel had found it."""

_NEWROUTE, _DELROUTE, _NEWNEIGH, _DELNEIGH = 24, 25, 28, 29
_ERROR = 2
_REQUEST, _ACK, _REPLACE, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_ADD, _PUT, _DELETE = _REQUEST | _ACK | _CREATE | _EXCLUSIVE, _REQUEST | _ACK | _CREATE | _REPLACE, _REQUEST | _ACK

_MAIN, _BOOT, _UNIVERSE, _LINK, _NOWHERE, _UNICAST = 254, 3, 0, 253, 255, 1
"""Of a route: the main table; its origin `boot`, as people's are; its scopes (far away, on the link, whatever it is); its type."""

_ONLINK = 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
_NTF_SELF = 0x02

_HEADER = struct.Struct("=IHHII")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BBHiHBB")
_ATTRIBUTE = struct.Struct("=HH")
_NUMBER = struct.Struct("=I")

_AT_ONCE = 64
"""Requests in one datagram: their answers must fit the socket's buffer, in which each is counted with almost a kilobyte."""

_TIMEOUT = 5.0
"""Seconds that the kernel may take for an answer; it has given it before `send` returns."""


def put_route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool = False, replace: bool = True) -> bytes:
    """The request for a route of the main table, in place of another to the subnet; with `replace` False it is refused when there is one.

    via      the gateway; None: the subnet is on the link
    onlink   take the gateway for a neighbour although no route leads to it
    """
    scope = _LINK if via is None else _UNIVERSE
    return _message(_NEWROUTE, _PUT if replace else _ADD, _route(subnet, via, link, onlink, _BOOT, scope, _UNICAST))


def delete_route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool = False) -> bytes:
    """The request to take such a route away."""
    return _message(_DELROUTE, _DELETE, _route(subnet, via, link, onlink, 0, _NOWHERE, 0))


def put_neighbour(link: int, address: IPv4Address, mac: str, state: int = PERMANENT) -> bytes:
    """The request for a neighbour on a link, in place of another of the address."""
    return _message(_NEWNEIGH, _PUT, _neighbour(IPV4, link, state, 0, (_NDA_DST, address.packed), (_NDA_LLADDR, _mac(mac))))


def delete_neighbour(link: int, address: IPv4Address) -> bytes:
    """The request to take it away."""
    return _message(_DELNEIGH, _DELETE, _neighbour(IPV4, link, 0, 0, (_NDA_DST, address.packed)))


def put_forward(link: int, mac: str, machine: IPv4Address) -> bytes:
    """The request that a vxlan device send frames for a MAC address to a machine."""
    attributes = ((_NDA_DST, machine.packed), (_NDA_LLADDR, _mac(mac)))
    return _message(_NEWNEIGH, _PUT, _neighbour(BRIDGE, link, PERMANENT, _NTF_SELF, *attributes))


def delete_forward(link: int, mac: str, machine: IPv4Address) -> bytes:
    """The request to take that away."""
    attributes = ((_NDA_DST, machine.packed), (_NDA_LLADDR, _mac(mac)))
    return _message(_DELNEIGH, _DELETE, _neighbour(BRIDGE, link, 0, _NTF_SELF, *attributes))


def transact(requests: Sequence[bytes]) -> list[int]:
    """Have the kernel do all these in their order, in the calling thread's network namespace, each whatever becomes of the others.

    Returns an errno for each, 0 where it was done. Raises OSError when the kernel does not answer.
    """
    results: list[int] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as channel:
        channel.bind((0, 0))
        channel.settimeout(_TIMEOUT)
        for first in range(0, len(requests), _AT_ONCE):
            some = requests[first : first + _AT_ONCE]
            channel.send(b"".join(_numbered(one, number) for number, one in enumerate(some)))
            results += _answers(channel, len(some))
    return results


def refused(number: int) -> OSError:
    """The exception for an errno."""
    return OSError(number, os.strerror(number))


def _answers(channel: socket.socket, count: int) -> list[int]:
    found: dict[int, int] = {}
    while len(found) < count:
        data = channel.recv(1 << 16)
        while data:
            length, kind, _, number, _ = _HEADER.unpack_from(data)
            if kind == _ERROR:
                found[number] = -struct.unpack_from("=i", data, _HEADER.size)[0]
            data = data[_padded(length) :]
    return [found[number] for number in range(count)]


def _route(subnet: IPv4Network, via: IPv4Address | None, link: int, onlink: bool, origin: int, scope: int, kind: int) -> bytes:
    head = _ROUTE.pack(IPV4, subnet.prefixlen, 0, 0, _MAIN, origin, scope, kind, _ONLINK if onlink else 0)
    gateway = _attribute(_RTA_GATEWAY, via.packed) if via is not None else b""
    return head + _attribute(_RTA_DST, subnet.network_address.packed) + gateway + _attribute(_RTA_OIF, _NUMBER.pack(link))


def _neighbour(family: int, link: int, state: int, flags: int, *attributes: tuple[int, bytes]) -> bytes:
    return _NEIGHBOUR.pack(family, 0, 0, link, state, flags, 0) + b"".join(_attribute(*one) for one in attributes)


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def _attribute(kind: int, value: bytes) -> bytes:
    data = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return data.ljust(_padded(len(data)), b"\0")


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 0, 0) + body


def _numbered(message: bytes, number: int) -> bytes:
    """With its sequence number, by which the kernel's answer is found."""
    return message[:8] + _NUMBER.pack(number) + message[12:]


def _padded(length: int) -> int:
    return (length + 3) & ~3
