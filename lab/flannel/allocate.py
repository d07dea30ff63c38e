"""Which subnet a node takes: the decision of flannel v0.8's acquire, without etcd and without dice. Pure.

One difference is deliberate. v0.8 takes over a lease that another node holds when subnet.env names it, so a node that was away for longer
than a lease lives would share its old subnet with the new owner. Later flannel never does that, and neither does the lab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from lab.errors import LabError
from lab.flannel.config import Config
from lab.flannel.lease import Lease

CANDIDATES = 100
"""flannel looks at this many free subnets, from the lowest up, and picks one of them."""

Pick = Callable[[Sequence[IPv4Network]], IPv4Network]
"""Chooses one of several subnets; random.choice in the daemon."""


class OutOfSubnets(LabError):
    """Every subnet between SubnetMin and SubnetMax is leased."""


@dataclass(frozen=True)
class Reuse:
    """The node holds this lease already: refresh it."""

    lease: Lease


@dataclass(frozen=True)
class Discard:
    """The node holds this lease, but the configuration no longer allows it: delete it, then choose again."""

    lease: Lease


@dataclass(frozen=True)
class Take:
    """Create a lease for this free subnet. `previous`: it is the one that subnet.env remembers."""

    subnet: IPv4Network
    previous: bool = False


Choice = Reuse | Discard | Take


def choose(config: Config, leases: Sequence[Lease], public_ip: IPv4Address, previous: IPv4Network | None, pick: Pick) -> Choice:
    """What a node at `public_ip` does next to get its subnet.

    leases     all that stand in etcd now
    previous   the subnet in the node's subnet.env, None if it has none
    Raises OutOfSubnets.
    """
    for lease in leases:
        if lease.attrs.public_ip == public_ip:
            return Reuse(lease) if config.fits(lease.subnet) else Discard(lease)
    if previous is not None and config.fits(previous) and not any(previous.overlaps(lease.subnet) for lease in leases):
        return Take(previous, previous=True)
    free = candidates(config, leases)
    if not free:
        text = f"out of subnets: all between {config.subnet_min} and {config.subnet_max} are leased; widen the Network or free a lease"
        raise OutOfSubnets(text)
    return Take(pick(free))


def candidates(config: Config, leases: Iterable[Lease]) -> list[IPv4Network]:
    """The first free subnets from SubnetMin upward, at most CANDIDATES of them, in order."""
    free = []
    for number in _free_addresses(config, [lease.subnet for lease in leases]):
        free.append(IPv4Network((number, config.subnet_len)))
        if len(free) == CANDIDATES:
            break
    return free


def _free_addresses(config: Config, taken: Sequence[IPv4Network]) -> Iterator[int]:
    """Network addresses of the free subnets, ascending: one pass over the taken ranges, which may have any size."""
    size = 1 << (32 - config.subnet_len)
    address, last = int(config.subnet_min), int(config.subnet_max)
    for start, end in sorted((int(subnet.network_address), int(subnet.broadcast_address)) for subnet in taken):
        while address + size <= start and address <= last:
            yield address
            address += size
        if end >= address:
            address += (end - address) // size * size + size
    yield from range(address, last + 1, size)
