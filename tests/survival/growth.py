"""What the kernel still holds of a program that has ended, counted apart from everything else on the machine.

Counting objects of the whole kernel (/proc/slabinfo) tells nothing: whatever else runs makes thousands of them a second, processors keep some in
caches of their own, and much is freed only after a delay. So the program runs in a memory cgroup: the kernel charges to it what it makes for it,
and takes that off again when it frees it. When the program has ended and the last delay is over nothing is left, unless something leaks.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.waiting import until

DELAY = 600.0
"""Seconds until the kernel has freed everything: it holds some of a network namespace's objects for more than a minute after its end, and for
several when its processors have other work. 200 labs that kept 17 MiB at their end kept 12 KiB five minutes later."""


class Account:
    """A memory cgroup for the processes that `join`, and what the kernel holds for them."""

    def __init__(self) -> None:
        self._place, self._file = _parent()
        self._place = self._place / f"lab-survival-{os.getpid()}"
        self._place.mkdir()

    def join(self) -> None:
        """Have the calling process, and what it starts from now on, charged to it."""
        (self._place / "cgroup.procs").write_text(str(os.getpid()))

    def kilobytes(self) -> int:
        """The kernel's memory: objects, stacks, page tables, per-processor data."""
        text = (self._place / self._file).read_text()
        if self._file == "memory.stat":
            text = dict(line.split() for line in text.splitlines())["kernel"]
        return int(text) >> 10

    def settle(self, most: int) -> float:
        """Wait until not more than `most` KiB are left; the seconds that it took. Raises AssertionError when more stays."""
        begun = time.monotonic()
        try:
            until(lambda: self.kilobytes() <= most, f"the end of all but {most} KiB in the kernel", DELAY)
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {self.kilobytes()} KiB") from None
        return time.monotonic() - begun

    def close(self) -> None:
        """Take it away; nothing may run in it any more."""
        self._place.rmdir()


def _parent() -> tuple[Path, str]:
    """Where a cgroup can be made whose kernel memory is counted, and the file that has the count. Version 1 beside the caller's, or version 2."""
    groups = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    old = Path("/sys/fs/cgroup/memory")
    if "memory" in groups:
        return _existing(old, groups["memory"]), "memory.kmem.usage_in_bytes"
    return _existing(Path("/sys/fs/cgroup"), str(Path(groups[""]).parent)), "memory.stat"


def _existing(root: Path, below: str) -> Path:
    """The cgroup as this mount shows it; its root where a container shows another part of the tree."""
    place = root / below.strip("/")
    return place if place.is_dir() else root
