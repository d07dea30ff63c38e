"""The kernel's questions for neighbours that it does not know, as flannel 0.7 answered them.

With `app_solicit` set, the kernel asks user space for a neighbour's MAC address before it asks the wire: it sends RTM_GETNEIGH to the
netlink group of neighbours (Documentation/networking/ip-sysctl.rst, app_solicit; rtnetlink(7)).
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from lab.fabric import rtnetdata

_NEIGHBOURS_GROUP = 4
"""RTMGRP_NEIGH."""

_NEWNEIGH, _GETNEIGH = 28, 30
_UNKNOWN_STATES = 0x01 | 0x04 | 0x08 | 0x10
"""NUD_INCOMPLETE, STALE, DELAY and PROBE: what flannel takes for a question."""

_DESTINATION, _MAC = 1, 2
"""NDA_DST and NDA_LLADDR."""

_HEADER, _NEIGHBOUR = struct.Struct("=IHHII"), struct.Struct("=BxxxiHBB")


@dataclass(frozen=True)
class Miss:
    """The kernel looks for the MAC address of `address` on the interface with the number `link`."""

    link: int
    address: IPv4Address


def parse(data: bytes) -> tuple[Miss, ...]:
    """The questions in one netlink datagram, in order. Whatever is none, or is cut off, is skipped. Pure."""
    return tuple(miss for kind, body in _messages(data) if (miss := _miss(kind, body)) is not None)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, *_ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[_aligned(length) :]


def _miss(kind: int, body: bytes) -> Miss | None:
    if kind not in (_NEWNEIGH, _GETNEIGH) or len(body) < _NEIGHBOUR.size:
        return None
    family, link, state, *_ = _NEIGHBOUR.unpack_from(body)
    attributes = dict(rtnetdata.attributes(body[_NEIGHBOUR.size :]))
    address = attributes.get(_DESTINATION, b"")
    if family != socket.AF_INET or not state & _UNKNOWN_STATES or len(address) != 4:
        return None
    if kind == _NEWNEIGH and attributes.get(_MAC):
        return None
    return Miss(link, IPv4Address(address))


def _aligned(length: int) -> int:
    return length + 3 & ~3


def ask_user_space(name: str, times: int = 3) -> None:
    """Let the kernel ask for the neighbours of an interface `times` times before it gives up. Raises OSError."""
    (Path("/proc/sys/net/ipv4/neigh") / name / "app_solicit").write_text(str(times), encoding="ascii")


def listen(stop: int) -> Iterator[Miss]:
    """The kernel's questions as they come, until the descriptor `stop` becomes readable."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as source:
        source.bind((0, _NEIGHBOURS_GROUP))
        while True:
            ready, _, _ = select.select([source.fileno(), stop], [], [])
            if stop in ready:
                return
            try:
                yield from parse(source.recv(65536))
            except OSError:  # the kernel had more to say than the socket holds (ENOBUFS); it asks again
                continue
