"""`lab VERB ...`: finds the verb's module, and turns errors into one message and an exit status."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence

import lab
from lab.errors import LabError
from lab.fabric import neighbours

VERBS = {
    "list": "lab.cli.list",
    "run": "lab.cli.run",
    "up": "lab.cli.up",
    "down": "lab.cli.down",
    "ps": "lab.cli.ps",
    "inspect": "lab.cli.inspect",
    "get": "lab.cli.get",
    "exec": "lab.cli.exec",
    "shell": "lab.cli.shell",
    "trace": "lab.cli.trace",
    "capture": "lab.cli.capture",
    "kubectl": "lab.cli.kubectl",
    "daemon": "lab.cli.daemon",
    "fault": "lab.cli.fault",
    "logs": "lab.cli.logs",
    "goto": "lab.cli.goto",
    "web": "lab.cli.web",
    "challenge": "lab.cli.challenge",
    "check": "lab.cli.check",
    "plan": "lab.cli.plan",
    "graph": "lab.cli.graph",
    "doctor": "lab.cli.doctor",
}
"""Verb -> module with `add_parser(subparsers)`, which sets `run(args) -> int` as the parser's default for `run`."""

SENDING = frozenset(("run", "up", "exec", "trace", "goto", "challenge", "check"))
"""Verbs that fail when packets are lost."""


def main(argv: Sequence[str]) -> int:
    """Run one command line and return its exit status (0, 1, 2, 3 as in the manual; of `exec`, the command's own)."""
    before = neighbours.look() if argv and argv[0] in SENDING else None
    status = _main(argv)
    if status and (why := neighbours.words(before, neighbours.look())):
        print(f"lab: {why}", file=sys.stderr)
    return status


def _main(argv: Sequence[str]) -> int:
    try:
        args = _parser(argv).parse_args(_literal(argv))
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _forget_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        _forget_output()
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _literal(argv: Sequence[str]) -> Sequence[str]:
    """kubectl's words pass through as they are."""
    if argv[:1] != ["kubectl"]:
        return argv
    from lab.cli import kubectl

    return kubectl.literal(argv)


def _forget_output() -> None:
    """What is still buffered cannot be written any more; without this Python would complain about it at the very end."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def console() -> None:
    """The console script `lab`, and `python -m lab`.

    Until there is something to take away, Ctrl-C ends the process as the kernel does it: an interruption in the middle of an import has
    no words for people. The lab process and `lab up` install Python's handler again. Until then there is no garbage to collect either,
    only imports: looking for it among them costs a tenth of their time. A boot turns the collector on at its end.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser. Only the module of the verb in use is imported, all of them for `lab --help` or a wrong verb."""
    parser = argparse.ArgumentParser(
        prog="lab",
        description="A Kubernetes network on this machine: real kernel, real daemons, no containers.",
        epilog="exit status: 0 all checks held; 1 a check failed; 2 wrong usage or input; 3 this machine cannot run it",
    )
    parser.add_argument("--version", action="version", version=f"lab {lab.__version__}")
    subparsers = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    first = argv[0] if argv else ""
    wanted = [VERBS[first]] if first in VERBS else [] if first == "--version" else list(VERBS.values())
    for module in wanted:
        importlib.import_module(module).add_parser(subparsers)
    return parser
