"""What happens when there is no memory left: whom the kernel kills then, and how to know that it did; proc_pid_oom_score_adj(5)."""

from __future__ import annotations

import contextlib
from pathlib import Path

LAB = 300
"""Of everything in a sandbox but its init: rather this than the front, which has to say what happened."""

CONTAINER = 1000
"""Of a container, as kubelets set it for pods without requests: rather this than anything else."""


def offer(score: int, pid: int | str = "self") -> None:
    """Have a process, and those that it starts from now on, killed sooner than others: 0 is usual, 1000 the first of all.

    A process that has gone, or a /proc that may not be written to, changes nothing.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score), encoding="ascii")


def kills() -> int:
    """How many processes the kernel has killed for want of memory since this machine started; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def told(before: int) -> str:
    """Words for what `kills` has grown by since it was `before`; empty when by nothing."""
    number = kills() - before
    if number <= 0:
        return ""
    processes = "a process" if number == 1 else f"{number} processes"
    return f"there was no memory left, of this machine or of what its cgroup may have, and the kernel killed {processes}"
