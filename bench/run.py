"""How long `lab run SCENARIO` takes as a whole process, and where the time goes.

    python bench/run.py [--runs N] [SCENARIO]

Prints the median, the least and the most of N runs after one that warms the disk's cache; the phases are those of the median run.
Writes nothing and judges nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from typing import Any


def measure(scenario: str) -> tuple[float, dict[str, Any]]:
    """Seconds of one run from outside, and what it reported of itself."""
    begun = time.monotonic()
    ran = subprocess.run([sys.executable, "-m", "lab", "run", scenario, "--format", "json"], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begun
    if ran.returncode != 0:
        raise SystemExit(f"the run failed with status {ran.returncode}; figures of a failing lab mean nothing\n{ran.stderr}")
    report: dict[str, Any] = json.loads(ran.stdout)["runs"][0]
    return seconds, report


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="?", default="nginx-service")
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    measure(args.scenario)
    runs = sorted((measure(args.scenario) for _ in range(args.runs)), key=lambda run: run[0])
    walls = [seconds for seconds, _ in runs]
    print(f"lab run {args.scenario}: {statistics.median(walls):.2f} s median of {args.runs}, {walls[0]:.2f} to {walls[-1]:.2f}")
    seconds, report = runs[len(runs) // 2]
    steps = sum(step["seconds"] or 0.0 for step in report["steps"])
    print(f"  {'interpreter, imports, sandbox':36} {seconds - report['boot_seconds'] - steps:6.2f} s")
    for stage in report["boot"]:
        print(f"  boot: {stage['what']:30} {stage['seconds']:6.2f} s")
    for step in sorted(report["steps"], key=lambda step: -(step["seconds"] or 0.0)):
        print(f"  step: {step['key']:30} {step['seconds'] or 0.0:6.2f} s")


if __name__ == "__main__":
    main()
