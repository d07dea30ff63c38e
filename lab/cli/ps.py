"""`lab ps`: the labs of this user that stay in the background."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from lab.errors import LabError
from lab.fabric import logfiles, registry

_PATIENCE = 1.0
"""Seconds for a lab to tell its faults; one that boots or traces tells none."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("ps", help="the labs that are up")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print one line a lab, crashed ones too."""
    known = list(registry.entries())
    if args.format == "json":
        print(json.dumps([_row(entry) for entry in known], indent=2))
        return 0
    print(f"{'NAME':20} {'FROM':20} {'STATE':8} {'PID':>8} {'UP FOR':>10}")
    for entry in known:
        row = _row(entry)
        print(f"{row['name']:20} {row['source']:20} {row['state']:8} {row['pid']:>8} {row['seconds']:>8} s")
        for fault in row["faults"]:
            print(f"    broken on purpose: {fault}")
        if row["state"] == "crashed":
            words = logfiles.last_words(entry.log) or ["nothing, as after SIGKILL or a crash of this machine"]
            print("    its last words: " + "\n                    ".join(words))
            print(f"    `lab logs -n {entry.name} MACHINE` shows what its daemons wrote; `lab down {entry.name}` takes the rest away")
    return 0


def _row(entry: registry.Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "source": entry.source,
        "state": "up" if entry.running else "crashed",
        "pid": entry.pid,
        "seconds": int(time.time() - entry.since),
        "faults": _faults(entry) if entry.running else [],
        "lastWords": [] if entry.running else logfiles.last_words(entry.log),
    }


def _faults(entry: registry.Entry) -> list[str]:
    """What is broken on purpose in a lab that answers."""
    from lab.cluster import control

    try:
        answer, _ = control.ask(entry.socket, {"verb": "fault"}, timeout=_PATIENCE)
    except LabError:
        return []
    return [f"{one['machine']} {one['text']}" for one in answer["faults"]]
