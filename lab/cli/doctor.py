"""`lab doctor`: what this machine has, what it lacks, how to get it."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lab.cli import terminal
from lab.errors import MachineError
from lab.model.columns import pad
from lab.model.text import Text
from lab.report.words import Language, pick

OK, MISSING, ABSENT = "ok", "missing", "absent"
WORDS = {
    OK: Text("ok", "正常"),
    MISSING: Text("MISSING", "缺少"),
    ABSENT: Text("absent", "没有"),
    "program": Text("program", "程序"),
    "python": Text("python", "Python"),
    "privilege": Text("privilege", "权限"),
    "kernel": Text("kernel", "内核"),
}
NEIGHBOURS = Text(
    "room that all labs share for what ARP has found; {} found none since the machine started",
    "所有实验共用的 ARP 邻居表的容量；开机以来有 {} 个邻居没有位置",
)
GOOD = Text("This machine can run the lab.", "这台机器可以运行本实验。")
BAD = Text("This machine cannot run the lab yet:", "这台机器还不能运行本实验：")
OPTIONAL = Text("The lab runs without these:", "没有下面这些也能运行：")

VERSION_FLAGS = {
    "ip": "-V", "bridge": "-V", "ss": "-V", "etcdctl": "version", "nginx": "-v", "ping": "-V", "ps": "-V", "sysctl": "-V", "route": "-V",
    "ifconfig": "-V", "mnexec": "-v",
}  # fmt: skip
"""How to ask for a version, where it is not --version."""

_VERSION = re.compile(r"(?<![\w.])v?(\d+(?:[.+-]\w+)+|\d{6,8})")


@dataclass(frozen=True)
class Row:
    """One line of the report.

    kind   program, python, privilege or kernel
    state  ok, missing (required) or absent (optional)
    """

    kind: str
    name: str
    state: str
    version: str
    why: Text
    how: str


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("doctor", help="what this machine has, what it lacks, how to get it")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language())
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look at everything, print it, and return 3 if something required is missing."""
    rows = [*_programs(), *_python(), *_privileges(), *_features()]
    ok = all(row.state != MISSING for row in rows)
    if args.format == "json":
        print(json.dumps({"ok": ok, "rows": [asdict(row) for row in rows]}, indent=2, ensure_ascii=False))
    else:
        print(report(rows, args.lang))
    return 0 if ok else MachineError.status


def report(rows: Sequence[Row], language: Language) -> str:
    """The report for people: a table of everything, then what is missing and how to get it. Pure."""
    lines = [_line(row, language) for row in rows]
    for state, title in ((MISSING, BAD), (ABSENT, OPTIONAL)):
        found = [row for row in rows if row.state == state]
        if found:
            lines += ["", pick(title, language)]
            lines += [f"  - {row.name} ({pick(row.why, language)}): {row.how}" for row in found]
    if all(row.state != MISSING for row in rows):
        lines += ["", pick(GOOD, language)]
    return "\n".join(lines)


def _line(row: Row, language: Language) -> str:
    kind, state = pick(WORDS[row.kind], language), pick(WORDS[row.state], language)
    return f"{pad(kind, 9)}  {pad(row.name, 18)}  {pad(state, 7)}  {pad(row.version, 16)}  {pick(row.why, language)}".rstrip()


def version_in(text: str) -> str:
    """The first version number in what a program says about itself; empty when there is none. Pure."""
    found = _VERSION.search(text)
    return found[1] if found else ""


def _programs() -> list[Row]:
    from lab.fabric import requirements

    rows = []
    for program in requirements.programs():
        path = requirements.find(program.name)
        state = OK if path else (MISSING if program.need == "run" else ABSENT)
        version = _version(program.name, path) if path else ""
        rows.append(Row("program", program.name, state, version, program.why, requirements.how_to_get(program)))
    return rows


def _version(name: str, path: str) -> str:
    """What the program says; empty when it says no number, or nothing within a few seconds."""
    try:
        ran = subprocess.run(
            [path, VERSION_FLAGS.get(name, "--version")],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=5, check=False, errors="replace",
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return version_in(ran.stdout) or version_in(ran.stderr)


def _python() -> list[Row]:
    from importlib import metadata

    from lab.fabric import requirements

    why = Text("the lab is written in it", "本实验用它编写")
    rows = [Row("python", "interpreter", OK, sys.version.split()[0], why, "")]
    for package, what in (requirements.PYTHON_PACKAGES | requirements.PYTHON_EXTRAS).items():
        try:
            state, version = OK, metadata.version(package)
        except metadata.PackageNotFoundError:
            state, version = MISSING if package in requirements.PYTHON_PACKAGES else ABSENT, ""
        rows.append(Row("python", package, state, version, what, f"`./lab.sh setup`, or `{sys.executable} -m pip install {package}`"))
    return rows


def _privileges() -> list[Row]:
    from lab.fabric import container, host, kernel, requirements

    host.load_modules()
    apart = Text("an ordinary user, by a user namespace", "普通用户，借助用户命名空间")
    if os.geteuid() == 0:
        apart = Text("root without CAP_SYS_ADMIN, by a user namespace", "没有 CAP_SYS_ADMIN 的 root，借助用户命名空间")
    who = Text("as root", "以 root 身份") if kernel.may_administer() else apart
    rows = [Row("privilege", f"uid {os.geteuid()}", OK, "", who, "")]
    if engine := container.detect():
        inside = Text("this is a container: what it lacks, its engine or the host must give", "这是一个容器：缺少的东西要由容器引擎或宿主机提供")
        rows.append(Row("privilege", engine, OK, "", inside, ""))
    lost = Text("the lab cannot start", "本实验无法启动")
    rows += [Row("privilege", one.what, MISSING, "", lost, one.how) for one in requirements.missing_privileges()]
    return rows


def _features() -> list[Row]:
    from lab.fabric import neighbours, probes

    rows = []
    for finding in probes.probe():
        feature = finding.feature
        state = OK if not finding.trouble else (MISSING if feature.required else ABSENT)
        how = f"{feature.how} ({finding.trouble})" if finding.trouble else feature.how
        rows.append(Row("kernel", feature.name, state, "", feature.why, how))
    if table := neighbours.look():
        why = Text(NEIGHBOURS.en.format(table.overflows), NEIGHBOURS.zh.format(table.overflows))
        rows.append(Row("kernel", "neighbours", OK, str(table.limit), why, neighbours.HOW))
    return rows
