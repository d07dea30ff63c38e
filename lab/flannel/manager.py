"""Gets this node its subnet and keeps others informed: what flannel calls a subnet manager, and the one over the registry in etcd.

The other one, over Node objects at the apiserver, is in lab.flannel.kubemanager.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from typing import Protocol

from lab.errors import BootError
from lab.flannel.allocate import Discard, Pick, Reuse, choose
from lab.flannel.config import Config
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.registry import Registry, Stop

_DICE = random.SystemRandom()
"""The kernel's dice: processes forked at the same moment from one parent must not throw the same."""

TRIES = 10
"""flannel gives up when it has lost the race for a subnet this many times."""

Log = Callable[[str], None]


class Manager(Protocol):
    """All that the daemon and the backends know of where subnets come from."""

    def config(self) -> Config:
        """The network configuration. Raises ConfigMissing while there is none, and InputError for a wrong one."""

    def acquire(self, config: Config, attrs: Attrs) -> Lease:
        """Get the node its subnet and publish `attrs` with it. Raises LabError."""

    def renew(self, own: Lease) -> int:
        """Set a lease that is no reservation back to its full time; the seconds it has, 0 when it no longer exists."""

    def watch(self, stop: Stop) -> Iterator[tuple[LeaseEvent, ...]]:
        """The leases there are now as events, then every change, until `stop`. The first batch comes in any case."""


class SubnetManager:
    """Leases for one node, in etcd.

    previous   the subnet that the node had before, from subnet.env
    log        takes flannel's lines about what was found and taken
    pick       chooses among free subnets
    """

    def __init__(self, registry: Registry, previous: IPv4Network | None, log: Log, pick: Pick = _DICE.choice) -> None:
        self._registry = registry
        self._previous = previous
        self._log = log
        self._pick = pick

    def __str__(self) -> str:
        return f"Etcd Local Manager with Previous Subnet: {self._previous}"

    def config(self) -> Config:
        """See Registry.config."""
        return self._registry.config()

    def renew(self, own: Lease) -> int:
        """See Registry.renew."""
        return self._registry.renew(own)

    def watch(self, stop: Stop) -> Iterator[tuple[LeaseEvent, ...]]:
        """See Registry.watch; the own lease is among them."""
        return self._registry.watch(stop)

    def acquire(self, config: Config, attrs: Attrs) -> Lease:
        """Get a subnet and publish `attrs` with it. Nobody else has the subnet when this returns.

        Raises OutOfSubnets, BootError after TRIES lost races, and what etcd's client raises.
        """
        for _ in range(TRIES):
            lease = self._attempt(config, attrs)
            if lease is not None:
                return lease
        raise BootError("Max retries reached trying to acquire a subnet: other nodes were faster each time; start flanneld again")

    def _attempt(self, config: Config, attrs: Attrs) -> Lease | None:
        leases = self._registry.leases().leases
        choice = choose(config, leases, attrs.public_ip, self._previous, self._pick)
        if isinstance(choice, Reuse):
            self._log(f"Found lease ({choice.lease.subnet}) for current IP ({attrs.public_ip}), reusing")
            return self._registry.refresh(choice.lease, attrs)
        if isinstance(choice, Discard):
            found = f"Found lease ({choice.lease.subnet}) for current IP ({attrs.public_ip})"
            self._log(f"{found} but not compatible with current config, deleting")
            self._registry.delete(choice.lease)
            return None
        if choice.previous:
            self._log(f"Found previously leased subnet ({choice.subnet}), reusing")
        else:
            self._log(f"Picking subnet in range {config.subnet_min} ... {config.subnet_max}")
        lease = self._registry.create(choice.subnet, attrs)
        if lease is not None:
            self._log(f"Allocated lease ({lease.subnet}) to current node ({attrs.public_ip}) ")
        return lease
