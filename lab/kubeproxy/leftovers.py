"""Takes off a node what kube-proxies have put there, in whichever mode they ran."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from lab.errors import CommandError
from lab.kubeproxy import iptables_v17, iptables_v133, kubelet, names, nft_text, portals, tables
from lab.kubeproxy.apply import RESTORE, SAVE, Runner
from lab.kubeproxy.tables import Saved, Table

LIST = ("nft", "-t", "list", "table", *nft_text.TABLE.split())
DELETE = ("nft", "delete", "table", *nft_text.TABLE.split())

SERVICE_CHAINS = (*iptables_v133.OWN_PREFIXES, *names.OWN_PREFIXES)
"""Chains of these names belong to services in iptables mode, whichever version made them."""


def remove(run: Runner, mode: str = "") -> None:
    """Remove the rules of all modes, or, at the start of a mode, of all the others. kubelet's rules and all foreign ones stay.

    run   runs a command on the node
    mode  the one whose rules stay, as they are there from the start before; empty: none do

    Raises CommandError. What cannot be there, because the machine lacks the program that makes it, is no error.
    """
    made = {"iptables": _iptables(), "userspace": _portals()}
    doomed = tables.joined((), [table for name, found in made.items() if name != mode for table in found])
    saved = tables.parse_saved(_unless_missing(run, SAVE))
    text = tables.removal_text(_there(doomed, saved, mode), saved, SERVICE_CHAINS if mode != "iptables" else ())
    if text.strip():
        run(RESTORE, text)
    if mode != "nftables" and _unless_missing(run, LIST):
        run(DELETE, "")


def _iptables() -> tuple[Table, ...]:
    config = iptables_v17.ProxyConfig()
    made = tables.joined(iptables_v17.generate((), (), config), iptables_v133.generate((), (), config))
    # Both versions have some jumps. Of what kubelet and today's kube-proxy both write, kubelet is the owner.
    jumps = [tuple(jump for jump in dict.fromkeys(table.jumps) if jump not in kubelet.JUMPS) for table in made]
    chains = [tuple(chain for chain in table.chains if chain != kubelet.CHAIN) for table in made]
    return tuple(replace(table, jumps=to, chains=own) for table, to, own in zip(made, jumps, chains, strict=True))


def _portals() -> Iterable[Table]:
    return portals.removable(portals.generate((), {}, IPv4Address(0)))


def _there(doomed: Iterable[Table], saved: Mapping[str, Saved], mode: str) -> Iterable[Table]:
    """The tables in which something has to go: one that is only named in a restore comes into being by that."""
    prefixes = SERVICE_CHAINS if mode != "iptables" else ()
    for table in doomed:
        chains = saved.get(table.name, Saved()).chains
        if any(chain in table.chains or chain.startswith(prefixes) for chain in chains):
            yield table


def _unless_missing(run: Runner, argv: tuple[str, ...]) -> str:
    """What a program prints that shows rules; nothing when there are no such rules."""
    try:
        return run(argv, "")
    except CommandError as error:
        if any(words in str(error) for words in ("No such file or directory", "not supported")):
            return ""
        raise
