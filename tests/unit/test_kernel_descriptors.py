"""Which descriptors a forked daemon keeps: only those it is told to, however high their numbers are."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
from lab.fabric import kernel
if sys.argv[1] == "without the call":
    kernel._SYS_CLOSE_RANGE = 100_000
files = [os.open("/dev/null", os.O_RDONLY) for _ in range(40)]
os.dup2(files[0], 900)
kernel.close_from(3, [1, files[7], files[20], files[21]])
print([number - files[0] for number in map(int, os.listdir("/proc/self/fd")) if number >= files[0] and os.path.exists(f"/proc/self/fd/{number}")])
"""


@pytest.mark.parametrize("way", ["with the call", "without the call"])
def test_every_descriptor_is_closed_but_the_named(way: str) -> None:
    """The second way is that of a kernel before 5.9: a number that no system call has."""
    argv, env = [sys.executable, "-c", _PROGRAM, way], {**os.environ, "PYTHONPATH": os.getcwd()}
    said = subprocess.run(argv, capture_output=True, text=True, check=True, env=env, timeout=30)
    assert said.stdout.strip() == "[7, 20, 21]"
