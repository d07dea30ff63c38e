"""Kills a process of a run of the lab at a random moment: its front, its PID 1, or any process inside."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.lab import start
from tests.waiting import until

SCENARIO = "nginx-service"
VICTIMS = ("front", "PID 1", "any")
PATIENCE = 180.0
"""Seconds in which a run ends, whatever was killed in it."""


@dataclass(frozen=True)
class Killed:
    """One run: who was killed, after how many seconds, and how the run ended."""

    victim: str
    moment: float
    status: int
    stderr: str


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _below(pid: int) -> list[int]:
    found = _children(pid)
    return found + [one for child in found for one in _below(child)]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "gone"


def _kill(front: int, victim: str, dice: random.Random) -> str:
    """SIGKILL; who it was. The front itself where the wanted one is not there yet."""
    inside = _below(front)
    chosen = dice.choice(inside) if victim == "any" and inside else inside[0] if victim == "PID 1" and inside else front
    name = {front: "the front", **({inside[0]: "PID 1"} if inside else {})}.get(chosen, _name(chosen))
    try:
        os.kill(chosen, signal.SIGSTOP)  # what stands still cannot end by itself before it is killed
        until(lambda: _state(chosen) in "TtZX", f"the stop of {name}")
        if _state(chosen) in "ZX":
            return f"{name} (gone already)"
        os.kill(chosen, signal.SIGKILL)
    except ProcessLookupError:
        name += " (gone already)"
    return name


def _state(pid: int) -> str:
    """The letter of proc(5): T for stopped, Z for ended; X where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def kill_one(dice: random.Random, victim: str, longest: float) -> Killed:
    """Start a run, kill somebody in it within `longest` seconds, and wait for its end."""
    run = start("run", SCENARIO, start_new_session=True, stdout=subprocess.DEVNULL)
    moment = dice.uniform(0.0, longest)
    name = "nobody"
    try:
        run.wait(moment)
    except subprocess.TimeoutExpired:
        name = _kill(run.pid, victim, dice)
    try:
        _, stderr = run.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        run.kill()
        run.communicate()
        raise AssertionError(f"a run in which {name} was killed after {moment:.2f} s had not ended {PATIENCE:g} s later") from None
    return Killed(name, moment, run.returncode, stderr)


def length() -> float:
    """Seconds that a run takes here that nobody kills. It has to be green."""
    begun = time.monotonic()
    run = start("run", SCENARIO, start_new_session=True)
    out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, out + err
    return time.monotonic() - begun
