"""`lab doctor`: what this machine has, what it lacks, how to get it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

from lab.cli import terminal
from lab.errors import MachineError

WORDS = {
    "en": {
        "ok": "ok",
        "missing": "MISSING",
        "absent": "absent",
        "good": "This machine can run the lab.",
        "bad": "This machine cannot run the lab yet:",
    },
    "zh": {
        "ok": "正常",
        "missing": "缺少",
        "absent": "没有",
        "good": "这台机器可以运行本实验。",
        "bad": "这台机器还不能运行本实验：",
    },
}
VERSION_FLAGS = {
    "ip": "-V", "bridge": "-V", "ss": "-V", "etcdctl": "version", "nginx": "-v", "ping": "-V", "ps": "-V", "sysctl": "-V", "route": "-V",
    "ifconfig": "-V", "mnexec": "-v",
}  # fmt: skip
"""How to ask for a version, where it is not --version."""


@dataclass(frozen=True)
class Row:
    """One line of the report. `state`: ok, missing (required) or absent (optional)."""

    kind: str
    name: str
    state: str
    version: str
    why: str
    how: str


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("doctor", help="what this machine has, what it lacks, how to get it")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language())
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything, print it, and return 3 if something required is missing."""
    rows = [*_programs(), *_privileges(), *_features()]
    bad = [row for row in rows if row.state == "missing"]
    if args.format == "json":
        print(json.dumps({"ok": not bad, "rows": [asdict(row) for row in rows]}, indent=2))
    else:
        _print(rows, bad, args.lang)
    return MachineError.status if bad else 0


def _print(rows: list[Row], bad: list[Row], language: str) -> None:
    from lab.report.layout import pad

    words = WORDS[language]
    for row in rows:
        print(f"{row.kind:10} {row.name:22} {pad(words[row.state], 8)} {row.version or row.why}")
    print("\n" + words["bad" if bad else "good"])
    for row in bad:
        print(f"  - {row.name} ({row.why}): {row.how}")


def _programs() -> list[Row]:
    from lab.fabric import requirements

    rows = []
    for program in requirements.programs():
        path = requirements.find(program.name)
        state = "ok" if path else ("missing" if program.need == "run" else "absent")
        version = _version(program.name, path) if path else ""
        rows.append(Row("program", program.name, state, version, program.why, requirements.how_to_get(program)))
    return rows


def _version(name: str, path: str) -> str:
    """The first line that the program says about itself; empty when it says none."""
    try:
        ran = subprocess.run(
            [path, VERSION_FLAGS.get(name, "--version")],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10, check=False, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    said = (ran.stdout or ran.stderr).strip().splitlines()
    return said[0][:80] if said else ""


def _privileges() -> list[Row]:
    from lab.fabric import host, requirements

    host.load_modules()
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}, by a user namespace"
    rows = [Row("privilege", "who runs it", "ok", who, "", "")]
    rows += [Row("privilege", one.what, "missing", "", "the lab cannot start", one.how) for one in requirements.missing_privileges()]
    rows.append(Row("python", "interpreter", "ok", sys.version.split()[0], "", ""))
    return rows


def _features() -> list[Row]:
    from lab.fabric import probes

    rows = []
    for finding in probes.probe():
        feature = finding.feature
        state = "ok" if not finding.trouble else ("missing" if feature.required else "absent")
        rows.append(Row("kernel", feature.name, state, "", feature.why, feature.how if not finding.trouble else f"{feature.how} ({finding.trouble})"))
    return rows
