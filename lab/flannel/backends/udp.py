"""The udp backend: a TUN device for the pod network, and each packet as it is in one UDP datagram to the node that holds its subnet."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network

from lab.errors import BootError, MachineError, UsageError
from lab.flannel import fastpath, links
from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import UDP_PORT, Config
from lab.flannel.datapath import DataPath, PlainDataPath
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.routes import Routes
from lab.flannel.tun import open_tun

OVERHEAD = 28
"""Bytes that the outer IP header (20) and the UDP header (8) take from each datagram."""

MakeDataPath = Callable[[int, socket.socket, Routes, int, IPv4Network], DataPath]
"""Builds a data path from the TUN descriptor, the UDP socket, the routes, the TUN device's address and the pods' network."""

_PATTERN = "flannel%d"


class UdpBackend:
    """See lab.flannel.backends.base.Backend. `datapath` says how packets are moved: fast, or plain for the readable loop."""

    def __init__(self, external: External, acquire: Acquire, log: Log, datapath: str = "fast") -> None:
        self._external = external
        self._acquire = acquire
        self._log = log
        self._datapath = datapath

    def register_network(self, config: Config) -> UdpNetwork:
        """Acquire the subnet, bind the socket, create flannel0 and give it the subnet's own address with the network's prefix length."""
        port = _port(config)
        mtu = self._external.mtu - OVERHEAD
        lease = self._acquire(config, Attrs(self._external.public_ip))
        udp = _bound(self._external.address, port)
        try:
            tun, name, data_path = self._device(udp)
        except BaseException:
            udp.close()
            raise
        try:
            links.set_up(name, lease.subnet.network_address, config.network, mtu)
        except OSError as error:
            udp.close()
            os.close(tun)
            raise MachineError(f"failed to set up {name}: {error}; is another flanneld running here?") from error
        routes = Routes()
        path = data_path(tun, udp, routes, int(lease.subnet.network_address), config.network)
        return UdpNetwork(lease, mtu, path, routes, tun, udp, self._log)

    def _device(self, udp: socket.socket) -> tuple[int, str, MakeDataPath]:
        """The TUN device and what moves its packets."""
        if self._datapath == "fast":
            try:
                return *fastpath.prepare(_PATTERN, udp), fastpath.FastDataPath
            except OSError as error:
                self._log(f"This machine cannot do the fast data path ({error}), using the plain one")
        return *open_tun(_PATTERN), PlainDataPath


class UdpNetwork:
    """See lab.flannel.backends.base.Network. Takes over the descriptors."""

    def __init__(self, lease: Lease, mtu: int, path: DataPath, routes: Routes, tun: int, udp: socket.socket, log: Log) -> None:
        self.lease = lease
        self.mtu = mtu
        self._path = path
        self._routes = routes
        self._tun = tun
        self._udp = udp
        self._port = udp.getsockname()[1]
        self._log = log
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def handle(self, events: Sequence[LeaseEvent]) -> None:
        """Keep the routes; leases of any backend type count, as flannel has it."""
        for event in events:
            self._log(f"Subnet {event.kind}: {event.lease.subnet}")
        self._routes.apply(events, self._port)

    def run(self) -> None:
        """Move packets."""
        self._path.run(self._stop_read)

    def stop(self) -> None:
        """See Network."""
        os.write(self._stop_write, b"\0")

    def close(self) -> None:
        """Close everything; the device goes with its descriptor."""
        self._udp.close()
        for fd in (self._tun, self._stop_read, self._stop_write):
            os.close(fd)

    def stats(self) -> str:
        """What the data path counted."""
        return str(self._path.traffic)


def _port(config: Config) -> int:
    port = config.backend.get("port") or UDP_PORT
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 65535:
        raise UsageError(f"error decoding UDP backend config: Port {port!r} is not a port; give a number from 1 to 65535")
    return port


def _bound(address: IPv4Address, port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        udp.bind((str(address), port))
    except OSError as error:
        udp.close()
        text = f"failed to start listening on UDP socket: {address}:{port}: {error.strerror}; is another flanneld running here?"
        raise BootError(text) from error
    return udp
