"""`lab exec WHO -- CMD...`: run a command in a machine of a lab that is up, as if it were local."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from typing import Any

from lab.errors import UsageError
from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("exec", help="run a command in a node, pod or client; its exit status is the result")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("who", metavar="WHO", help="a machine's name, or the beginning of it")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- CMD...", help="the command")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Join the machine's namespaces and become its command's parent."""
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise UsageError("say what to run: lab exec WHO -- CMD...; `lab shell WHO` opens a shell")
    return in_machine(args.name, args.who, command)


def in_machine(name: str | None, who: str, command: list[str], directory: str = "", more: Mapping[str, str] | None = None) -> int:
    """Run `command` in machine `who` of lab `name`, on this terminal. The exit status, 127 when there is no such command.

    who         nothing: the master
    directory   where to run it; nothing: where a login would begin
    more        variables beside those of the machine
    """
    from lab.cluster import control
    from lab.fabric import process

    answer, descriptors = control.ask(registry.pick(name).socket, {"verb": "enter", "who": who})
    login = "/" if answer["kind"] == "pod" else process.home()
    return control.enter(descriptors, command, directory or login, environment_of(answer["environment"]) | dict(more or {}))


def environment_of(pods: Mapping[str, str] | None) -> dict[str, str]:
    """What a command finds: a login's environment, or in a pod that of its first container (`pods`), and the terminal's name."""
    from lab.fabric import process

    if pods is None:
        return process.environment()
    terminal = {"TERM": os.environ["TERM"]} if os.environ.get("TERM") else {}
    return process.container_environment(terminal | dict(pods))
