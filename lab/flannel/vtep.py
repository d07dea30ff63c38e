"""The vxlan device of a node, its VTEP (virtual tunnel end point): found or made, through netlink."""

from __future__ import annotations

from dataclasses import dataclass, fields
from ipaddress import IPv4Address
from typing import Any

from lab.flannel.links import netlink

PORT = 8472
"""UDP port of Linux' vxlan driver, older than the 4789 that RFC 7348 assigns; flannel's Port 0 means this one."""

_DETAILS = {"vni": "VXLAN_ID", "link": "VXLAN_LINK", "address": "VXLAN_LOCAL", "port": "VXLAN_PORT", "gbp": "VXLAN_GBP"}


@dataclass(frozen=True)
class Wish:
    """What flannel wants of its device.

    vni       network identifier; the device is called flannel.<VNI>
    link      number of the interface between the nodes
    address   the node's own, source of what is wrapped
    port      UDP port
    gbp       group based policy extension
    """

    vni: int
    link: int
    address: IPv4Address
    port: int
    gbp: bool = False

    @property
    def name(self) -> str:
        """The device's name."""
        return f"flannel.{self.vni}"


def differences(wish: Wish, found: Wish) -> str:
    """What is not as wished for, as `vni: 1 vs 2`, separated by commas; empty when the device can be used. Pure."""
    names = [field.name for field in fields(Wish)]
    pairs = [(name, getattr(wish, name), getattr(found, name)) for name in names]
    return ", ".join(f"{name}: {wanted} vs {there}" for name, wanted, there in pairs if wanted != there)


@dataclass(frozen=True)
class Device:
    """The device: its number and MAC address, and why one that was there before could not be used (empty if it could)."""

    index: int
    mac: str
    unfit: str = ""


def ensure(wish: Wish, mtu: int) -> Device:
    """Find the device, or make it; one of the same name that differs is deleted first, as flannel does. Raises OSError.

    The kernel gives a new device a random MAC. It learns nothing by itself: flannel fills its tables.
    """
    unfit = ""
    with netlink() as socket:
        for index in socket.link_lookup(ifname=wish.name):
            (link,) = socket.get_links(index)
            unfit = differences(wish, _found(link))
            if not unfit:
                return Device(index, str(link.get("address")))
            socket.link("del", index=index)
        details: dict[str, Any] = {"vxlan_gbp": True} if wish.gbp else {}
        socket.link(
            "add",
            ifname=wish.name,
            kind="vxlan",
            mtu=mtu,
            vxlan_id=wish.vni,
            vxlan_link=wish.link,
            vxlan_local=str(wish.address),
            vxlan_port=wish.port,
            vxlan_learning=False,
            **details,
        )
        index = socket.link_lookup(ifname=wish.name)[0]
        (link,) = socket.get_links(index)
        return Device(index, str(link.get("address")), unfit)


def _found(link: Any) -> Wish:
    info = link.get("linkinfo")
    data = info.get("data") if info is not None and info.get("kind") == "vxlan" else None
    if data is None:
        return Wish(0, 0, IPv4Address(0), 0)
    vni, lower, address, port, gbp = (data.get(name) for name in _DETAILS.values())
    return Wish(vni or 0, lower or 0, IPv4Address(address or 0), port or 0, bool(gbp))


def configure(index: int, address: IPv4Address, mtu: int) -> None:
    """Give the device its one address, a /32, and switch it on. Raises OSError."""
    with netlink() as socket:
        there = {(one.get("local") or one.get("address"), one["prefixlen"]) for one in socket.get_addr(family=2, index=index)}
        for old, length in there - {(str(address), 32)}:
            socket.addr("del", index=index, address=old, prefixlen=length)
        if (str(address), 32) not in there:
            socket.addr("add", index=index, address=str(address), prefixlen=32)
        socket.link("set", index=index, mtu=mtu, state="up")
