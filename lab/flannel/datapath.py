"""The data path of the udp backend: packets from the TUN device into UDP datagrams to other nodes, and back.

`DataPath` is what the backend needs of one. `PlainDataPath` is the readable one: a loop of poll, read and sendto, one packet at a time.
The other one is in lab.flannel.fastpath. What both drop without an answer (a TTL of 0 or 1, and what is no packet), flannel drops too.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections import Counter
from ipaddress import IPv4Network
from typing import Protocol

from lab.flannel import packet
from lab.flannel.routes import Peer, Routes

_BURST = 64
"""Packets each way before the loop looks at the stop descriptor again."""

_LARGEST = 65536
DEVICE_GONE = frozenset({errno.EBADF, errno.EBADFD, errno.ENODEV, errno.ENXIO})


class Traffic:
    """Counts of what a data path did: packets each way, answers, drops by reason, and what was let through but is odd.

    Odd is a datagram from an address that holds no lease, and an inner packet whose source is outside the pod network. flannel's C code
    lets both pass, and so do we: a lease may be a moment younger than the node's first packet, a node may send from another address than
    the public one that its lease names, and without masquerading a client from outside keeps its address through a node port. The
    tunnel has no password either way: whoever can send to the port can also forge both addresses.
    """

    def __init__(self) -> None:
        self.to_udp = 0
        self.to_tun = 0
        self.unreachable = 0
        self.dropped: Counter[str] = Counter()
        self.odd: Counter[str] = Counter()

    def __str__(self) -> str:
        drops, odd = _listed(self.dropped), _listed(self.odd)
        moved = f"tun->udp={self.to_udp} udp->tun={self.to_tun} unreachable={self.unreachable}"
        return f"{moved} dropped: {drops or 'none'}" + (f" odd: {odd}" if odd else "")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{reason}={count}" for reason, count in sorted(counts.items()))


class Sources:
    """Looks where datagrams and the packets in them come from, and counts what is odd."""

    def __init__(self, routes: Routes, network: IPv4Network, odd: Counter[str]) -> None:
        self._routes = routes
        self._odd = odd
        self._network, self._mask = int(network.network_address), int(network.netmask)
        self._version = -1
        self._peers: frozenset[Peer] = frozenset()

    def look(self, inner: memoryview, sender: object, count: int = 1) -> None:
        """At `count` packets of one source, from one sender as recvfrom tells it; only the bytes from 12 to 16 of `inner` are looked at."""
        if self._version != self._routes.version:
            self._version = self._routes.version
            self._peers = self._routes.peers()
        if sender not in self._peers:
            self._odd["from an address without lease"] += count
        if int.from_bytes(inner[12:16], "big") & self._mask != self._network:
            self._odd["source outside the pod network"] += count


class DataPath(Protocol):
    """Moves packets until told to stop. Descriptors and routes are handed to its constructor and stay the caller's."""

    traffic: Traffic

    def run(self, stop: int) -> None:
        """Work until the descriptor `stop` becomes readable. Raises OSError when the TUN device is gone; nothing else ends it."""


class PlainDataPath:
    """One packet at a time, as flannel's C code does it.

    tun           descriptor of the TUN device, non-blocking, without packet information
    udp           the socket that datagrams leave and arrive by, non-blocking
    routes        who holds which subnet; may change at any time
    tun_address   source of ICMP answers, as a number
    network       the pods' network
    """

    def __init__(self, tun: int, udp: socket.socket, routes: Routes, tun_address: int, network: IPv4Network) -> None:
        self.traffic = Traffic()
        self._sources = Sources(routes, network, self.traffic.odd)
        self._tun = tun
        self._udp = udp
        self._routes = routes
        self._tun_address = tun_address
        self._buffer = bytearray(_LARGEST)
        self._view = memoryview(self._buffer)

    def run(self, stop: int) -> None:
        """See DataPath."""
        poll = select.poll()
        poll.register(self._tun, select.POLLIN)
        poll.register(self._udp, select.POLLIN)
        poll.register(stop, select.POLLIN)
        while True:
            if any(fd == stop for fd, _ in poll.poll()):
                return
            for _ in range(_BURST):
                outward = self._tun_to_udp()
                inward = self._udp_to_tun()
                if not outward and not inward:
                    break

    def _tun_to_udp(self) -> bool:
        """Move one packet; False when there was none."""
        try:
            size = os.readv(self._tun, [self._buffer])
        except BlockingIOError:
            return False
        except OSError as error:
            return self._tun_trouble(error, "tun read failed")
        inner = self._view[:size]
        reason = packet.fault(inner)
        if reason:
            # The kernel also sends IPv6 router solicitations out of a new device.
            self.traffic.dropped[f"from tun: {reason}"] += 1
            return True
        peer = self._routes.lookup(packet.destination(inner))
        if peer is None:
            self._refuse(inner)
        elif not packet.decrement_ttl(inner):
            self.traffic.dropped["from tun: TTL expired"] += 1
        else:
            self._send(inner, peer)
        return True

    def _send(self, inner: memoryview, peer: tuple[str, int]) -> None:
        try:
            self._udp.sendto(inner, peer)
        except OSError as error:
            self.traffic.dropped[f"udp send: {errno.errorcode.get(error.errno or 0, 'error')}"] += 1
        else:
            self.traffic.to_udp += 1

    def _refuse(self, inner: memoryview) -> None:
        self.traffic.dropped["from tun: no route"] += 1
        answer = packet.net_unreachable(inner, self._tun_address)
        if answer is not None and self._write(answer):
            self.traffic.unreachable += 1

    def _udp_to_tun(self) -> bool:
        """Move one datagram; False when there was none."""
        try:
            size, sender = self._udp.recvfrom_into(self._buffer)
        except BlockingIOError:
            return False
        except OSError as error:
            self.traffic.dropped[f"udp receive: {errno.errorcode.get(error.errno or 0, 'error')}"] += 1
            return False
        inner = self._view[:size]
        reason = packet.fault(inner)
        if reason:
            self.traffic.dropped[f"from udp: {reason}"] += 1
        elif not packet.decrement_ttl(inner):
            self.traffic.dropped["from udp: TTL expired"] += 1
        elif self._write(inner):
            self.traffic.to_tun += 1
            self._sources.look(inner, sender)
        return True

    def _write(self, inner: bytes | memoryview) -> bool:
        try:
            os.write(self._tun, inner)
        except OSError as error:
            self._tun_trouble(error, "tun write failed")
            return False
        return True

    def _tun_trouble(self, error: OSError, reason: str) -> bool:
        """Count it and go on, unless the device is gone: then polling it would spin for ever."""
        if error.errno in DEVICE_GONE:
            raise error
        self.traffic.dropped[f"{reason}: {errno.errorcode.get(error.errno or 0, 'error')}"] += 1
        return False
