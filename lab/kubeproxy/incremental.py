"""A node's iptables rules chain by chain, and the way from what was written last to what is wanted now. Pure.

A service's own chains (KUBE-SVC-, KUBE-SEP- …) come from it alone; to the chains that all share (KUBE-SERVICES, KUBE-NODEPORTS …) it adds
rules. So a service that has not changed needs no look, and one that has changes few chains, however many services there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.kubeproxy import rules
from lab.kubeproxy.tables import Saved, Table

Chain = tuple[str, str]
"""Table and chain."""

Lines = tuple[str, ...]

FEW = 64
"""A shared chain with more rules than this is not written anew for a change of fewer."""

ORDER = {"mangle": 0, "filter": 1, "nat": 2}


@dataclass(frozen=True)
class Part:
    """What one service makes of the rules: chains of its own, whole, and rules in shared chains."""

    own: Mapping[Chain, Lines] = field(default_factory=dict)
    shared: Mapping[Chain, Lines] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many rules it has."""
        return sum(len(lines) for lines in (*self.own.values(), *self.shared.values()))


@dataclass(frozen=True)
class Skeleton:
    """The rules without any service: what each shared chain begins with and ends with; every chain that exists then is in `first`."""

    first: Mapping[Chain, Lines]
    last: Mapping[Chain, Lines]


def skeleton_of(tables: Iterable[Table]) -> Skeleton:
    """What a generator gives without services."""
    first: dict[Chain, Lines] = {}
    last: dict[Chain, Lines] = {}
    for table in tables:
        first |= {(table.name, chain): () for chain in table.chains}
        first |= _grouped(table.name, table.rules)
        last |= _grouped(table.name, table.last)
    return Skeleton(first, last)


def part_of(tables: Iterable[Table]) -> Part:
    """A service's part, from what it alone adds to the tables: the chains that it declares are its own, all others shared."""
    own: dict[Chain, Lines] = {}
    shared: dict[Chain, Lines] = {}
    for table in tables:
        own |= {(table.name, chain): () for chain in table.chains}
        for key, lines in _grouped(table.name, table.rules).items():
            (own if key in own else shared)[key] = lines
    return Part(own, shared)


def _grouped(table: str, lines: Iterable[str]) -> dict[Chain, Lines]:
    found: dict[str, list[str]] = {}
    for line in lines:
        found.setdefault(line[3 : line.index(" ", 3)], []).append(line)
    return {(table, chain): tuple(rules) for chain, rules in found.items()}


@dataclass
class Change:
    """What one restore has to do. Chains that are written exist afterwards with exactly these rules.

    edits   rules that go into, or out of, chains that stay as they are: `-D …` and `-I …` lines, by table
    gone    chains to empty and delete
    """

    written: dict[Chain, Lines] = field(default_factory=dict)
    edits: dict[str, list[str]] = field(default_factory=dict)
    gone: list[Chain] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.written or self.edits or self.gone)

    @property
    def size(self) -> int:
        """Rules and chains that are written."""
        return sum(len(lines) + 1 for lines in self.written.values())


def whole_chain(skeleton: Skeleton, key: Chain, parts: Iterable[Part]) -> Lines:
    """A shared chain with the rules of all services, in the order of the parts."""
    middle = (line for part in parts for line in part.shared.get(key, ()))
    return (*skeleton.first[key], *middle, *skeleton.last.get(key, ()))


def own_changes(change: Change, old: Part, new: Part) -> None:
    """Add to `change` what becomes of a service's own chains. Those that another service may have taken over are not deleted: see `finish`."""
    for key, lines in new.own.items():
        if old.own.get(key) != lines:
            change.written[key] = lines
    change.gone += [key for key in old.own if key not in new.own]


def edited(chain: Lines, old: Lines, new: Lines) -> tuple[list[str], Lines] | None:
    """The edits that take the rules `old` out of a shared chain and put `new` at its head, and the chain afterwards.

    None when it is better written anew: there is much to change, or little to save. Services are looked up by address, so their order among
    each other means nothing; what a chain has to end with stays at its end.
    """
    before, after = Counter(old), Counter(new)
    doomed, added = before - after, [line for line in new if line not in before]
    if doomed.total() + len(added) >= FEW or len(chain) <= 2 * FEW:
        return None
    left = []
    for line in chain:
        if doomed[line]:
            doomed[line] -= 1
        else:
            left.append(line)
    deletions = [f"-D{line[2:]}" for line in (before - after).elements()]
    insertions = [f"-I {line.split(' ', 2)[1]} 1 {line.split(' ', 2)[2]}" for line in reversed(added)]
    return deletions + insertions, (*added, *left)


