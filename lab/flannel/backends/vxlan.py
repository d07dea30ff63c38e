"""The vxlan backend: the kernel wraps and unwraps, flanneld only fills the tables that it does so by.

By default as flannel has it since v0.9: for every other node a permanent neighbour, a forwarding entry and a route, so nothing depends on
flanneld while packets flow. With L3Miss, the lab's name for what v0.7 and v0.8 did: one route for all pods, and the neighbour of each pod
only when the kernel misses it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.errors import MachineError, UsageError
from lab.fabric import rtnetlink
from lab.flannel import links, misses, tables, vtep
from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.names import mac_in

OVERHEAD = 50
"""Bytes that the outer IP header (20), UDP header (8), VXLAN header (8) and inner Ethernet header (14) take from each frame."""

KIND = "vxlan"


@dataclass(frozen=True)
class Options:
    """What the Backend object says, with flannel's defaults."""

    vni: int = 1
    port: int = vtep.PORT
    gbp: bool = False
    direct_routing: bool = False
    l3miss: bool = False


def options(config: Config) -> Options:
    """Read the options. Raises UsageError for a value that none of them can have."""
    vni, port = config.backend.get("vni", 1), config.backend.get("port") or vtep.PORT
    if isinstance(vni, bool) or not isinstance(vni, int) or not 0 < vni < 1 << 24:
        raise UsageError(f"error decoding VXLAN backend config: VNI {vni!r} is none; give a number from 1 to {(1 << 24) - 1}")
    switches = {"gbp": "GBP", "directrouting": "DirectRouting", "l3miss": "L3Miss"}
    for key, name in switches.items():
        if not isinstance(config.backend.get(key, False), bool):
            raise UsageError(f"error decoding VXLAN backend config: {name} {config.backend[key]!r} is neither true nor false")
    gbp, direct, l3miss = (bool(config.backend.get(key, False)) for key in switches)
    if direct and l3miss:
        raise UsageError("error decoding VXLAN backend config: DirectRouting came after flannel 0.8, so it does not go with L3Miss")
    return Options(vni, port, gbp, direct, l3miss)


@dataclass(frozen=True)
class Peer:
    """Another node: its subnet, the machine to send to, and the MAC address of its vxlan device."""

    subnet: IPv4Network
    machine: IPv4Address
    mac: str

    @property
    def gateway(self) -> IPv4Address:
        """The address of its vxlan device: the subnet's own."""
        return self.subnet.network_address


def peer_of(lease: Lease) -> Peer | None:
    """What a lease says of a node's vxlan device, None when it is no vxlan lease or has no usable MAC address. Pure."""
    if lease.attrs.backend_type != KIND:
        return None
    try:
        mac = mac_in(json.loads(lease.attrs.backend_data).get("VtepMAC"))
    except (ValueError, AttributeError):
        return None
    return Peer(lease.subnet, lease.attrs.public_ip, mac) if mac else None


def _ignored(lease: Lease) -> str:
    """Why a lease tells of no peer. A node's reservation has no MAC address until its flanneld comes up."""
    if lease.attrs.backend_type != KIND:
        return f"ignoring non-vxlan subnet({lease.subnet}): type={lease.attrs.backend_type or 'udp'}"
    return f"ignoring subnet({lease.subnet}): its vxlan lease has no usable VtepMAC"


class VxlanBackend:
    """See lab.flannel.backends.base.Backend."""

    def __init__(self, external: External, acquire: Acquire, log: Log) -> None:
        self._external = external
        self._acquire = acquire
        self._log = log

    def register_network(self, config: Config) -> VxlanNetwork:
        """Make the device, publish its MAC address with the lease, give it the subnet's own address."""
        wanted, mtu = options(config), self._external.mtu - OVERHEAD
        try:
            lower = links.index_of(self._external.name)
            wish = vtep.Wish(wanted.vni, lower, self._external.address, wanted.port, wanted.gbp)
            device = vtep.ensure(wish, mtu)
            if device.unfit:
                self._log(f'"{wish.name}" already exists with incompatable configuration: {device.unfit}; recreating device')
            data = json.dumps({"VtepMAC": device.mac})
            lease = self._acquire(config, Attrs(self._external.public_ip, KIND, data))
            vtep.configure(device.index, lease.subnet.network_address, mtu)
            if wanted.l3miss:
                tables.set_route(tables.Route(config.network, None, device.index))
                misses.ask_user_space(wish.name)
        except OSError as error:
            raise MachineError(f"failed to set up flannel.{wanted.vni}: {error.strerror or error}; `lab doctor` tells more") from error
        return VxlanNetwork(lease, mtu, wanted, device, self._log)


