"""Kills runs of the lab at random moments and looks for anything they left on this machine.

    python bench/survival.py [--runs N] [--seed S] [--green]

--green runs the scenario to its end after every kill, and counts the runs that were not green. Needs root. Exits 1 when anything was left.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.hoststate import MARK, SETTLING, host_state, marked_processes

COMMAND = [sys.executable, "-m", "lab", "run", "nginx-service"]


def kill_one(dice: random.Random, longest: float) -> float:
    """Start a run and kill its first process at a random moment. Seconds it lived."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    moment = dice.uniform(0.0, longest)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return moment


def left_behind(before: dict[str, object]) -> dict[str, object]:
    """What is different from `before`, once the kernel has had its time, and the processes that are left; empty when nothing is."""
    deadline = time.monotonic() + SETTLING
    while True:
        now, processes = host_state(), marked_processes(os.environ[MARK])
        if (now == before and not processes) or time.monotonic() > deadline:
            changed: dict[str, object] = {key: (before[key], value) for key, value in now.items() if value != before[key]}
            return {**changed, **({"processes": processes} if processes else {})}


def main() -> int:
    """Kill, look, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--green", action="store_true")
    args = parser.parse_args()
    dice = random.Random(args.seed)
    os.environ[MARK] = uuid.uuid4().hex
    begun = time.monotonic()
    if subprocess.run(COMMAND, capture_output=True, check=False).returncode != 0:
        raise SystemExit("the scenario is not green to begin with")
    longest = 1.2 * (time.monotonic() - begun)
    before, dirty, red = host_state(), 0, 0
    for number in range(1, args.runs + 1):
        moment = kill_one(dice, longest)
        left = left_behind(before)
        if left:
            dirty += 1
            print(f"run {number}, killed after {moment:.2f} s, left {left}")
            before = host_state()
        if args.green and subprocess.run(COMMAND, capture_output=True, check=False).returncode != 0:
            red += 1
            print(f"the run after number {number} was not green")
    print(f"{args.runs} runs killed within {longest:.1f} s (seed {args.seed}): {dirty} left something, {red} of the runs after were not green")
    return 1 if dirty or red else 0


if __name__ == "__main__":
    sys.exit(main())
