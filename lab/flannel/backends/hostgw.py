"""The host-gw backend: packets travel unwrapped, by a route through the node that holds their subnet. All nodes share a layer 2."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network

from lab.errors import MachineError, UsageError
from lab.flannel import links, tables
from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.tables import Route

KIND = "host-gw"

CHECK_SECONDS = 10.0
"""How often flannel looks for routes that somebody deleted."""


def missing(wanted: Iterable[Route], there: Iterable[Route]) -> tuple[Route, ...]:
    """Those of the wanted routes that are not there, in their order. Pure."""
    present = set(there)
    return tuple(route for route in wanted if route not in present)


class HostGwBackend:
    """See lab.flannel.backends.base.Backend. `check_seconds`: how often deleted routes are looked for."""

    def __init__(self, external: External, acquire: Acquire, log: Log, check_seconds: float = CHECK_SECONDS) -> None:
        self._external = external
        self._acquire = acquire
        self._log = log
        self._check_seconds = check_seconds

    def register_network(self, config: Config) -> HostGwNetwork:
        """Acquire the subnet. Raises UsageError behind a NAT: the other nodes' gateway must be an address of this very machine."""
        external = self._external
        if external.public_ip != external.address:
            raise UsageError(
                "your PublicIP differs from interface IP, meaning that probably you're on a NAT, which is not supported by host-gw "
                f"backend: {external.public_ip} is not {external.address}; drop --public-ip or use another backend"
            )
        try:
            link = links.index_of(external.name)
        except OSError as error:
            raise MachineError(f"failed to find {external.name}: {error.strerror}") from error
        lease = self._acquire(config, Attrs(external.public_ip, KIND))
        return HostGwNetwork(lease, external.mtu, link, self._check_seconds, self._log)


class HostGwNetwork:
    """See lab.flannel.backends.base.Network. The MTU is the interface's own: nothing is put before a packet."""

    def __init__(self, lease: Lease, mtu: int, link: int, check_seconds: float, log: Log) -> None:
        self.lease = lease
        self.mtu = mtu
        self._link = link
        self._check_seconds = check_seconds
        self._log = log
        self._wanted: dict[IPv4Network, Route] = {}
        self._changing = threading.Lock()
        self._stopped = threading.Event()
        self._recovered = 0

    def handle(self, events: Sequence[LeaseEvent]) -> None:
        """Keep the routes; leases of other backends are not for this one."""
        for event in events:
            lease = event.lease
            if lease.attrs.backend_type != KIND:
                self._log(f"Ignoring non-host-gw subnet: type={lease.attrs.backend_type or 'udp'}")
                continue
            with self._changing:
                if event.kind == "added":
                    self._add(lease.subnet, lease.attrs.public_ip)
                else:
                    self._remove(lease.subnet)

    def _add(self, subnet: IPv4Network, gateway: IPv4Address) -> None:
        self._log(f"Subnet added: {subnet} via {gateway}")
        route = Route(subnet, gateway, self._link)
        self._wanted[subnet] = route
        what = f"Error adding route to {subnet} via {gateway}"
        try:
            if tables.add_route(route):
                return
        except OSError as error:
            self._log(f"{what}: {(error.strerror or str(error)).lower()}")
            return
        # There is one to this subnet. Only now are all routes read: with a hundred nodes that takes longer than the rest.
        others = [one for one in tables.routes() if one.subnet == subnet]
        if route in others:
            self._log(f"Route to {subnet} via {gateway} already exists, skipping.")
            return
        for other in others:
            self._log(f"Replacing existing route to {subnet} via {other.via} with {subnet} via {gateway}.")
            # v0.8 deletes by the new gateway, which the kernel does not find, and so keeps the old route; mended in v0.9.
            tables.attempt(self._log, f"Error deleting route to {subnet}", tables.delete_route, other)
        tables.attempt(self._log, what, tables.set_route, route)

    def _remove(self, subnet: IPv4Network) -> None:
        self._log(f"Subnet removed: {subnet}")
        route = self._wanted.pop(subnet, None)
        if route is not None:
            tables.attempt(self._log, f"Error deleting route to {subnet}", tables.delete_route, route)


    def run(self) -> None:
        """Put back what somebody deleted, until `stop`."""
        while not self._stopped.wait(self._check_seconds):
            with self._changing:
                for route in missing(self._wanted.values(), tables.routes()):
                    if tables.attempt(self._log, f"Error recovering route to {route.subnet} via {route.via}", tables.set_route, route):
                        self._recovered += 1
                        self._log(f"Route recovered {route.subnet} : {route.via}")

    def stop(self) -> None:
        """See Network."""
        self._stopped.set()

    def close(self) -> None:
        """The routes stay: packets go on without flanneld."""

    def stats(self) -> str:
        """What flanneld did; the kernel forwards."""
        return f"routes={len(self._wanted)} recovered={self._recovered}"
