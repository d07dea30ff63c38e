"""What a machine's kernel says of its interfaces, its neighbours and its routing, asked by rtnetlink: no process is started for it.

Numbers are those of linux/rtnetlink.h, if_link.h, if_addr.h and neighbour.h.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from lab.fabric.namespace import Namespace
from lab.observe.trace.nfnetlink import split
from lab.observe.trace.recording import Card, Question
from lab.observe.trace.rulelog import attributes

_ROUTE = 0
_GET_LINK, _GET_ADDRESS, _GET_ROUTE, _GET_NEIGHBOUR = 18, 22, 26, 30
_REQUEST, _DUMP = 1, 0x300
_DONE, _ERROR = 3, 2
_INCOMPLETE, _FAILED = 0x01, 0x20
_TYPES = {1: "", 2: "local ", 3: "broadcast ", 6: "blackhole ", 7: "unreachable ", 8: "prohibit "}


def cards(namespace: Namespace) -> tuple[Card, ...]:
    """A machine's interfaces."""
    links = {index: attributes_ for index, attributes_ in _links(namespace)}
    names = {index: _text(found.get(3, b"")) for index, found in links.items()}
    addresses: dict[int, list[str]] = {}
    for message in _asked(namespace, _GET_ADDRESS, _DUMP, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 0)):
        _, length, _, _, index = struct.unpack_from("=BBBBi", message, 16)
        found = dict(attributes(message[24:]))
        local = found.get(2) or found.get(1)
        if local:
            addresses.setdefault(index, []).append(f"{IPv4Address(local)}/{length}")
    return tuple(
        Card(names[index], tuple(addresses.get(index, ())), _number(found.get(4)), names.get(_number(found.get(10)), ""), _kind(found))
        for index, found in links.items()
    )


def unanswered(namespace: Namespace) -> tuple[str, ...]:
    """Neighbours that were asked for by ARP without an answer: `ADDRESS dev INTERFACE`."""
    with namespace.entered():
        names = dict(socket.if_nameindex())
    found = []
    for message in _asked(namespace, _GET_NEIGHBOUR, _DUMP, struct.pack("=BBHiHBB", socket.AF_INET, 0, 0, 0, 0, 0, 0)):
        _, _, _, index, state, _, _ = struct.unpack_from("=BBHiHBB", message, 16)
        address = dict(attributes(message[28:])).get(1)
        if address and state & (_INCOMPLETE | _FAILED):
            found.append(f"{IPv4Address(address)} dev {names.get(index, '')}")
    return tuple(found)


def route(namespace: Namespace, question: Question) -> str:
    """The machine's decision in the words of `ip route get`, or `error: ` and why there is none."""
    with namespace.entered():
        names = dict(socket.if_nameindex())
    indexes = {name: index for index, name in names.items()}
    length = 32 if question.source and question.interface else 0
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 32, length, 0, 0, 0, 0, 0, 0) + _attribute(1, IPv4Address(question.destination).packed)
    if length:
        body += _attribute(2, IPv4Address(question.source).packed) + _attribute(3, struct.pack("=i", indexes.get(question.interface, 0)))
    for message in _asked(namespace, _GET_ROUTE, 0, body):
        if _type(message) == _ERROR:
            return f"error: {os.strerror(-struct.unpack_from('=i', message, 16)[0])}"
        found = dict(attributes(message[28:]))
        via = f"via {IPv4Address(found[5])} " if 5 in found else ""
        return f"{_TYPES.get(message[23], '')}{question.destination} {via}dev {names.get(_number(found.get(4)), '')}"
    return "error: no answer"


def _links(namespace: Namespace) -> Iterator[tuple[int, dict[int, bytes]]]:
    for message in _asked(namespace, _GET_LINK, _DUMP, struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0)):
        yield struct.unpack_from("=i", message, 20)[0], dict(attributes(message[32:]))


def _kind(found: dict[int, bytes]) -> str:
    return _text(dict(attributes(found.get(18, b""))).get(1, b""))


def _asked(namespace: Namespace, kind: int, flags: int, body: bytes) -> list[bytes]:
    """The kernel's answers; what cannot be asked has none."""
    found: list[bytes] = []
    with namespace.entered():
        door = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _ROUTE)
    with door:
        door.settimeout(2.0)
        try:
            door.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, 1, 0) + body)
            while True:
                for message in split(door.recv(1 << 20)):
                    if _type(message) == _DONE or (_type(message) == _ERROR and flags):
                        return found
                    found.append(message)
                if not flags:
                    return found
        except OSError:
            return found


def _type(message: bytes) -> int:
    return int(struct.unpack_from("=H", message, 4)[0])


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value


def _number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", "little" if struct.pack("=H", 1)[0] else "big")


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")
