"""iptables rules as data, and as the text that iptables-restore reads and iptables-save prints. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Jump:
    """A rule at the head of a built-in chain, in the words of iptables-save: `-m comment --comment "…" -j KUBE-SERVICES`."""

    chain: str
    rule: str

    @property
    def saved(self) -> str:
        """The line that iptables-save prints for it."""
        return f"-A {self.chain} {self.rule}"


@dataclass(frozen=True)
class Table:
    """What one sync makes of a table.

    chains   declared, in order: each is emptied and filled again, in one step with the rest of its table
    rules    lines beginning with -A, in order
    last     rules that come after the chains that are no longer needed are deleted
    jumps    from built-in chains, in the order in which they are put at position 1, so the last is on top
    """

    name: str
    chains: Sequence[str]
    rules: Sequence[str]
    last: Sequence[str] = ()
    jumps: Sequence[Jump] = ()

    def followed_by(self, more: Table) -> Table:
        """The same with the chains and rules of another part of this table behind its own."""
        return replace(self, chains=[*self.chains, *more.chains], rules=[*self.rules, *more.rules])


@dataclass(frozen=True)
class Saved:
    """What iptables-save printed of one table: chain -> its declaration with policy and counters, and the rules."""

    chains: dict[str, str] = field(default_factory=dict)
    rules: frozenset[str] = frozenset()


def joined(first: Iterable[Table], second: Iterable[Table]) -> tuple[Table, ...]:
    """Two programs' parts as one transaction a table. The rules and jumps of `first` come first, so the jumps of `second` end on top."""
    parts: dict[str, list[Table]] = {}
    for table in (*first, *second):
        parts.setdefault(table.name, []).append(table)
    return tuple(
        Table(
            name,
            tuple(dict.fromkeys(chain for part in found for chain in part.chains)),
            [rule for part in found for rule in part.rules],
            [rule for part in found for rule in part.last],
            [jump for part in found for jump in part.jumps],
        )
        for name, found in parts.items()
    )


def parse_saved(text: str) -> dict[str, Saved]:
    """iptables-save's output, table by table."""
    tables: dict[str, tuple[dict[str, str], set[str]]] = {}
    chains: dict[str, str] = {}
    rules: set[str] = set()
    for line in text.splitlines():
        if line.startswith("*"):
            chains, rules = tables.setdefault(line[1:].strip(), ({}, set()))
        elif line.startswith(":"):
            chains[line[1:].split(" ", 1)[0]] = line
        elif line.startswith("-A"):
            rules.add(line.rstrip())
    return {name: Saved(found, frozenset(lines)) for name, (found, lines) in tables.items()}


def restore_text(tables: Iterable[Table], saved: dict[str, Saved], own_prefixes: tuple[str, ...]) -> str:
    """The input of `iptables-restore --noflush --counters` that brings the kernel from `saved` to `tables`.

    A chain that exists keeps its counters. Chains whose names begin with one of `own_prefixes` and that no table declares are emptied and
    deleted; all other foreign chains are left alone.
    """
    lines: list[str] = []
    for table in tables:
        current = saved.get(table.name, Saved())
        wanted = frozenset(table.chains)
        stale = sorted(chain for chain in current.chains if chain.startswith(own_prefixes) and chain not in wanted)
        lines.append(f"*{table.name}")
        lines += [current.chains.get(chain, f":{chain} - [0:0]") for chain in (*table.chains, *stale)]
        lines += table.rules
        # kube-proxy inserts its jumps with one iptables call each, before the restore; here they are part of it: the same rules in the
        # same places, but no moment at which a jump leads to an empty chain, and six processes fewer.
        lines += [f"-I {jump.chain} 1 {jump.rule}" for jump in table.jumps if jump.saved not in current.rules]
        lines += [f"-X {chain}" for chain in stale]
        lines += table.last
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


def removal_text(tables: Iterable[Table], saved: dict[str, Saved], own_prefixes: tuple[str, ...]) -> str:
    """The restore input that takes the chains and jumps of `tables` away, and every chain of `own_prefixes`; foreign chains stay."""
    lines: list[str] = []
    for table in tables:
        current = saved.get(table.name, Saved())
        doomed = [chain for chain in current.chains if chain in table.chains or chain.startswith(own_prefixes)]
        lines.append(f"*{table.name}")
        lines += [current.chains[chain] for chain in doomed]
        lines += [f"-D {jump.chain} {jump.rule}" for jump in table.jumps if jump.saved in current.rules]
        lines += [f"-X {chain}" for chain in doomed]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"
