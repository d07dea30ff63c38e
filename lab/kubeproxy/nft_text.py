"""From one state of the nftables table to the next: transactions for `nft -f -`. Pure.

Rules of a chain that comes or changes are written inside the `add chain` that names it. For an `add rule` nft asks the kernel for all chains
and all sets first, which among 10,000 services takes longer than the change itself; for an `add chain` it asks for the tables only. What
such rules refer to has to be named before them, also sets that exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from lab.kubeproxy import nft_names as names
from lab.kubeproxy.nft_rules import BASE_CHAINS, CONTAINERS, Ruleset

TABLE = "ip kube-proxy"

_CHAIN = re.compile(r"^\s*chain (\S+) \{\n((?:.*[^\s}].*\n)*)", re.MULTILINE)
_SET = re.compile(r"^\s*set (\S+) \{([^}]*)", re.MULTILINE)
_TIMEOUT = re.compile(r"^\s*timeout (\S+)", re.MULTILINE)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Leftovers:
    """What an earlier kube-proxy left in the table: chains of services with their rules, and affinity sets with their timeouts in seconds."""

    chains: Mapping[str, Sequence[str]] = field(default_factory=dict)
    affinity: Mapping[str, int] = field(default_factory=dict)


NOTHING = Leftovers()


def parse_list(text: str) -> Leftovers:
    """The leftovers in the output of `nft -t list table ip kube-proxy`."""
    sets = {name: _seconds(body) for name, body in _SET.findall(text) if name.startswith(names.AFFINITY)}
    return Leftovers({chain: _rules(body) for chain, body in _CHAIN.findall(text) if names.is_of_service(chain)}, sets)


def _rules(body: str) -> list[str]:
    return [line for one in body.splitlines() if (line := one.strip())]


def _seconds(declaration: str) -> int:
    """The timeout in a set's declaration: `timeout 3h` is 10800, `timeout 1m30s` 90; none is 0."""
    found = _TIMEOUT.search(declaration)
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([dhms])(?!s)", found[1])) if found else 0


def whole(wanted: Ruleset, left: Leftovers = NOTHING) -> str:
    """The transaction for a table of which only names are known. What clients affinity sets remember is kept.

    Chains in `left` that nobody needs are emptied; `deletion` takes them away afterwards. Hooks are made anew, because a priority of a
    chain that exists cannot be changed.
    """
    lines = [f'add table {TABLE} {{ comment "rules for kube-proxy" ; }}']
    for chain in BASE_CHAINS:
        lines += [f"add chain {TABLE} {chain}", f"delete chain {TABLE} {chain}"]
    for name, declaration in CONTAINERS.items():
        lines += [f"add {declaration.format(f'{TABLE} {name}')}", f"flush {declaration.split()[0]} {TABLE} {name}"]
    for chain in wanted.chains:
        lines += [_add_chain(chain), f"flush chain {TABLE} {chain}"]
    lines += [f"flush chain {TABLE} {chain}" for chain in sorted(left.chains.keys() - wanted.chains.keys())]
    lines += [f"delete set {TABLE} {name}" for name, seconds in left.affinity.items() if wanted.affinity.get(name) != seconds]
    lines += [_add_set(name, seconds) for name, seconds in wanted.affinity.items()]
    lines += [f"add rule {TABLE} {chain} {rule}" for chain, rules in wanted.chains.items() for rule in rules]
    lines += _added_elements(Ruleset(), wanted)
    return "\n".join(lines) + "\n"


def portions(wanted: Ruleset, parts: Iterable[Ruleset], left: Leftovers, portion: int) -> Iterator[str]:
    """The same as `whole` in several transactions, to be run in this order; each has about `portion` chains.

    parts   what each service makes of it; the chains of one refer to each other and to those that are no service's

    A service's chains come in one transaction, and what leads to them in the last: packets meet all of them or none. Chains that are in the
    kernel as they should be are not written.
    """
    yield _first_portion(wanted)
    piece = Ruleset()
    for part in parts:
        piece.affinity |= part.affinity
        piece.chains |= {chain: rules for chain, rules in part.chains.items() if not _intact(rules, left.chains.get(chain))}
        if len(piece.chains) >= portion:
            yield _filled(piece, left)
            piece = Ruleset()
    if piece.chains:
        yield _filled(piece, left)
    yield _last_portion(wanted, left)


def _intact(rules: Sequence[str], found: Sequence[str] | None) -> bool:
    """Whether the kernel has a chain as it should be. nft prints some rules in other words than they were given in: those seem changed.

    So do rules that speak of affinity sets, because such a set may have to be made anew.
    """
    return found is not None and list(found) == list(rules) and not any(f"@{names.AFFINITY}" in rule for rule in rules)


