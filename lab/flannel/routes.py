"""The routing table of a data path: from a pod's address to the flanneld that holds its subnet."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from ipaddress import IPv4Network

from lab.flannel.lease import LeaseEvent

Peer = tuple[str, int]
"""Address and UDP port of another node's flanneld, as socket.sendto takes it."""


class Routes:
    """Subnets and their peers. One thread changes them, another looks up; a lookup never waits.

    A change builds a new table and puts it in place of the old one in one step. `version` counts the changes, so that a data path can keep
    a cache of its own.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._tables: tuple[tuple[int, dict[int, Peer]], ...] = ()
        self.version = 0

    def apply(self, events: Iterable[LeaseEvent], port: int) -> None:
        """Follow the leases: every peer is expected on `port`, as flannel expects its own port everywhere."""
        with self._changing:
            tables = {mask: dict(table) for mask, table in self._tables}
            for event in events:
                subnet = event.lease.subnet
                table = tables.setdefault(int(subnet.netmask), {})
                if event.kind == "added":
                    table[int(subnet.network_address)] = (str(event.lease.attrs.public_ip), port)
                else:
                    table.pop(int(subnet.network_address), None)
            self._tables = tuple((mask, tables[mask]) for mask in sorted(tables, reverse=True) if tables[mask])
            self.version += 1

    def lookup(self, destination: int) -> Peer | None:
        """The peer of the longest prefix around an address (as a number), None when nobody holds it."""
        for mask, table in self._tables:
            peer = table.get(destination & mask)
            if peer is not None:
                return peer
        return None

    def peers(self) -> frozenset[Peer]:
        """Everybody who holds a subnet."""
        return frozenset(peer for _, table in self._tables for peer in table.values())

    def entries(self) -> dict[IPv4Network, Peer]:
        """All routes, longest prefix first."""
        return {
            IPv4Network((network, mask.bit_count())): table[network] for mask, table in self._tables for network in sorted(table)
        }
