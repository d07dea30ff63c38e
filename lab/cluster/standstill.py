"""Stops and continues all processes of some machines, as SIGSTOP and SIGCONT do."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lab.fabric import registry
from lab.fabric.namespace import Namespace

Stopped = dict[int, int]
"""Process id -> the process's start time, so that a reused id is not mistaken for it."""

_PATIENCE = 5.0
"""Seconds that the processes may take to stop: one in the middle of a system call ends that first."""


def stop(namespaces: Iterable[Namespace], spared: Collection[int]) -> Stopped:
    """Stop every process in these network namespaces; which they were, without those that stood still before.

    A process that is started meanwhile is found by another look: when nobody is left who runs, nobody can start one.
    """
    networks = {os.fstat(one.fds["net"]).st_ino for one in namespaces}
    stopped: Stopped = {}
    deadline = time.monotonic() + _PATIENCE
    while running := [pid for pid in _processes(networks) if pid not in spared and state(pid) not in ("T", "t", "Z", "X", "")]:
        for pid in running:
            stopped.setdefault(pid, registry.start_time(pid))
            _signal(pid, signal.SIGSTOP)
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    return stopped


def go_on(stopped: Stopped) -> None:
    """Continue them, as far as they are still there."""
    for pid, born in stopped.items():
        if registry.start_time(pid) == born:
            _signal(pid, signal.SIGCONT)


def state(pid: int) -> str:
    """The letter that ps shows for a process: T is stopped; empty when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[0]


def _processes(networks: Collection[int]) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}/ns/net").st_ino in networks:
                    yield int(name)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
