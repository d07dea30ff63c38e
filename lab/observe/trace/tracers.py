"""Has the kernel tell which rules the probe hits: an nftables table of our own marks the probe, a socket on each machine listens.

The table marks in its own chains, before all others (priority -350; raw is -300), so nothing of iptables' or kube-proxy's tables is
touched, and deleting it takes all of it away.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from lab.errors import LabError
from lab.fabric import process
from lab.fabric.namespace import Namespace
from lab.observe.trace import nfnetlink, rulelog
from lab.observe.trace.rulelog import TABLE, Pass

_IPTABLES = ("raw", "mangle", "nat", "filter", "security")
_RULES = """\
table ip {table} {{
    chain prerouting {{
        type filter hook prerouting priority -350; policy accept;
{rules}
    }}
    chain output {{
        type filter hook output priority -350; policy accept;
{rules}
    }}
}}
"""


@dataclass
class _Traced:
    """A machine whose rules are being watched."""

    namespace: Namespace
    listening: socket.socket
    interfaces: dict[int, str]


class Tracers:
    """Watches the rules of machines, from `with` until the end of its block.

    matches   nftables expressions, each of which marks a packet
    """

    def __init__(self, machines: Mapping[str, Namespace], matches: Sequence[str]) -> None:
        self._machines = machines
        self._matches = matches
        self._traced: dict[str, _Traced] = {}
        self.troubles: dict[str, str] = {}

    def __enter__(self) -> Tracers:
        """Begin to watch. What cannot be watched is in `troubles`, with the reason."""
        text = _RULES.format(table=TABLE, rules="\n".join(f"        {match} meta nftrace set 1" for match in self._matches))
        try:
            for name, namespace in self._machines.items():
                self._begin(name, namespace, text)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop to watch, and take the table away everywhere."""
        self._end()

    def passes(self) -> dict[str, tuple[Pass, ...]]:
        """What marked packets have hit until now, by machine."""
        return {name: self._passes(one) for name, one in self._traced.items()}

    def _begin(self, name: str, namespace: Namespace, text: str) -> None:
        try:
            with namespace.entered():
                interfaces = dict(socket.if_nameindex())
            self._traced[name] = _Traced(namespace, nfnetlink.listen(namespace), interfaces)
            process.must(process.run(namespace, ["nft", "-f", "-"], stdin=text))
        except (LabError, OSError) as error:
            self.troubles[name] = str(error)

    def _passes(self, one: _Traced) -> tuple[Pass, ...]:
        found = rulelog.passes(nfnetlink.heard(one.listening), one.interfaces)
        hit = {hit.table for each in found for hit in each.hits if hit.handle}
        if not hit:
            return tuple(found)
        order = rulelog.handles(nfnetlink.rules(one.namespace))
        texts: dict[tuple[str, int], str] = {}
        for table in sorted(hit):
            texts |= _texts(one.namespace, table, order)
        return rulelog.with_texts(found, texts)

    def _end(self) -> None:
        for one in self._traced.values():
            one.listening.close()
            with contextlib.suppress(LabError):  # the machine may have gone meanwhile, and the table with it
                process.run(one.namespace, ["nft", "delete", "table", "ip", TABLE])
        self._traced.clear()


def _texts(namespace: Namespace, table: str, order: Mapping[tuple[str, str], Sequence[int]]) -> dict[tuple[str, int], str]:
    """The texts of a table's rules, in iptables' words where they are its own. Without an answer, none."""
    with contextlib.suppress(LabError):
        if table in _IPTABLES:
            found = rulelog.saved_texts(table, process.must(process.run(namespace, ["iptables-save", "-t", table])), order)
            if found:
                return found
        return rulelog.listed_texts(table, process.must(process.run(namespace, ["nft", "-a", "list", "table", "ip", table])))
    return {}
