"""Runs killed with SIGKILL at random moments, whoever it meets: nothing is left on the host, and whoever is left says what happened."""

from __future__ import annotations

import itertools
import os
import random
import time
from collections import Counter

import pytest

from tests.hoststate import MARK, SETTLING, difference, host_state, marked_processes
from tests.survival import killing

pytestmark = pytest.mark.e2e

SHORT, FULL = 3, 500


def _left_behind(before: dict[str, object]) -> dict[str, object]:
    """What is different once the kernel has had its time, and the processes that are left; empty when nothing is."""
    deadline = time.monotonic() + SETTLING
    while True:
        changed: dict[str, object] = {**difference(before, host_state())}
        if processes := marked_processes(os.environ[MARK]):
            changed["processes"] = processes
        if not changed or time.monotonic() > deadline:
            return changed


def test_a_run_that_is_killed_at_a_random_moment_leaves_nothing(
    full: bool, dice: random.Random, pytestconfig: pytest.Config
) -> None:
    runs = pytestconfig.getoption("--kills") or (FULL if full else SHORT)
    longest = killing.length() if runs > SHORT else 5.0
    before = host_state()
    victims: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    wrong = []
    for number, victim in zip(range(runs), itertools.cycle(killing.VICTIMS), strict=False):
        one = killing.kill_one(dice, victim, 1.2 * longest)
        victims[one.victim] += 1
        statuses[one.status] += 1
        if left := _left_behind(before):
            wrong.append(f"run {number}, {one}, left {left}")
            before = host_state()
        if "Traceback" in one.stderr:
            wrong.append(f"run {number}, {one}: a traceback")
        if one.status == 2 or one.status == 0 and one.victim in ("the front", "PID 1"):
            wrong.append(f"run {number}, {one}: says that all is well, or that somebody has typed something wrong")
        if number % 25 == 24:
            print(f"{number + 1} killed; {len(wrong)} wrong; {dict(victims)}", flush=True)
    print(f"killed: {dict(victims)}; statuses: {dict(statuses)}")
    assert not wrong, "\n".join(wrong)
