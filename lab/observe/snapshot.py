"""What a boot's stage changed: the state of every machine and of etcd as lines, before and after, and the difference. Pure.

The lines are words that a learner can type: an address as `ip` shows it, a rule as `iptables` takes it. What changes by itself, such as the
packet counters of rules, is not in them.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Part = Literal["links", "routes", "rules", "etcd"]
PARTS: tuple[Part, ...] = ("links", "routes", "rules", "etcd")

REGISTRY = "/registry/"
"""Where the apiserver keeps its objects: whole pages of JSON, of which only the names are shown."""

EVENTS = f"{REGISTRY}events/"
"""What the cluster says of itself; it would drown the rest."""

_POLICY = re.compile(r":(\S+) (\S+) \[\d+:\d+\]")


@dataclass(frozen=True)
class Machine:
    """One machine at one moment, each part as lines."""

    links: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Snapshot:
    """All machines by name, in the order they were made, and what etcd holds."""

    machines: Mapping[str, Machine] = field(default_factory=dict)
    etcd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Change:
    """What changed in one part, in the same way on all these machines. `lines` begin with `+ ` or `- `; of etcd there are no machines."""

    part: Part
    where: tuple[str, ...]
    lines: tuple[str, ...]


def links(addresses: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Interfaces from `ip -j -d address`: name, kind, state, MTU, the bridge it is on, IPv4 addresses. Not the MAC, which is made by chance."""
    return tuple(_link(one) for one in addresses)


def _link(one: Mapping[str, Any]) -> str:
    words = [one["ifname"], (one.get("linkinfo") or {}).get("info_kind", ""), "up" if "UP" in one.get("flags", ()) else "down"]
    words += [f"mtu {one.get('mtu')}", f"master {one['master']}" if one.get("master") else ""]
    words += [f"{ip['local']}/{ip['prefixlen']}" for ip in one.get("addr_info", ()) if ip.get("family") == "inet"]
    return " ".join(word for word in words if word)


def routes(shown: str) -> tuple[str, ...]:
    """Routes from `ip -4 route`."""
    return tuple(" ".join(line.split()) for line in shown.splitlines() if line.strip())


def rules(saved: str) -> tuple[str, ...]:
    """Chains and rules from iptables-save, each as iptables' own command: `-t nat -N KUBE-SERVICES`, `-t nat -A PREROUTING ...`.

    Not the kernel's own chains with their policy ACCEPT, which are there as soon as somebody looks.
    """
    found, table = [], ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif (chain := _POLICY.match(line)) is not None:
            name, policy = chain.groups()
            if policy != "ACCEPT":
                found.append(f"-t {table} -N {name}" if policy == "-" else f"-t {table} -P {name} {policy}")
        elif line.startswith("-A"):
            found.append(f"-t {table} {line.strip()}")
    return tuple(found)


def keys(items: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """What etcd holds: flannel's keys with their values, of the apiserver's objects the names; no events."""
    return tuple(key if key.startswith(REGISTRY) else f"{key} = {_compact(value)}" for key, value in items if not key.startswith(EVENTS))


def _compact(value: str) -> str:
    """JSON without its blanks, anything else as it is, on one line."""
    try:
        return json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False)
    except ValueError:
        return " ".join(value.split())


def changes(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """What is different now. Machines with the same change in a part are told together; the order is that of PARTS, then of the machines."""
    found: list[Change] = []
    for part in PARTS[:3]:
        alike: dict[tuple[str, ...], list[str]] = {}
        for name in dict.fromkeys((*before.machines, *after.machines)):
            old, new = (getattr(one.machines.get(name, Machine()), part) for one in (before, after))
            if lines := _difference(old, new):
                alike.setdefault(lines, []).append(name)
        found += [Change(part, tuple(names), lines) for lines, names in alike.items()]
    if lines := _difference(before.etcd, after.etcd):
        found.append(Change("etcd", (), lines))
    return tuple(found)


def _difference(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    """The lines that went and those that came, in the order of their places."""
    lines: list[str] = []
    for what, low, high, left, right in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            lines += [f"- {line}" for line in old[low:high]] + [f"+ {line}" for line in new[left:right]]
    return tuple(lines)
