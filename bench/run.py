"""How long `lab run SCENARIO` takes as a whole process, and where the time goes.

    python bench/run.py [--runs N] [--json] [SCENARIO]

Prints the median, the least and the most of N runs after one that warms the disk's cache and lets Python keep its bytecode, as it does for
everybody but those who forbid it. The phases are those of the median run; what lies before its boot is all but the interpreter's own start
and the end, which are measured by themselves. Judges nothing. A busy machine shows in the distance between the least and the most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
SIDE_RUNS = 3
"""Runs for what is measured by itself."""


@dataclass(frozen=True)
class Phase:
    """A part of the run: what it belongs to, its name, its seconds."""

    part: str
    name: str
    seconds: float


def lab(scenario: str, form: str) -> list[str]:
    """The command line that is measured."""
    return [sys.executable, "-m", "lab", "run", scenario, "--format", form]


def interpreter() -> float:
    """Seconds of a Python that does nothing."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], env=ENVIRONMENT, check=True)
    return time.monotonic() - begun


def whole(scenario: str) -> tuple[float, dict[str, Any]]:
    """Seconds of one run from outside, and what it reported of itself."""
    begun = time.monotonic()
    ran = subprocess.run(lab(scenario, "json"), env=ENVIRONMENT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if ran.returncode != 0:
        raise SystemExit(f"the run failed with status {ran.returncode}; figures of a failing lab mean nothing\n{ran.stderr}")
    report: dict[str, Any] = json.loads(ran.stdout)["runs"][0]
    return seconds, report


def down(scenario: str) -> float:
    """Seconds from a run's last word, which it says while the lab is still up, until the prompt is back."""
    with subprocess.Popen(lab(scenario, "text"), env=ENVIRONMENT, stdout=subprocess.PIPE) as running:
        said = time.monotonic()
        assert running.stdout is not None
        for _ in running.stdout:
            said = time.monotonic()
        running.wait()
        return time.monotonic() - said


def phases(seconds: float, report: dict[str, Any], start: float, end: float) -> Iterator[Phase]:
    """The parts of a run that took `seconds`, in their order. They add up to it."""
    steps = sum(step["seconds"] or 0.0 for step in report["steps"])
    yield Phase("start", "interpreter", start)
    yield Phase("start", "imports, reading, sandbox", seconds - start - report["boot_seconds"] - steps - end)
    for stage in report["boot"]:
        yield Phase("boot", stage["what"], stage["seconds"])
    yield Phase("boot", "between the stages", report["boot_seconds"] - sum(stage["seconds"] for stage in report["boot"]))
    for step in report["steps"]:
        yield Phase("steps", step["key"], step["seconds"] or 0.0)
    yield Phase("end", "taking it down", end)


def table(found: list[Phase]) -> Iterator[str]:
    """A line a part with its sum, and below it a line for each of its phases."""
    for part in dict.fromkeys(one.part for one in found):
        inside = [one for one in found if one.part == part]
        yield f"{part:44} {sum(one.seconds for one in inside):6.2f} s"
        yield from (f"    {one.name:40} {one.seconds:6.2f}" for one in inside)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="nginx-service")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    args = parser.parse_args()
    whole(args.scenario)
    start = statistics.median(interpreter() for _ in range(SIDE_RUNS))
    end = statistics.median(down(args.scenario) for _ in range(SIDE_RUNS))
    runs = sorted((whole(args.scenario) for _ in range(args.runs)), key=lambda run: run[0])
    walls = [seconds for seconds, _ in runs]
    found = list(phases(*runs[len(runs) // 2], start, end))
    figures = {"scenario": args.scenario, "runs": args.runs, "median": statistics.median(walls), "least": walls[0], "most": walls[-1]}
    if args.json:
        print(json.dumps(figures | {"phases": [asdict(one) for one in found]}, indent=2))
        return
    print("lab run {scenario}: {median:.2f} s median of {runs}, {least:.2f} to {most:.2f}".format(**figures))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()
