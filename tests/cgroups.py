"""A control group of a test's own, below the one that the test is in: with cgroup v1 or v2, where this machine lets root make one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.waiting import until

MOUNT = Path("/sys/fs/cgroup")
_V2 = {"memory": "memory.max", "pids": "pids.max"}
_V1 = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}


@dataclass(frozen=True)
class Group:
    """A group with one limit."""

    path: Path
    limit: Path

    def join(self) -> None:
        """Move the calling process in; what it starts is in it, too."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def processes(self) -> list[int]:
        return [int(line) for line in (self.path / "cgroup.procs").read_text().split()]

    def allow(self, most: int | str) -> None:
        """Set the limit."""
        self.limit.write_text(str(most))

    def wait_empty(self) -> None:
        """Wait until nobody is left in it, as after a lab's end."""
        until(lambda: not self.processes(), "an empty group")


def _places(controller: str) -> Iterator[tuple[Path, str]]:
    """Where a group could be made, and the name of its limit: in one's own group of v1, or of v2 in an ancestor that passes the controller on."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if number == "0":
            here = MOUNT / path.lstrip("/")
            for parent in (here, *here.parents):
                if parent.is_relative_to(MOUNT) and controller in _controllers(parent):
                    yield parent, _V2[controller]
        elif controller in names.split(","):
            yield MOUNT / controller / path.lstrip("/"), _V1[controller]


def _controllers(folder: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return (folder / "cgroup.subtree_control").read_text().split()
    return []


@contextlib.contextmanager
def group(controller: str, most: int) -> Iterator[Group]:
    """A group in which `most` bytes of memory, or as many processes, are allowed; it has to be empty at the end."""
    made: Group | None = None
    for place, limit in _places(controller):
        folder = place / f"lab-test-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(OSError):
            folder.mkdir()
            made = Group(folder, folder / limit)
            break
    assert made is not None, f"no cgroup with the controller {controller} can be made here: /sys/fs/cgroup has to be writable"
    try:
        for swap in ("memory.swap.max", "memory.swappiness"):  # v2's and v1's: what is too much must not go to the disk instead
            if (made.path / swap).exists():
                (made.path / swap).write_text("0")
        made.allow(most)
        yield made
        made.wait_empty()
    finally:
        made.allow(1 << 40 if controller == "memory" else "max")
        for pid in made.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        made.wait_empty()
        made.path.rmdir()
