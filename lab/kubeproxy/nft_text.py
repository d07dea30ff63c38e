"""From one state of the nftables table to the next: the text of one transaction for `nft -f -`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from lab.kubeproxy import nft_names as names
from lab.kubeproxy.nft_rules import BASE_CHAINS, CONTAINERS, Ruleset

TABLE = "ip kube-proxy"

_CHAIN = re.compile(r"^\s*chain (\S+) \{", re.MULTILINE)
_SET = re.compile(r"^\s*set (\S+) \{([^}]*)", re.MULTILINE)
_TIMEOUT = re.compile(r"^\s*timeout (\S+)", re.MULTILINE)
_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


@dataclass(frozen=True)
class Leftovers:
    """What an earlier kube-proxy left in the table: chains of services, and affinity sets with their timeouts in seconds."""

    chains: frozenset[str] = frozenset()
    affinity: Mapping[str, int] = field(default_factory=dict)


NOTHING = Leftovers()


def parse_list(text: str) -> Leftovers:
    """The leftovers in the output of `nft -t list table ip kube-proxy`."""
    sets = {name: _seconds(body) for name, body in _SET.findall(text) if name.startswith(names.AFFINITY)}
    return Leftovers(frozenset(chain for chain in _CHAIN.findall(text) if names.is_of_service(chain)), sets)


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
    lines += [f"flush chain {TABLE} {chain}" for chain in sorted(left.chains - wanted.chains.keys())]
    lines += [f"delete set {TABLE} {name}" for name, seconds in left.affinity.items() if wanted.affinity.get(name) != seconds]
    lines += [_add_set(name, seconds) for name, seconds in wanted.affinity.items()]
    lines += [f"add rule {TABLE} {chain} {rule}" for chain, rules in wanted.chains.items() for rule in rules]
    lines += _added_elements(Ruleset(), wanted)
    return "\n".join(lines) + "\n"


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
    for chain in touched:
        lines += [_add_chain(chain), f"flush chain {TABLE} {chain}"]
    lines += [f"flush chain {TABLE} {chain}" for chain in gone(old, new)]
    lines += [f"delete set {TABLE} {name}" for name in old.affinity if name not in new.affinity or name in timeouts]
    lines += [_add_set(name, seconds) for name, seconds in new.affinity.items() if name not in old.affinity or name in timeouts]
    lines += [f"add rule {TABLE} {chain} {rule}" for chain in touched for rule in new.chains[chain]]
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
