"""The machine's interfaces, read and set through netlink. The one module of flannel that opens pyroute2's socket, for what is rare.

pyroute2 is imported at the call: 17 MiB that most flannelds never need.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from socket import if_nametoindex
from typing import Any

from lab.fabric import rtnetdata, rtnetlink
from lab.fabric.netlink import refusals

MAIN = 254
"""The main table of routes."""

_NOWHERE = rtnetdata.Route(IPv4Network("0.0.0.0/0"), None, 0, 0, MAIN, 1, 0)


@dataclass(frozen=True)
class Link:
    """An interface: its number, MTU in bytes and IPv4 addresses in the kernel's order."""

    name: str
    index: int
    mtu: int
    addresses: tuple[IPv4Address, ...] = ()


def links() -> tuple[Link, ...]:
    """All interfaces of this network namespace, by number. Raises OSError."""
    addresses: dict[int, list[IPv4Address]] = {}
    for index, address in map(rtnetdata.address, rtnetlink.dump(rtnetlink.get_addresses())):
        addresses.setdefault(index, []).append(address.ip)
    found = map(rtnetdata.link, rtnetlink.dump(rtnetlink.get_links()))
    return tuple(sorted((Link(one.name, one.index, one.mtu, tuple(addresses.get(one.index, ()))) for one in found), key=lambda link: link.index))


def default_route_link() -> int | None:
    """The number of the interface that the IPv4 default route leaves by, None without such a route. Raises OSError."""
    routes = [one for one in map(rtnetdata.route, rtnetlink.dump(rtnetlink.get_routes())) if one.table == MAIN and one.link]
    return min((one for one in routes if not one.network.prefixlen), key=lambda one: one.priority, default=_NOWHERE).link or None


def set_up(name: str, address: IPv4Address, network: IPv4Network, mtu: int) -> None:
    """Give a device its address within `network`, its MTU and a route to the network, and switch it on.

    With the address 10.244.1.0/16 the kernel itself adds the route `10.244.0.0/16 ... scope link src 10.244.1.0`. As flannel does, the
    route is added by hand too, for the case that the kernel would not. Raises OSError.
    """
    index = index_of(name)
    own = rtnetlink.add_address(index, IPv4Interface((address, network.prefixlen)), broadcast=False)
    rtnetlink.carry_out([own, rtnetlink.bring_up(index, mtu)])
    try:
        rtnetlink.carry_out([rtnetlink.put_route(network, None, index, replace=False)])
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise


def index_of(name: str) -> int:
    """The number of an interface. Raises OSError when there is none of that name."""
    return if_nametoindex(name)


@contextmanager
def netlink() -> Iterator[Any]:
    """A netlink socket of pyroute2 for the block, whose refusals come out as OSError."""
    from pyroute2 import IPRoute

    with IPRoute() as socket, refusals():
        yield socket
