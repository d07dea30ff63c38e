"""Which interface carries the traffic between nodes: flannel's --iface, --iface-regex and --public-ip. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from lab.errors import LabError
from lab.flannel.links import Link

Log = Callable[[str], None]


class NoInterface(LabError):
    """No interface fits what was asked for."""


@dataclass(frozen=True)
class External:
    """The interface between nodes: its name and MTU, the address flanneld binds to, and the one that other nodes send to."""

    name: str
    mtu: int
    address: IPv4Address
    public_ip: IPv4Address


def choose(
    links: Sequence[Link],
    default: int | None,
    wanted: Sequence[str],
    patterns: Sequence[str],
    public_ip: IPv4Address | None,
    log: Log,
) -> External:
    """Find the interface as flannel v0.8 does: the first of `wanted` (names or addresses), else of `patterns`, else the default route's.

    links     all interfaces, by number
    default   number of the default route's interface, None without default route
    log       takes flannel's own lines about the search
    Raises NoInterface.
    """
    if not wanted and not patterns:
        log("Determining IP address of default interface")
        try:
            link, address = _default(links, default)
        except NoInterface as error:
            raise NoInterface(f"Failed to find any valid interface to use: {error}") from error
        return _external(link, address, public_ip, log)
    for number, text in enumerate((*wanted, *patterns)):
        try:
            link, address = _named(links, text, log) if number < len(wanted) else _matching(links, text)
        except NoInterface as error:
            log(f"Could not find valid interface matching {text}: {error}")
            continue
        return _external(link, address, public_ip, log)
    known = ", ".join(f"{link.name} ({', '.join(map(str, link.addresses)) or 'no IPv4 address'})" for link in links)
    raise NoInterface(
        f"Failed to find interface to use that matches the interfaces and/or regexes provided; this machine has {known or 'none'}"
    )


def _external(link: Link, address: IPv4Address, public_ip: IPv4Address | None, log: Log) -> External:
    log(f"Using interface with name {link.name} and address {address}")
    if public_ip is not None:
        log(f"Using {public_ip} as external address")
        return External(link.name, link.mtu, address, public_ip)
    log(f"Defaulting external address to interface address ({address})")
    return External(link.name, link.mtu, address, address)


def _default(links: Sequence[Link], default: int | None) -> tuple[Link, IPv4Address]:
    for link in links:
        if link.index == default:
            return link, _first_address(link)
    raise NoInterface("failed to get default interface: Unable to find default route; add one or name the interface with --iface")


def _named(links: Sequence[Link], wanted: str, log: Log) -> tuple[Link, IPv4Address]:
    try:
        address = IPv4Address(wanted)
    except AddressValueError:
        for link in links:
            if link.name == wanted:
                return link, _first_address(link)
        raise NoInterface(f"error looking up interface {wanted}: no such network interface") from None
    log(f"Searching for interface using {address}")
    for link in links:
        if address in link.addresses:
            return link, address
    raise NoInterface(f"error looking up interface {wanted}: No interface with given IP found")


def _matching(links: Sequence[Link], pattern: str) -> tuple[Link, IPv4Address]:
    for link in links:
        if link.addresses and re.search(pattern, str(link.addresses[0])):
            return link, link.addresses[0]
    for link in links:
        if re.search(pattern, link.name):
            return link, _first_address(link)
    raise NoInterface(f"Could not match pattern {pattern} to any of the available network interfaces")


def _first_address(link: Link) -> IPv4Address:
    if not link.addresses:
        raise NoInterface(f"failed to find IPv4 address for interface {link.name}")
    return link.addresses[0]
