"""`lab kubectl ...`: the machine's own kubectl, on the master of a lab that is up."""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from typing import Any

from lab.cli.exec import in_machine
from lab.errors import MachineError
from lab.fabric import process, requirements

EDITORS = ("KUBE_EDITOR", "EDITOR")
"""Variables of the caller's that kubectl may see: they name what `kubectl edit` opens."""

WITHOUT_IT = "Without it, `lab get pods` (nodes, svc, endpoints) prints the same tables."


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("kubectl", help="kubectl on the master of a lab that is up", add_help=False)
    parser.add_argument("--lab", metavar="NAME", help="which lab; needed when several are up; before kubectl's own words")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="...", help="kubectl's words")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Become kubectl's parent, in the caller's directory, so that `-f FILE` means the same as outside."""
    if shutil.which("kubectl", path=process.environment()["PATH"]) is None:
        (program,) = (one for one in requirements.programs() if one.name == "kubectl")
        raise MachineError(f"kubectl is not on this machine: {requirements.how_to_get(program)}.\n{WITHOUT_IT}")
    words = args.words[1:] if args.words[:1] == ["--"] else args.words
    editor = {name: os.environ[name] for name in EDITORS if name in os.environ}
    return in_machine(args.lab, "", ["kubectl", *words], os.getcwd(), editor)


def literal(argv: Sequence[str]) -> list[str]:
    """The command line with `--` before kubectl's words, which are not ours to understand: `lab kubectl -n kube-system get pods`."""
    count = 3 if argv[1:2] == ["--lab"] else 2 if argv[1:2] and argv[1].startswith("--lab=") else 1
    return [*argv[:count], "--", *argv[count:]]
