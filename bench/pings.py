"""Whether pods reach each other: one ICMP echo request for each pair, many on their way at once.

A raw socket belongs to the network namespace that it was opened in, so one process speaks for every pod.

Not all at once: Linux has one table of neighbours for all namespaces, with room for 1024 that it has found by ARP
(net.ipv4.neigh.default.gc_thresh3), and lets go of one only after five seconds. A pair needs six: a pod and its node know each other, twice,
and so do the two nodes. What finds no room is lost like any packet, and sent again.
"""

from __future__ import annotations

import contextlib
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Collection, Iterable, Iterator

from lab.fabric.namespace import Namespace

Pair = tuple[str, str]
"""Two addresses: from where, to where."""

AT_ONCE = 20
"""Pairs that are asked at the same time."""

AGAIN, PATIENCE = 1.0, 180.0
"""Seconds until a request without an answer is repeated, and until all are given up."""

_REQUEST, _REPLY = 8, 0


def request(number: int) -> bytes:
    """An ICMP echo request with this number as its sequence number. Pure."""
    body = struct.pack("!BBHHH", _REQUEST, 0, 0, 0, number)
    return body[:2] + struct.pack("!H", _checksum(body)) + body[4:]


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def reply(datagram: bytes) -> tuple[str, int] | None:
    """Who answers, and which request; None for what is no echo reply. Pure."""
    length = (datagram[0] & 0xF) * 4
    kind, _, _, _, number = struct.unpack_from("!BBHHH", datagram, length)
    return (socket.inet_ntoa(datagram[12:16]), number) if kind == _REPLY else None


def silent(pods: dict[str, Namespace], pairs: Iterable[Pair]) -> list[Pair]:
    """The pairs between which no answer came. pods: the namespaces by address."""
    waiting = dict(enumerate(pairs))
    with contextlib.ExitStack() as held, selectors.DefaultSelector() as selector:
        sockets = {address: held.enter_context(_socket(pods[address])) for address in {one for one, _ in waiting.values()}}
        for one in sockets.values():
            selector.register(one, selectors.EVENT_READ)
        end = time.monotonic() + PATIENCE
        asked: set[int] = set()
        while waiting and time.monotonic() < end:
            for number, (source, target) in itertools.islice(waiting.items(), AT_ONCE):
                with contextlib.suppress(OSError):  # no room for the neighbour
                    sockets[source].sendto(request(number), (target, 0))
                    asked.add(number)
            for answer in _answers(selector, min(end, time.monotonic() + AGAIN), asked):
                if answer[1] in asked and waiting[answer[1]][1] == answer[0]:
                    asked.discard(answer[1])
                    del waiting[answer[1]]
    return list(waiting.values())


def _socket(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    made.setblocking(False)
    return made


def _answers(selector: selectors.BaseSelector, until: float, waiting: Collection[int]) -> Iterator[tuple[str, int]]:
    while waiting and (left := until - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            with contextlib.suppress(BlockingIOError):
                found = reply(key.fileobj.recv(2048))  # type: ignore[union-attr]
                if found is not None:
                    yield found
