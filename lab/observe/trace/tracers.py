"""Has the kernel tell which rules the probe hits: an nftables table of our own marks the probe, a socket on each machine listens.

The table marks in its own chains, before all others (priority -350; raw is -300), so nothing of iptables' or kube-proxy's tables is
touched, and deleting it takes all of it away.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from lab.errors import LabError
from lab.fabric import process
from lab.fabric.namespace import Namespace
from lab.observe.trace import nfnetlink, rulelog
from lab.observe.trace.rulelog import TABLE, Pass

_PATIENCE = 5.0
"""Seconds for a program that takes some milliseconds."""
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
            started = [(name, self._begin(name, namespace)) for name, namespace in self._machines.items()]
            for name, nft in started:
                self._mark(name, nft, text)
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

    def _begin(self, name: str, namespace: Namespace) -> subprocess.Popen[bytes] | None:
        """Listen on a machine, and start the program that will mark there."""
        try:
            with namespace.entered():
                interfaces = dict(socket.if_nameindex())
            self._traced[name] = _Traced(namespace, nfnetlink.listen(namespace), interfaces)
            return process.spawn(namespace, ["nft", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except (LabError, OSError) as error:
            self.troubles[name] = str(error)
            return None

    def _mark(self, name: str, nft: subprocess.Popen[bytes] | None, text: str) -> None:
        if nft is None:
            return
        trouble = _ended(nft, text.encode())
        if trouble:
            self.troubles[name] = f"nft: {trouble}"

    def _passes(self, one: _Traced) -> tuple[Pass, ...]:
        found = rulelog.passes(nfnetlink.heard(one.listening), one.interfaces)
        hit = {hit.table for each in found for hit in each.hits if hit.handle}
        if not hit:
            return tuple(found)
        order = rulelog.handles(nfnetlink.rules(one.namespace))
        texts: dict[tuple[str, int], str] = {}
        if hit & set(_IPTABLES):
            texts |= rulelog.saved_texts(_said(one.namespace, "iptables-save"), order)
        for table in sorted(hit - {table for table, _ in texts}):
            texts |= rulelog.listed_texts(table, _said(one.namespace, "nft", "-a", "list", "table", "ip", table))
        return rulelog.with_texts(found, texts)

    def _end(self) -> None:
        ending = []
        for one in self._traced.values():
            one.listening.close()
            with contextlib.suppress(LabError):
                ending.append(
                    process.spawn(one.namespace, ["nft", "delete", "table", "ip", TABLE], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                )
        for nft in ending:
            _ended(nft)  # the machine may have gone meanwhile, and the table with it
        self._traced.clear()


def _ended(nft: subprocess.Popen[bytes], stdin: bytes | None = None) -> str:
    """Wait for a program; what it said when it failed, empty when it did not."""
    try:
        _, said = nft.communicate(stdin, timeout=_PATIENCE)
    except BaseException as error:
        process.kill_group(nft)
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        return f"it did not end within {_PATIENCE:g} s"
    return said.decode("utf-8", "replace").strip() if nft.returncode else ""


def _said(namespace: Namespace, *argv: str) -> str:
    """What a program printed; nothing when it failed."""
    try:
        return process.must(process.run(namespace, argv))
    except LabError:
        return ""
