"""The machine's table of neighbours, which every lab on it shares: whether it was full, and words about that.

Linux keeps the neighbours that it has found by ARP, those of all network namespaces, in one table with room for gc_thresh3 of them (1024;
arp(7)). One that was used is held for 15 to 45 seconds. While a large lab has filled the table no other machine of any lab is found any more:
a question of ARP is not answered, a connection ends in "No route to host" or in a timeout, even one to 127.0.0.1. Only the host's network
namespace sees how the table is, and only it may change its size: the lab does not, it says what has happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

STATISTICS = Path("/proc/net/stat/arp_cache")
LIMIT = Path("/proc/sys/net/ipv4/neigh/default/gc_thresh3")

HOW = "`sysctl -w net.ipv4.neigh.default.gc_thresh3=16384`, as root on the host"


@dataclass(frozen=True)
class Table:
    """How it is. `overflows`: neighbours that found no room since the machine started; `limit`: how many have room."""

    overflows: int
    limit: int


def look() -> Table | None:
    """The table, as the host's network namespace sees it; None where it cannot be seen, as in most containers."""
    try:
        return Table(overflows(STATISTICS.read_text(encoding="ascii")), int(LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return None


def overflows(statistics: str) -> int:
    """The sum of `table_fulls`, which each processor counts, in /proc/net/stat/arp_cache: a head line, then hexadecimal numbers. Pure.

    Raises ValueError for a text that is no such table.
    """
    head, *lines = statistics.splitlines() or [""]
    column = head.split().index("table_fulls")
    return sum(int(line.split()[column], 16) for line in lines)


def words(before: Table | None, after: Table | None) -> str:
    """What to say about the time between two looks; empty when there was room all the time, or nobody could see. Pure."""
    if before is None or after is None or after.overflows == before.overflows:
        return ""
    return (
        f"this machine's table of neighbours was full: meanwhile {after.overflows - before.overflows} found no room beside {after.limit} others, "
        "and what was sent to them is lost. All labs share the table, so another one may have filled it. "
        f"Take large labs down and try again, or make room: {HOW}"
    )
