"""What happens when something runs out: words for what the kernel refuses; whom it kills when there is no memory left, and how to know that it did.

proc_pid_oom_score_adj(5); memory.events of the kernel's cgroup-v2 document, memory.oom_control of its cgroup-v1 one.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

LAB = 300
"""Of everything in a sandbox but its init: rather this than the front, which has to say what happened."""

CONTAINER = 1000
"""Of a container, as kubelets set it for pods without requests: rather this than anything else."""


ROOM = "`ulimit -a`, or its cgroup (pids.max, memory.max), says what there may be"

_ERRORS = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
"""What the kernel answers who has used up processes, memory or descriptors."""

_GROUPS = Path("/sys/fs/cgroup")


def words(error: BaseException | None) -> str:
    """What to tell people of an error that means that something has run out; empty for any other."""
    if isinstance(error, OSError) and error.errno in _ERRORS:
        return f"this machine gives no more: {error.strerror}; {ROOM}"
    if isinstance(error, RuntimeError) and "new thread" in str(error):  # Python has no type of its own for it
        return f"this machine gives no more: cannot start a thread; {ROOM}"
    return ""


def offer(score: int, pid: int | str = "self") -> None:
    """Have a process, and those that it starts from now on, killed sooner than others: 0 is usual, 1000 the first of all.

    A process that has gone, or a /proc that may not be written to, changes nothing.
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(str(score), encoding="ascii")


def kills() -> int:
    """How many processes of this one's cgroup the kernel has killed for want of memory, or else of this machine; 0 where it does not tell."""
    for file in (*_counts(), Path("/proc/vmstat")):
        with contextlib.suppress(OSError):
            for line in file.read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _counts() -> Iterator[Path]:
    """Where the cgroup of this process counts, with v1 or v2."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                yield _GROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
            elif number == "0":
                yield _GROUPS / path.lstrip("/") / "memory.events"


def told(before: int) -> str:
    """Words for what `kills` has grown by since it was `before`; empty when by nothing."""
    number = kills() - before
    if number <= 0:
        return ""
    processes = "a process" if number == 1 else f"{number} processes"
    return f"there was no memory left, of this machine or of what its cgroup may have, and the kernel killed {processes}"
