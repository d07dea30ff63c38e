"""A kernel's iptables tables as `iptables-restore --noflush` and `iptables-save` see them, for tests without a kernel.

It refuses what the kernel refuses: rules in or jumps to chains that do not exist, deleting chains that have rules or are jumped to. A table
changes at its COMMIT or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.errors import CommandError
from lab.kubeproxy import rules

BUILT_IN = {
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
}
Chains = dict[str, list[str]]


class TableKernel:
    """Runs kube-proxy's commands. `tables`: table -> chain -> rules as iptables-save prints them.

    committed   called after each COMMIT
    refuse      asked before each restore whether to fail it
    """

    def __init__(self, committed: Callable[[], None] = lambda: None, refuse: Callable[[], bool] = lambda: False, version: str = "nf_tables") -> None:
        self.tables: dict[str, Chains] = {name: {chain: [] for chain in chains} for name, chains in BUILT_IN.items()}
        self.committed, self.refuse, self.version = committed, refuse, version
        self.restores = 0

    def run(self, argv: Sequence[str], stdin: str) -> str:
        """As a lab.kubeproxy.apply.Runner."""
        if argv[0] == "iptables-save":
            return self.saved()
        if argv[0] != "iptables-restore":
            return ""
        if "--version" in argv:
            return f"iptables-restore v1.8.9 ({self.version})\n"
        if self.refuse():
            raise CommandError("iptables-restore failed with status 4")
        self.restores += 1
        for part in stdin.split("COMMIT\n"):
            if part:
                self._commit(part.splitlines())
        return ""

    def saved(self) -> str:
        """What iptables-save prints."""
        lines = []
        for table, chains in self.tables.items():
            lines.append(f"*{table}")
            lines += [f":{chain} {'ACCEPT' if chain in BUILT_IN[table] else '-'} [0:0]" for chain in chains]
            lines += [rule for some in chains.values() for rule in some]
            lines.append("COMMIT")
        return "\n".join(lines) + "\n"

    def reachable(self, table: str) -> set[str]:
        """Chains that a packet can come to."""
        chains, found = self.tables[table], set[str]()
        waiting = list(BUILT_IN[table])
        while waiting:
            chain = waiting.pop()
            if chain not in found:
                found.add(chain)
                waiting += _targets(chains[chain], chains)
        return found

    def _commit(self, lines: list[str]) -> None:
        table = lines[0].removeprefix("*")
        chains = {chain: list(some) for chain, some in self.tables[table].items()}
        for line in lines[1:]:
            self._line(chains, line)
        assert not [rule for some in chains.values() for rule in some if _target(rule).startswith("KUBE-") and _target(rule) not in chains]
        self.tables[table] = chains
        self.committed()

    def _line(self, chains: Chains, line: str) -> None:
        if line.startswith(":"):
            chains[line[1:].split()[0]] = []
            return
        verb, chain = line.split(" ", 2)[:2]
        assert chain in chains, f"no chain {chain}: {line}"
        if verb == "-X":
            assert not chains[chain], f"{chain} is not empty"
            assert not [rule for some in chains.values() for rule in some if _target(rule) == chain], f"{chain} is jumped to"
            del chains[chain]
            return
        at = line.startswith(f"-I {chain} 1 ")
        rule = rules.saved(rules.parse(f"-A {chain} {line.split(' ', 3 if at else 2)[-1]}"))
        if verb == "-D":
            assert rule in chains[chain], f"no such rule: {line}"
            chains[chain].remove(rule)
        else:
            chains[chain].insert(0 if at else len(chains[chain]), rule)


def _targets(some: list[str], chains: Chains) -> list[str]:
    return [target for target in map(_target, some) if target in chains]


def _target(rule: str) -> str:
    words = rule.split()
    return words[words.index("-j") + 1] if "-j" in words else ""