def _first_portion(wanted: Ruleset) -> str:
    """The table with its sets, and the chains that services' chains jump to."""
    lines = [f'add table {TABLE} {{ comment "rules for kube-proxy" ; }}']
    lines += [f"add {declaration.format(f'{TABLE} {name}')}" for name, declaration in CONTAINERS.items()]
    helpers = {chain: rules for chain, rules in wanted.chains.items() if chain not in BASE_CHAINS and not names.is_of_service(chain)}
    for chain in helpers:
        lines += [f"add chain {TABLE} {chain}", f"flush chain {TABLE} {chain}"]
    lines += _written(helpers)
    return "\n".join(lines) + "\n"


def _filled(piece: Ruleset, left: Leftovers) -> str:
    """Chains of some services, with the affinity sets that they use."""
    lines = [f"flush chain {TABLE} {chain}" for chain in piece.chains if chain in left.chains]
    lines += [f"delete set {TABLE} {name}" for name, seconds in piece.affinity.items() if left.affinity.get(name, seconds) != seconds]
    lines += [_add_set(name, seconds) for name, seconds in piece.affinity.items()]
    return "\n".join([*lines, *_written(piece.chains)]) + "\n"


def _last_portion(wanted: Ruleset, left: Leftovers) -> str:
    """Hooks and elements of everything; what nobody needs any longer is emptied."""
    lines = []
    for chain in BASE_CHAINS:
        lines += [f"add chain {TABLE} {chain}", f"delete chain {TABLE} {chain}"]
    lines += [f"flush {declaration.split()[0]} {TABLE} {name}" for name, declaration in CONTAINERS.items()]
    lines += [f"add chain {TABLE} {chain} {{ {hook} }}" for chain, hook in BASE_CHAINS.items()]
    lines += [f"add rule {TABLE} {chain} {rule}" for chain in BASE_CHAINS for rule in wanted.chains[chain]]
    lines += [f"flush chain {TABLE} {chain}" for chain in sorted(left.chains.keys() - wanted.chains.keys())]
    lines += [f"delete set {TABLE} {name}" for name in left.affinity if name not in wanted.affinity]
    return "\n".join([*lines, *_added_elements(Ruleset(), wanted)]) + "\n"


def _written(chains: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The lines that give empty or new chains these rules. They are declared first, because rules may jump to any of them."""
    for chain in chains:
        yield f"add chain {TABLE} {chain}"
    for chain, rules in chains.items():
        if rules:
            yield f"add chain {TABLE} {chain} {{ {' ; '.join(rules)} ; }}"


def anew(wanted: Ruleset) -> str:
    """The transaction that replaces the table, whatever is in it. What affinity sets remember is lost."""
    return f"add table {TABLE}\ndelete table {TABLE}\n{whole(wanted)}"


def changes(old: Ruleset, new: Ruleset) -> str:
    """The transaction from one state to another; empty when nothing changed. Chains that go are emptied only: see `deletion`."""
    timeouts = {name for name, seconds in new.affinity.items() if old.affinity.get(name, seconds) != seconds}
    touched = [
        chain
        for chain, rules in new.chains.items()
        if old.chains.get(chain) != rules or any(f"@{name} " in rule for name in timeouts for rule in rules)
    ]
    lines = list(_deleted_elements(old, new))
    lines += [f"flush chain {TABLE} {chain}" for chain in (*touched, *gone(old, new)) if chain in old.chains]
    lines += [f"delete set {TABLE} {name}" for name in old.affinity if name not in new.affinity or name in timeouts]
    if touched:
        lines += [_add_set(name, seconds) for name, seconds in new.affinity.items()]
    lines += _written({chain: new.chains[chain] for chain in touched})
    lines += _added_elements(old, new)
    return "\n".join(lines) + "\n" if lines else ""


def gone(old: Ruleset, new: Ruleset) -> list[str]:
    """The chains of `old` that `new` does not have."""
    return [chain for chain in old.chains if chain not in new.chains]


def deletion(chains: frozenset[str]) -> str:
    """The transaction that deletes chains which are empty already.

    Apart from the one that emptied them: before Linux 6.2 the kernel believes for a moment that a map's deleted element still leads there.
    """
    return "".join(f"delete chain {TABLE} {chain}\n" for chain in sorted(chains))


def _add_chain(chain: str) -> str:
    hook = BASE_CHAINS.get(chain)
    return f"add chain {TABLE} {chain}" + (f" {{ {hook} }}" if hook else "")


def _add_set(name: str, seconds: int) -> str:
    return f"add set {TABLE} {name} {{ type ipv4_addr ; flags dynamic,timeout ; timeout {seconds}s ; }}"


def _added_elements(old: Ruleset, new: Ruleset) -> Iterator[str]:
    for container, elements in new.elements.items():
        for key, verdict in elements.items():
            if old.elements[container].get(key) != verdict:
                comment = new.comments.get((container, key), "")
                words = key + (f' comment "{comment}"' if comment else "") + (f" : {verdict}" if verdict else "")
                yield f"add element {TABLE} {container} {{ {words} }}"


def _deleted_elements(old: Ruleset, new: Ruleset) -> Iterator[str]:
    for container, elements in old.elements.items():
        for key, verdict in elements.items():
            if new.elements[container].get(key) != verdict:
                yield f"delete element {TABLE} {container} {{ {key} }}"
