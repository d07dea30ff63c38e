"""Routes, neighbours and forwarding entries of this network namespace, read and set through netlink, for the kernel to forward by.

A neighbour says which MAC address stands for an IP address; a forwarding entry of a vxlan device (FDB) says which machine holds a MAC.
Every function raises OSError when the kernel refuses.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.fabric import rtnetdata, rtnetlink
from lab.flannel.links import MAIN, netlink

_ONLINK = 4
"""RTNH_F_ONLINK: take the gateway for a neighbour although no route leads to it."""

_ABSENT = (errno.ENOENT, errno.ESRCH)
"""How the kernel says that there is nothing to delete."""

_UNICAST = 1
"""RTN_UNICAST: no local address, no broadcast."""


@dataclass(frozen=True)
class Route:
    """A route of the main table: a subnet, the gateway (None: on the link itself), the number of the interface."""

    subnet: IPv4Network
    via: IPv4Address | None
    link: int
    onlink: bool = False


def routes() -> tuple[Route, ...]:
    """The unicast routes of the main table, without the default route."""
    found = map(rtnetdata.route, rtnetlink.dump(rtnetlink.get_routes()))
    mine = (one for one in found if one.table == MAIN and one.kind == _UNICAST and one.network.prefixlen and one.link)
    return tuple(Route(one.network, one.via, one.link, bool(one.flags & _ONLINK)) for one in mine)


def set_route(route: Route) -> None:
    """Add a route, in place of another to the same subnet."""
    _do(put_route(route))


def put_route(route: Route) -> bytes:
    """The request for a route, in place of another to the same subnet."""
    return rtnetlink.put_route(route.subnet, route.via, route.link, route.onlink)


def add_route(route: Route) -> bool:
    """Add a route, unless there is one to the same subnet: then nothing happens, and False comes back."""
    return _do(rtnetlink.put_route(route.subnet, route.via, route.link, route.onlink, replace=False), (errno.EEXIST,))


def delete_route(route: Route) -> None:
    """Take a route away; nothing happens when it is not there."""
    _do(rtnetlink.delete_route(route.subnet, route.via, route.link, route.onlink), _ABSENT)


def way_to(address: IPv4Address) -> tuple[int, IPv4Address | None]:
    """The interface by which packets to an address leave, and the gateway they go to, None for a neighbour's address."""
    with netlink() as socket:
        message = socket.route("get", dst=str(address))[0]
    via = message.get("gateway")
    return int(message.get("oif")), IPv4Address(via) if via else None


def neighbours(link: int) -> dict[IPv4Address, str]:
    """The permanent neighbours on an interface: IP address and MAC address."""
    found = _neighbours(rtnetlink.IPV4, link)
    return {one.address: one.mac for one in found if one.address is not None and one.state & rtnetlink.PERMANENT}


def set_neighbour(link: int, address: IPv4Address, mac: str, permanent: bool = True) -> None:
    """Add or change a neighbour; one that is not permanent ages as if the kernel had found it by ARP."""
    _do(rtnetlink.put_neighbour(link, address, mac, rtnetlink.PERMANENT if permanent else rtnetlink.REACHABLE))


def delete_neighbour(link: int, address: IPv4Address) -> None:
    """Take a neighbour away; nothing happens when it is not there."""
    _do(rtnetlink.delete_neighbour(link, address), _ABSENT)


def forwards(link: int) -> dict[str, IPv4Address]:
    """The forwarding entries of a vxlan device that lead to another machine: MAC address and that machine's address."""
    return {one.mac: one.address for one in _neighbours(rtnetlink.BRIDGE, link) if one.address is not None}


def _neighbours(family: int, link: int) -> list[rtnetdata.Neighbour]:
    found = map(rtnetdata.neighbour, rtnetlink.dump(rtnetlink.get_neighbours(family)))
    return [one for one in found if one.link == link]


def delete_forward(link: int, mac: str, machine: IPv4Address) -> None:
    """Take a forwarding entry away; nothing happens when it is not there."""
    _do(rtnetlink.delete_forward(link, mac, machine), _ABSENT)


@dataclass(frozen=True)
class Wish:
    """Something to be set in the kernel; `what`: what has failed when the kernel refuses."""

    what: str
    request: bytes


def set_all(log: Callable[[str], None], wishes: Sequence[Wish]) -> None:
    """Set all these at once, in their order; what the kernel refuses is logged, and the others are set nevertheless."""
    try:
        numbers = rtnetlink.transact([one.request for one in wishes])
    except OSError as error:
        log(f"{wishes[0].what}, and {len(wishes) - 1} more: {(error.strerror or str(error)).lower()}")
        return
    for one, number in zip(wishes, numbers, strict=True):
        if number:
            log(f"{one.what}: {os.strerror(number).lower()}")


def attempt(log: Callable[[str], None], what: str, change: Callable[..., None], *arguments: Any) -> bool:
    """Make a change; when the kernel refuses, log what failed and why, and return False."""
    try:
        change(*arguments)
    except OSError as error:
        log(f"{what}: {(error.strerror or str(error)).lower()}")
        return False
    return True


def _do(request: bytes, harmless: Collection[int] = ()) -> bool:
    """Have the kernel do it; False when it refused with one of the harmless numbers."""
    (number,) = rtnetlink.transact([request])
    if number and number not in harmless:
        raise rtnetlink.refused(number)
    return not number
