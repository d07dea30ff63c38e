"""Routes, neighbours and forwarding entries of this network namespace, read and set through netlink, for the kernel to forward by.

A neighbour says which MAC address stands for an IP address; a forwarding entry of a vxlan device (FDB) says which machine holds a MAC.
Every function raises OSError when the kernel refuses.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.flannel.links import netlink

_ONLINK = 4
"""RTNH_F_ONLINK: take the gateway for a neighbour although no route leads to it."""

_REACHABLE, _PERMANENT = 0x02, 0x80
_SELF = 0x02
"""NTF_SELF: the entry is the device's own, not that of a bridge above it."""

_IPV4, _BRIDGE = 2, 7
_MAIN = 254


@dataclass(frozen=True)
class Route:
    """A route of the main table: a subnet, the gateway (None: on the link itself), the number of the interface."""

    subnet: IPv4Network
    via: IPv4Address | None
    link: int
    onlink: bool = False


def routes() -> tuple[Route, ...]:
    """The unicast routes of the main table, without the default route."""
    with netlink() as socket:
        found = []
        for message in socket.get_routes(family=_IPV4, table=_MAIN, type=1):
            subnet = IPv4Network((message.get("dst") or "0.0.0.0", message["dst_len"]))
            via = message.get("gateway")
            if subnet.prefixlen and message.get("oif"):
                onlink = bool(message["flags"] & _ONLINK)
                found.append(Route(subnet, IPv4Address(via) if via else None, int(message.get("oif")), onlink))
    return tuple(found)


def set_route(route: Route) -> None:
    """Add a route, in place of another to the same subnet."""
    with netlink() as socket:
        socket.route("replace", **_request(route))


def delete_route(route: Route) -> None:
    """Take a route away; nothing happens when it is not there."""
    _unless_absent(lambda socket: socket.route("del", **_request(route)))


def _request(route: Route) -> dict[str, Any]:
    request: dict[str, Any] = {"dst": str(route.subnet), "oif": route.link, "proto": "boot"}  # as flannel's Go library marks its routes
    if route.via is not None:
        request["gateway"] = str(route.via)
    if route.onlink:
        request["flags"] = _ONLINK
    return request


def way_to(address: IPv4Address) -> tuple[int, IPv4Address | None]:
    """The interface by which packets to an address leave, and the gateway they go to, None for a neighbour's address."""
    with netlink() as socket:
        message = socket.route("get", dst=str(address))[0]
    via = message.get("gateway")
    return int(message.get("oif")), IPv4Address(via) if via else None


def neighbours(link: int) -> dict[IPv4Address, str]:
    """The permanent neighbours on an interface: IP address and MAC address."""
    with netlink() as socket:
        messages = tuple(socket.get_neighbours(family=_IPV4, ifindex=link))
    return {IPv4Address(one.get("dst")): str(one.get("lladdr")) for one in messages if one["state"] & _PERMANENT}


def set_neighbour(link: int, address: IPv4Address, mac: str, permanent: bool = True) -> None:
    """Add or change a neighbour; one that is not permanent ages as if the kernel had found it by ARP."""
    with netlink() as socket:
        state = _PERMANENT if permanent else _REACHABLE
        socket.neigh("replace", family=_IPV4, ifindex=link, dst=str(address), lladdr=mac, state=state)


def delete_neighbour(link: int, address: IPv4Address) -> None:
    """Take a neighbour away; nothing happens when it is not there."""
    _unless_absent(lambda socket: socket.neigh("del", family=_IPV4, ifindex=link, dst=str(address)))


def forwards(link: int) -> dict[str, IPv4Address]:
    """The forwarding entries of a vxlan device that lead to another machine: MAC address and that machine's address."""
    with netlink() as socket:
        messages = tuple(socket.get_neighbours(family=_BRIDGE, ifindex=link))
    return {str(one.get("lladdr")): IPv4Address(one.get("dst")) for one in messages if one.get("dst")}


def set_forward(link: int, mac: str, machine: IPv4Address) -> None:
    """Let a vxlan device send frames for a MAC address to a machine."""
    with netlink() as socket:
        socket.fdb("replace", ifindex=link, lladdr=mac, dst=str(machine), state=_PERMANENT, flags=_SELF)


def delete_forward(link: int, mac: str, machine: IPv4Address) -> None:
    """Take a forwarding entry away; nothing happens when it is not there."""
    _unless_absent(lambda socket: socket.fdb("del", ifindex=link, lladdr=mac, dst=str(machine)))


def attempt(log: Callable[[str], None], what: str, change: Callable[..., None], *arguments: Any) -> bool:
    """Make a change; when the kernel refuses, log what failed and why, and return False."""
    try:
        change(*arguments)
    except OSError as error:
        log(f"{what}: {(error.strerror or str(error)).lower()}")
        return False
    return True


def _unless_absent(request: Callable[[Any], object]) -> None:
    try:
        with netlink() as socket:
            request(socket)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ESRCH):
            raise