class VxlanNetwork:
    """See lab.flannel.backends.base.Network."""

    def __init__(self, lease: Lease, mtu: int, wanted: Options, device: vtep.Device, log: Log) -> None:
        self.lease = lease
        self.mtu = mtu
        self._options = wanted
        self._link = device.index
        self._log = log
        self._peers: dict[IPv4Network, Peer] = {}
        self._routes: dict[IPv4Network, tables.Route] = {}
        self._wishes: list[tables.Wish] = []
        self._begun = False
        self._answered = self._unanswered = 0
        self._stop_read, self._stop_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def handle(self, events: Sequence[LeaseEvent]) -> None:
        """Keep the kernel's tables. What an earlier flanneld left there for nodes that are gone is taken away first."""
        if not self._begun:
            self._begun = True
            self._forget_strangers({event.lease for event in events})
        for event in events:
            self._log(f"Subnet {event.kind}: {event.lease.subnet}")
            peer = peer_of(event.lease)
            if event.kind == "removed":
                self._remove(event.lease.subnet)
            elif peer is None:
                self._log(_ignored(event.lease))
                self._remove(event.lease.subnet)
            else:
                self._add(peer)
        self._set()

    def _set(self) -> None:
        """Have the kernel do what has gathered: hundreds of requests in a few system calls, in a cluster of a hundred nodes."""
        wishes, self._wishes = self._wishes, []
        if wishes:
            tables.set_all(self._log, wishes)

    def _add(self, peer: Peer) -> None:
        old = self._peers.get(peer.subnet)
        if old is not None and old != peer:
            self._remove(peer.subnet)
        self._peers[peer.subnet] = peer
        forward = rtnetlink.put_forward(self._link, peer.mac, peer.machine)
        if self._options.l3miss:
            self._wishes.append(tables.Wish(f"AddL2 failed: {peer.mac}", forward))
            return
        if (route := self._direct(peer)) is None:
            neighbour = rtnetlink.put_neighbour(self._link, peer.gateway, peer.mac)
            self._wishes.append(tables.Wish(f"AddARP failed: {peer.gateway}", neighbour))
            self._wishes.append(tables.Wish(f"AddFDB failed: {peer.mac}", forward))
            route = tables.Route(peer.subnet, peer.gateway, self._link, onlink=True)
        self._routes[peer.subnet] = route
        self._wishes.append(tables.Wish(f"failed to add vxlanRoute ({peer.subnet} -> {route.via})", tables.put_route(route)))

    def _direct(self, peer: Peer) -> tables.Route | None:
        """With DirectRouting, the plain route to a node on the same layer 2: its address has no gateway before it."""
        if not self._options.direct_routing:
            return None
        try:
            link, gateway = tables.way_to(peer.machine)
        except OSError:
            return None
        return tables.Route(peer.subnet, peer.machine, link) if gateway is None else None

    def _remove(self, subnet: IPv4Network) -> None:
        peer = self._peers.pop(subnet, None)
        if peer is None:
            return
        self._set()
        if not self._options.l3miss:
            tables.attempt(self._log, f"DelARP failed: {peer.gateway}", tables.delete_neighbour, self._link, peer.gateway)
        tables.attempt(self._log, f"DelFDB failed: {peer.mac}", tables.delete_forward, self._link, peer.mac, peer.machine)
        if not self._options.l3miss:
            tables.attempt(self._log, f"failed to delete vxlanRoute ({subnet})", tables.delete_route, self._routes.pop(subnet))

    def _forget_strangers(self, leases: set[Lease]) -> None:
        peers = [peer for peer in map(peer_of, leases) if peer is not None]
        known_macs = {peer.mac: peer.machine for peer in peers}
        gateways = set() if self._options.l3miss else {peer.gateway for peer in peers}
        for mac, machine in tables.forwards(self._link).items():
            if known_macs.get(mac) != machine:
                tables.delete_forward(self._link, mac, machine)
        for address in tables.neighbours(self._link):
            if address not in gateways:
                tables.delete_neighbour(self._link, address)
        for route in tables.routes():
            if route.link == self._link and route.onlink and route.via not in gateways:
                tables.delete_route(route)

    def run(self) -> None:
        """Answer the kernel's misses; without L3Miss it has none, and this only waits for `stop`."""
        for miss in misses.listen(self._stop_read):
            if self._options.l3miss and miss.link == self._link:
                self._answer(miss.address)

    def _answer(self, address: IPv4Address) -> None:
        self._log(f"L3 miss: {address}")
        for peer in tuple(self._peers.values()):
            if address in peer.subnet:
                self._answered += 1
                tables.attempt(self._log, f"AddL3 failed: {address}", tables.set_neighbour, self._link, address, peer.mac, False)
                return
        self._unanswered += 1
        self._log(f"L3 miss but route for {address} not found")

    def stop(self) -> None:
        """See Network."""
        os.write(self._stop_write, b"\0")

    def close(self) -> None:
        """The device and its tables stay: packets go on without flanneld."""
        os.close(self._stop_read)
        os.close(self._stop_write)

    def stats(self) -> str:
        """What flanneld did; the kernel counts the packets (ip -s link)."""
        return f"nodes={len(self._peers)} misses answered={self._answered} unanswered={self._unanswered}"