def finish(change: Change, still_owned: Callable[[Chain], bool]) -> Change:
    """A change after all its services: no chain is deleted that is written, or that another service has."""
    change.gone = sorted(key for key in set(change.gone) if key not in change.written and not still_owned(key))
    return change


def texts(
    change: Change,
    jumps: Mapping[str, Sequence[str]],
    saved: Mapping[str, Saved],
    shared: frozenset[Chain],
    services: Iterable[Iterable[Chain]],
    portion: int,
) -> Iterator[str]:
    """The inputs of `iptables-restore --noflush --counters` for a change, to be run in this order.

    jumps      lines that put missing jumps into built-in chains, by table
    saved      what is known of the kernel's chains: their counters stay
    shared     the chains of all services: written in the last input, when the chains they jump to are whole
    services   each service's own chains: they jump to each other and to shared ones, and stay together in one input
    portion    rules an input may have before it is split; a change with fewer is one input, and so happens in one step a table
    """
    late = dict(change.written)
    if change.size > portion:
        base = {key: lines for key, lines in change.written.items() if key in shared and not any(_jumps_on(line) for line in lines)}
        for key in base:
            del late[key]
        yield _text(base, {}, [], {}, saved)
        for piece in _portions(change.written, services, portion):
            yield _text(piece, {}, [], {}, saved)
            for key in piece:
                late.pop(key, None)
    yield _text(late, change.edits, change.gone, jumps, saved)


def _jumps_on(line: str) -> bool:
    return " -j KUBE-" in line


def _portions(written: Mapping[Chain, Lines], services: Iterable[Iterable[Chain]], portion: int) -> Iterator[dict[Chain, Lines]]:
    """The services' chains among those that are written, in groups of about `portion` rules.

    A service's chains are next to each other in the kernel's memory then, in the order in which it walks through them at every later change.
    """
    piece: dict[Chain, Lines] = {}
    room = portion
    for chains in services:
        for key in chains:
            if key in written:
                piece[key] = written[key]
                room -= len(written[key]) + 1
        if room <= 0:
            yield piece
            piece, room = {}, portion
    if piece:
        yield piece


def _text(
    written: Mapping[Chain, Lines],
    edits: Mapping[str, Sequence[str]],
    gone: Sequence[Chain],
    jumps: Mapping[str, Sequence[str]],
    saved: Mapping[str, Saved],
) -> str:
    lines: list[str] = []
    named = {key[0] for key in (*written, *gone)} | edits.keys() | {table for table, some in jumps.items() if some}
    for table in sorted(named, key=lambda name: ORDER[name]):
        current = saved.get(table, Saved()).chains
        chains = [chain for name, chain in written if name == table]
        doomed = [chain for name, chain in gone if name == table]
        lines.append(f"*{table}")
        lines += [current.get(chain, f":{chain} - [0:0]") for chain in (*chains, *doomed)]
        for (name, _), rules_of in written.items():
            lines += rules_of if name == table else ()
        lines += edits.get(table, ())
        lines += jumps.get(table, ())
        lines += [f"-X {chain}" for chain in doomed]
        lines.append("COMMIT")
    return "\n".join(lines) + "\n" if lines else ""


def chains_of(text: str) -> Iterator[tuple[Chain, Lines]]:
    """iptables-save's output chain by chain, with its rules in order; of each table those without rules last.

    One after the other, because all at once they are several times as large as what is kept of them, and a process does not get smaller again.
    """
    table, chain = "", ""
    rules: list[str] = []
    empty: dict[str, None] = {}
    for line in _lines(text):
        named = line.split(" ", 2)[1] if line.startswith("-A ") else ""
        if rules and named != chain:
            yield (table, chain), tuple(rules)
            rules = []
        if named:
            chain = named
            empty.pop(chain, None)
            rules.append(line.rstrip())
        elif line.startswith("*"):
            table, empty = line[1:].strip(), {}
        elif line.startswith(":"):
            empty[line[1:].split(" ", 1)[0]] = None
        elif line.startswith("COMMIT"):
            yield from (((table, name), ()) for name in empty)


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def as_saved(lines: Lines) -> Lines:
    """A chain's rules in the words of iptables-save."""
    return tuple(rules.saved(rules.parse(line)) for line in lines)
