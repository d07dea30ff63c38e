"""The fast data path of the udp backend: the same wire format as the plain one, with many packets in one system call.

    out    a TUN device with a vnet header gives up to 64 KiB of one TCP flow in one read. They are cut into packets (lab.flannel.segment)
           and all sent with one sendmsg: UDP_SEGMENT makes the kernel cut the datagrams. Short packets of one size to one peer share a
           sendmsg too.
    in     UDP_GRO gives many datagrams with one recvmsg. Runs of one TCP flow are joined (lab.flannel.coalesce) and written as one packet.

Nothing waits for more to come: what is there is taken together, and an empty queue ends the batch. Packets leave in the order in which
they came.
"""

from __future__ import annotations

import errno
import importlib.util
import os
import select
import socket
import struct
import sys
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from lab.flannel import packet, vnet
from lab.flannel.datapath import DEVICE_GONE, Sources, Traffic
from lab.flannel.routes import Peer, Routes
from lab.flannel.tun import IFF_NO_PI, IFF_TUN, IFF_VNET_HDR, OFFLOAD_CSUM, OFFLOAD_TSO4, open_tun

if TYPE_CHECKING:
    from lab.flannel.coalesce import Coalescer
    from lab.flannel.segment import Segmenter

UDP_SEGMENT = 103
UDP_GRO = 104
"""Socket options of SOL_UDP, linux/udp.h; Python has no names for them."""

_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33
"""asm-generic/socket.h."""

_BURST = 64
"""Reads each way before the other way has its turn."""

_MAX_SEGMENTS = 64
_MAX_PAYLOAD = 65507
"""What one sendmsg with UDP_SEGMENT may carry: datagrams (UDP_MAX_SEGMENTS of the kernels before 6.9), and bytes."""

_LARGEST = 65536
_FULL = 60000
"""Bytes of a region from which on nothing is added: a super-packet holds 64 KiB."""

_FEWEST = 6
"""Datagrams from which on joining costs less than writing them one by one."""

_MAX_CACHED = 4096
_UNCUTTABLE = frozenset({errno.EIO, errno.EINVAL, errno.EMSGSIZE})
"""What sendmsg answers when UDP_SEGMENT does not work towards a peer: no checksum offload, IPsec, or a path with a smaller MTU."""

_CONTROL = socket.CMSG_SPACE(4)


_BUFFER = 4 << 20
"""Bytes that the socket may hold each way: with Linux's default three long datagrams fill it."""


def prepare(pattern: str, udp: socket.socket) -> tuple[int, str]:
    """Open the TUN device and set up the socket for the fast data path; returns what open_tun returns.

    Raises OSError when the kernel lacks a part of it, or numpy is missing; then the socket is as before and no device is left.
    Raises MachineError when there can be no TUN device at all.
    """
    if importlib.util.find_spec("numpy") is None:
        raise OSError(errno.ENOPKG, "the Python package numpy is missing")
    udp.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
    udp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    try:
        made = open_tun(pattern, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR, OFFLOAD_CSUM | OFFLOAD_TSO4)
    except BaseException:
        udp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)
        raise
    for forced, usual in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            udp.setsockopt(socket.SOL_SOCKET, forced, _BUFFER)
        except PermissionError:
            udp.setsockopt(socket.SOL_SOCKET, usual, _BUFFER)
    return made


class FastDataPath:
    """See lab.flannel.datapath.PlainDataPath for the parameters; here `tun` has vnet headers, and `udp` the option UDP_GRO."""

    def __init__(self, tun: int, udp: socket.socket, routes: Routes, tun_address: int, network: IPv4Network) -> None:
        self.traffic = Traffic()
        self._tun = tun
        self._udp = udp
        device = _Device(tun, self.traffic)
        self._outward = _Outward(device, udp, routes, tun_address)
        self._inward = _Inward(device, udp, Sources(routes, network, self.traffic.odd))

    def run(self, stop: int) -> None:
        """See DataPath."""
        poll = select.poll()
        for descriptor in (self._tun, self._udp.fileno(), stop):
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == stop:
                    return
                if descriptor == self._tun:
                    self._outward.burst()
                else:
                    self._inward.burst()


