"""Gets this node its subnet and keeps others informed: flannel's subnet manager over the registry."""

from __future__ import annotations

import random
from collections.abc import Callable
from ipaddress import IPv4Network

from lab.errors import BootError
from lab.flannel.allocate import Discard, Pick, Reuse, choose
from lab.flannel.config import Config
from lab.flannel.lease import Attrs, Lease
from lab.flannel.registry import Registry

_DICE = random.SystemRandom()
"""The kernel's dice: processes forked at the same moment from one parent must not throw the same."""

TRIES = 10
"""flannel gives up when it has lost the race for a subnet this many times."""

Log = Callable[[str], None]


class SubnetManager:
    """Leases for one node.

    previous   the subnet that the node had before, from subnet.env
    log        takes flannel's lines about what was found and taken
    pick       chooses among free subnets
    """

    def __init__(self, registry: Registry, previous: IPv4Network | None, log: Log, pick: Pick = _DICE.choice) -> None:
        self._registry = registry
        self._previous = previous
        self._log = log
        self._pick = pick

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
