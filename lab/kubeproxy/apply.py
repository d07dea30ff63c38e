"""How rules get into a node's kernel: one iptables-save to see what is there, one iptables-restore to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Runner = Callable[[Sequence[str], str], str]
"""Runs a command, given its argument list and standard input, on the node and returns its standard output; raises CommandError."""

SAVE = ("iptables-save",)
RESTORE = ("iptables-restore", "-w", "5", "--noflush", "--counters")
"""-w: iptables-legacy gives up at once when flanneld holds its lock at that moment, unless it may wait; seconds."""
