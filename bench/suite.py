"""What a scenario costs in CI: the scenario suite, `lab run` with every scenario in one process, several times.

    python bench/suite.py [--runs N] [--json] [SCENARIO ...]

Prints the median, the least and the most of N runs (10), of the whole process, and of each scenario as the report of the run has it, boot and steps;
what the runs' processes computed, as far as the operating system counts it in the end. Without names all scenarios of `lab list` run. A run
that fails ends the bench: figures of a failing lab mean nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.run import ENVIRONMENT


def whole(scenarios: list[str]) -> dict[str, Any]:
    """One run: its seconds from outside, its CPU, and the seconds of each scenario. Raises SystemExit when it fails."""
    argv = [sys.executable, "-m", "lab", "run", *(scenarios or ["--all"]), "--format", "json"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ran = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    seconds, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        raise SystemExit(f"the run failed with status {ran.returncode}; figures of a failing lab mean nothing\n{_failures(ran.stdout)}{ran.stderr}")
    each = {run["scenario"]: run["boot_seconds"] + sum(step["seconds"] or 0.0 for step in run["steps"]) for run in json.loads(ran.stdout)["runs"]}
    return {"seconds": seconds, "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, "scenarios": each}


def _failures(report: str) -> str:
    """What the steps that failed have of their commands and checks, as JSON; all of the report when it is no report."""
    try:
        steps = [(run["scenario"], step) for run in json.loads(report)["runs"] for step in run["steps"]]
    except (ValueError, KeyError):
        return report
    return "".join(f"{name}: {json.dumps(step, ensure_ascii=False, indent=1)}\n" for name, step in steps if step["status"] in ("failed", "error"))


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Medians, the least and the most."""
    yield f"{'':24} {'median':>8} {'least':>8} {'most':>8}  s, of {len(runs)} runs"
    rows = {"the suite": [run["seconds"] for run in runs], "CPU of it": [run["cpu"] for run in runs]}
    for name, times in (rows | {name: [run["scenarios"][name] for run in runs] for name in runs[0]["scenarios"]}).items():
        yield f"{name:24} {statistics.median(times):8.2f} {min(times):8.2f} {max(times):8.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true", help="every run's figures as one JSON document")
    args = parser.parse_args()
    runs = [whole(args.scenarios) for _ in range(args.runs)]
    print(json.dumps({"median": statistics.median(run["seconds"] for run in runs), "runs": runs}, indent=2) if args.json else "\n".join(table(runs)))


if __name__ == "__main__":
    main()
