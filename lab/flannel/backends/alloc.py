"""The alloc backend: a subnet for the node and nothing else. Pods of one node reach each other, pods of two nodes do not."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent


class AllocBackend:
    """See lab.flannel.backends.base.Backend."""

    def __init__(self, external: External, acquire: Acquire, log: Log) -> None:
        self._external = external
        self._acquire = acquire

    def register_network(self, config: Config) -> AllocNetwork:
        """Acquire the subnet."""
        return AllocNetwork(self._acquire(config, Attrs(self._external.public_ip)), self._external.mtu)


class AllocNetwork:
    """See lab.flannel.backends.base.Network. Packets leave the node unwrapped, so the MTU is the interface's own."""

    def __init__(self, lease: Lease, mtu: int) -> None:
        self.lease = lease
        self.mtu = mtu
        self._stopped = threading.Event()

    def handle(self, events: Sequence[LeaseEvent]) -> None:
        """Other nodes do not matter here."""

    def run(self) -> None:
        """Wait for `stop`."""
        self._stopped.wait()

    def stop(self) -> None:
        """See Network."""
        self._stopped.set()

    def close(self) -> None:
        """There is nothing to let go of."""

    def stats(self) -> str:
        """There is nothing to count."""
        return "alloc forwards nothing"
