"""`lab shell WHO`: an interactive shell in a machine of a lab that is up."""

from __future__ import annotations

import argparse
from typing import Any

from lab.cli.exec import in_machine

PROMPT = r"\u@\h:\w# "


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("shell", help="an interactive shell in a node, pod or client")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("who", metavar="WHO", help="a machine's name, or the beginning of it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """bash without the user's start files, whose prompt and aliases belong to another machine."""
    return in_machine(args.name, args.who, ["bash", "--norc", "-i"], more={"PS1": PROMPT})
