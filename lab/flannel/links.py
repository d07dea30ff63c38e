"""The machine's interfaces and routes, read and set through netlink. The one module of flannel that opens a netlink socket.

pyroute2 is imported at the call: it costs a third of a second, and the lab's warm parent has it already.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any


@dataclass(frozen=True)
class Link:
    """An interface: its number, MTU in bytes and IPv4 addresses in the kernel's order."""

    name: str
    index: int
    mtu: int
    addresses: tuple[IPv4Address, ...] = ()


def links() -> tuple[Link, ...]:
    """All interfaces of this network namespace, by number. Raises OSError."""
    with _netlink() as netlink:
        addresses: dict[int, list[IPv4Address]] = {}
        for message in netlink.get_addr(family=2):
            local = message.get("local") or message.get("address")
            addresses.setdefault(int(message["index"]), []).append(IPv4Address(local))
        found = [
            Link(message.get("ifname"), message["index"], message.get("mtu") or 0, tuple(addresses.get(message["index"], ())))
            for message in netlink.get_links()
        ]
    return tuple(sorted(found, key=lambda link: link.index))


def default_route_link() -> int | None:
    """The number of the interface that the IPv4 default route leaves by, None without such a route. Raises OSError."""
    with _netlink() as netlink:
        routes = [
            message for message in netlink.get_routes(family=2, table=254) if message["dst_len"] == 0 and message.get("oif")
        ]
    if not routes:
        return None
    return int(min(routes, key=lambda message: message.get("priority") or 0).get("oif"))


def set_up(name: str, address: IPv4Address, network: IPv4Network, mtu: int) -> None:
    """Give a device its address within `network`, its MTU and a route to the network, and switch it on.

    With the address 10.244.1.0/16 the kernel itself adds the route `10.244.0.0/16 ... scope link src 10.244.1.0`. As flannel does, the
    route is added by hand too, for the case that the kernel would not. Raises OSError.
    """
    from pyroute2.netlink.exceptions import NetlinkError

    with _netlink() as netlink:
        index = netlink.link_lookup(ifname=name)[0]
        netlink.addr("add", index=index, address=str(address), prefixlen=network.prefixlen)
        netlink.link("set", index=index, mtu=mtu, state="up")
        try:
            netlink.route("add", dst=str(network), oif=index)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise


def _netlink() -> Any:
    from pyroute2 import IPRoute

    return IPRoute()
