"""What a cloud's route table means for the machine that stands for the cloud's network: routes, and who may forward. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from lab.plan.build import mac_of


@dataclass(frozen=True)
class Machine:
    """A node, as the cloud is to know it when it begins. `address` is the node's own, with the prefix length of its segment."""

    name: str
    address: IPv4Interface


@dataclass(frozen=True)
class Instance:
    """A running machine of the cloud.

    forwards   it may send packets that are not from its address and receive packets that are not to it: SourceDestCheck off, canIpForward
    """

    address: IPv4Address
    forwards: bool


@dataclass(frozen=True)
class Row:
    """One line of the cloud's route table. `via` None: the machine is gone, the cloud swallows the packets."""

    destination: IPv4Network
    via: IPv4Address | None


Table = Mapping[IPv4Network, IPv4Address | None]


@dataclass(frozen=True)
class Changes:
    """What turns one table into another: destinations to take out, and lines to put in or replace."""

    remove: tuple[IPv4Network, ...]
    put: tuple[Row, ...]


def table(rows: Iterable[Row]) -> dict[IPv4Network, IPv4Address | None]:
    """Destination -> next hop; of two rows for one destination the first counts."""
    found: dict[IPv4Network, IPv4Address | None] = {}
    for row in rows:
        found.setdefault(row.destination, row.via)
    return found


def changes(now: Table, wanted: Table) -> Changes:
    """What to do to `now` so that it becomes `wanted`."""
    remove = tuple(destination for destination in now if destination not in wanted)
    put = tuple(Row(to, via) for to, via in wanted.items() if to not in now or now[to] != via)
    return Changes(remove, put)


def guard(chain: str, instances: Sequence[Instance], rows: Iterable[Row]) -> str:
    """The text for iptables-restore that lets no packet pass which an instance may not forward.

    Two rules for each instance that may not: nothing from its network card with another source address, nothing along the rows that
    lead to it. The rest passes.
    """
    lines = ["*filter", f":{chain} - [0:0]"]
    wanted = table(rows)
    for instance in sorted(instances, key=lambda one: one.address):
        if not instance.forwards:
            lines.append(f"-A {chain} -m mac --mac-source {mac_of(instance.address)} ! -s {instance.address} -j DROP")
            lines += [f"-A {chain} -d {to} -j DROP" for to, via in wanted.items() if via == instance.address]
    return "\n".join([*lines, "COMMIT", ""])


def blocks(networks: Iterable[IPv4Network], longest: int = 16) -> tuple[IPv4Network, ...]:
    """The address blocks of a private network that holds these: one around them all, or, where that is larger than /`longest`, each."""
    each = tuple(dict.fromkeys(networks))
    around = each[0]
    while not all(network.subnet_of(around) for network in each):
        around = around.supernet()
    return (around,) if around.prefixlen >= longest else each