class _Device:
    """The TUN device and the counters."""

    def __init__(self, tun: int, traffic: Traffic) -> None:
        self.tun = tun
        self.traffic = traffic

    def write(self, raw: bytes | memoryview) -> bool:
        """Write a packet with its vnet header."""
        try:
            os.write(self.tun, raw)
        except OSError as error:
            self.trouble(error, "tun write failed")
            return False
        return True

    def trouble(self, error: OSError, reason: str) -> None:
        """Count it and go on, unless the device is gone: then polling it would spin for ever."""
        if error.errno in DEVICE_GONE:
            raise error
        self.traffic.dropped[f"{reason}: {_name(error)}"] += 1


class _Outward:
    """From the TUN device to the peers.

    The buffer holds a batch from `_start` to `_end`: `_count` packets for `_peer`, all of `_size` bytes except, perhaps, the last, which then
    closes it.
    """

    def __init__(self, device: _Device, udp: socket.socket, routes: Routes, tun_address: int) -> None:
        self._device = device
        self._traffic = device.traffic
        self._udp = udp
        self._routes = routes
        self._tun_address = tun_address
        self._head = bytearray(vnet.SIZE)
        self._view = memoryview(bytearray(2 * _LARGEST))
        self._start = self._end = self._count = self._size = 0
        self._peer: Peer = ("", 0)
        self._peers: dict[bytes, Peer] = {}
        self._version = -1
        self._segmenter: Segmenter | None = None

    def burst(self) -> None:
        """Move what is there."""
        tun, head, view = self._device.tun, self._head, self._view
        for _ in range(_BURST):
            if self._end > _LARGEST:
                self._flush()
            if not self._count:
                self._end = 0
            end = self._end
            try:
                size = os.readv(tun, [head, view[end:]]) - vnet.SIZE
            except BlockingIOError:
                break
            except OSError as error:
                self._device.trouble(error, "tun read failed")
                break
            self._take(view[end : end + size])
        self._flush()

    def _take(self, inner: memoryview) -> None:
        dropped = self._traffic.dropped
        reason = packet.fault(inner)
        if reason:
            # The kernel also sends IPv6 router solicitations out of a new device.
            dropped[f"from tun: {reason}"] += 1
            return
        peer = self._peer_of(inner)
        if peer is None:
            self._refuse(inner)
        elif not packet.decrement_ttl(inner):
            dropped["from tun: TTL expired"] += 1
        elif self._head[1]:
            self._segment(inner, peer)
        elif self._head[0] & vnet.NEEDS_CSUM and not vnet.complete(inner, vnet.Header.parse(self._head)):
            dropped["from tun: bad checksum offset"] += 1
        else:
            self._append(len(inner), peer)

    def _peer_of(self, inner: memoryview) -> Peer | None:
        if self._version != self._routes.version or len(self._peers) > _MAX_CACHED:
            self._version = self._routes.version
            self._peers = {}
        key = bytes(inner[16:20])
        peer = self._peers.get(key)
        if peer is None:
            peer = self._routes.lookup(packet.destination(inner))
            if peer is not None:
                self._peers[key] = peer
        return peer

    def _refuse(self, inner: memoryview) -> None:
        self._traffic.dropped["from tun: no route"] += 1
        answer = packet.net_unreachable(inner, self._tun_address)
        if answer is not None and self._device.write(vnet.PLAIN + answer):
            self._traffic.unreachable += 1

    def _append(self, size: int, peer: Peer) -> None:
        """Put the packet that lies at the end of the batch into it, or into a new one."""
        if self._count:
            closed = self._end - self._start != self._count * self._size
            full = self._count == _MAX_SEGMENTS or self._end - self._start + size > _MAX_PAYLOAD
            if closed or full or size > self._size or peer != self._peer:
                self._flush()
        if not self._count:
            self._start, self._size, self._peer = self._end, size, peer
        self._count += 1
        self._end += size

    def _flush(self) -> None:
        if self._count:
            self._send(self._view[self._start : self._end], self._size, self._count, self._peer)
            self._count = 0

    def _segment(self, inner: memoryview, peer: Peer) -> None:
        if self._segmenter is None:
            from lab.flannel.segment import Segmenter

            self._segmenter = Segmenter()
        header = vnet.Header.parse(self._head)
        reason = "wrong kind" if header.gso & ~vnet.GSO_ECN != vnet.GSO_TCPV4 else self._segmenter.fault(inner, header.segment_size)
        if reason:
            self._traffic.dropped[f"from tun: segmentation: {reason}"] += 1
            return
        self._flush()
        data, stride, count = self._segmenter.segment(inner, header.segment_size)
        most = min(_MAX_SEGMENTS, _MAX_PAYLOAD // stride)
        # Sends of equal length: one long and one very short would cost the receiver more.
        each = -(-count // -(-count // most))
        for first in range(0, count, each):
            self._send(data[first * stride : (first + each) * stride], stride, min(each, count - first), peer)

    def _send(self, data: memoryview, size: int, count: int, peer: Peer) -> None:
        """Send datagrams of `size` bytes; the last may be shorter."""
        try:
            if count == 1:
                self._udp.sendto(data, peer)
            else:
                self._udp.sendmsg([data], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))], 0, peer)
        except OSError as error:
            if count > 1 and error.errno in _UNCUTTABLE:
                for start in range(0, len(data), size):
                    self._send(data[start : start + size], size, 1, peer)
            else:
                self._traffic.dropped[f"udp send: {_name(error)}"] += count
        else:
            self._traffic.to_udp += count


