"""The vxlan device of a node, its VTEP (virtual tunnel end point): found or made, through netlink."""

from __future__ import annotations

import errno
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Interface

from lab.fabric import rtnetdata, rtnetlink

PORT = 8472
"""UDP port of Linux' vxlan driver, older than the 4789 that RFC 7348 assigns; flannel's Port 0 means this one."""

_VNI, _LINK, _LOCAL, _PORT, _GBP = 1, 3, 4, 15, 23
"""IFLA_VXLAN_…: the device's own attributes."""


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
    there = _named(wish.name)
    if there is not None:
        unfit = differences(wish, _found(there))
        if not unfit:
            return Device(there.index, there.mac)
        rtnetlink.carry_out([rtnetlink.delete_link(wish.name)])
    rtnetlink.carry_out([rtnetlink.add_vxlan(wish.name, mtu, wish.vni, wish.link, wish.address, wish.port, wish.gbp)])
    made = _named(wish.name)
    if made is None:
        raise rtnetlink.refused(errno.ENODEV)
    return Device(made.index, made.mac, unfit)


def _named(name: str) -> rtnetdata.Link | None:
    found = map(rtnetdata.link, rtnetlink.dump(rtnetlink.get_links()))
    return next((one for one in found if one.name == name), None)


def _found(link: rtnetdata.Link) -> Wish:
    if link.kind != "vxlan":
        return Wish(0, 0, IPv4Address(0), 0)
    local, port = link.details.get(_LOCAL, bytes(4)), link.details.get(_PORT, b"")
    return Wish(link.number(_VNI), link.number(_LINK), IPv4Address(local), int.from_bytes(port, "big"), _GBP in link.details)


def configure(index: int, address: IPv4Address, mtu: int) -> None:
    """Give the device its one address, a /32, and switch it on. Raises OSError."""
    own = IPv4Interface((address, 32))
    found = map(rtnetdata.address, rtnetlink.dump(rtnetlink.get_addresses()))
    there = {one for number, one in found if number == index}
    requests = [rtnetlink.delete_address(index, old) for old in there - {own}]
    requests += [] if own in there else [rtnetlink.add_address(index, own)]
    rtnetlink.carry_out([*requests, rtnetlink.bring_up(index, mtu)])
