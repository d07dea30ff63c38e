"""`lab kubectl ...`: the machine's own kubectl, on the master of a lab that is up."""

from __future__ import annotations

import argparse
import os
import shutil
from typing import Any

from lab.cli.exec import in_machine
from lab.errors import MachineError
from lab.fabric import process

HOW_TO_GET_IT = (
    "kubectl is not on this machine. It is one program without dependencies: https://kubernetes.io/docs/tasks/tools/ tells where to get it;\n"
    "put it on the PATH. Without it, `lab get pods` (nodes, svc, endpoints) prints the same tables."
)


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("kubectl", help="kubectl on the master of a lab that is up", add_help=False)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="kubectl's words; `--lab NAME` before them says which lab")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become kubectl's parent, in the caller's directory, so that `-f FILE` means the same as outside."""
    name, words = chosen(args.words)
    if shutil.which("kubectl", path=process.environment()["PATH"]) is None:
        raise MachineError(HOW_TO_GET_IT)
    return in_machine(name, "", ["kubectl", *words], os.getcwd())


def chosen(words: list[str]) -> tuple[str | None, list[str]]:
    """The lab that `--lab NAME` or `--lab=NAME` in front names, and kubectl's words."""
    if words[:1] == ["--lab"] and len(words) > 1:
        return words[1], words[2:]
    if words and words[0].startswith("--lab="):
        return words[0].removeprefix("--lab="), words[1:]
    return None, words