class _Inward:
    """From the peers to the TUN device.

    Datagrams lie in the buffer one after the other; a region is what follows each other in datagrams of one size, whether it came with one
    recvmsg or with many, from one sender. There is room for a vnet header before the first.
    """

    def __init__(self, device: _Device, udp: socket.socket, sources: Sources) -> None:
        self._device = device
        self._traffic = device.traffic
        self._udp = udp
        self._sources = sources
        self._sender: object = None
        self._view = memoryview(bytearray(vnet.SIZE + 3 * _LARGEST))
        self._coalescer: Coalescer | None = None

    def burst(self) -> None:
        """Move what is there."""
        view, start, end, size = self._view, vnet.SIZE, vnet.SIZE, 0
        for _ in range(_BURST):
            if end - start > _FULL or end > 2 * _LARGEST:
                self._region(start, end, size)
                start, end, size = vnet.SIZE, vnet.SIZE, 0
            try:
                got, control, _, sender = self._udp.recvmsg_into([view[end:]], _CONTROL)
            except BlockingIOError:
                break
            except OSError as error:
                self._traffic.dropped[f"udp receive: {_name(error)}"] += 1
                break
            if not got:
                self._traffic.dropped["from udp: too short"] += 1
                continue
            each = (int.from_bytes(control[0][2], sys.byteorder) if control else 0) or got
            if each != size or (end - start) % each or sender != self._sender:
                self._region(start, end, size)
                start, size, self._sender = end, each, sender
            end += got
        self._region(start, end, size)

    def _region(self, start: int, end: int, size: int) -> None:
        alone = 0
        while start < end:
            count, joined = 1, None
            if alone:
                alone -= 1
            elif end - start > (_FEWEST - 1) * size and self._view[start + 9] == packet.TCP:
                count, joined = self._join(start, end, size)
                # Looking costs more than writing: whoever sends what cannot be joined must not make us look at each datagram.
                alone = 0 if joined else _FEWEST
            if joined is None:
                self._single(start, min(start + size, end))
            elif self._device.write(joined):
                self._traffic.to_tun += count
                self._sources.look(joined[vnet.SIZE :], self._sender, count)
            start += count * size

    def _join(self, start: int, end: int, size: int) -> tuple[int, memoryview | None]:
        if self._coalescer is None:
            from lab.flannel.coalesce import Coalescer

            self._coalescer = Coalescer()
        return self._coalescer.take(self._view, start, end, size)

    def _single(self, start: int, end: int) -> None:
        inner = self._view[start:end]
        reason = packet.fault(inner)
        if reason:
            self._traffic.dropped[f"from udp: {reason}"] += 1
        elif not packet.decrement_ttl(inner):
            self._traffic.dropped["from udp: TTL expired"] += 1
        else:
            # Over the end of the datagram before, which has been written.
            self._view[start - vnet.SIZE : start] = vnet.PLAIN
            if self._device.write(self._view[start - vnet.SIZE : end]):
                self._traffic.to_tun += 1
                self._sources.look(inner, self._sender)


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "error")
