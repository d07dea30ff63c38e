"""The cloud as a daemon of the router: `python -m lab.cloud aws-vpc --node NAME=ADDRESS/LENGTH ...` starts it by hand."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from ipaddress import IPv4Interface
from typing import NoReturn

from lab.cloud import web
from lab.cloud.needs import KINDS
from lab.cloud.router import Router
from lab.cloud.routes import Machine
from lab.errors import BootError, LabError, UsageError


def main(argv: Sequence[str]) -> int:
    """Serve until killed; returns the exit status when it cannot. Writes its log to stderr."""
    try:
        args = _parser().parse_args(list(argv))
    except UsageError as error:
        _log(str(error))
        return error.status
    return run(args.kind, args.node)


def run(kind: str, machines: Sequence[Machine]) -> int:
    """Be the cloud of these machines until killed; returns the exit status when it cannot."""
    try:
        _serve(kind, machines)
    except LabError as error:
        _log(str(error))
        return error.status
    return 0


def _serve(kind: str, machines: Sequence[Machine]) -> None:
    if not machines:
        raise UsageError("a cloud needs machines: name at least one with --node NAME=ADDRESS/LENGTH")
    app: web.App
    if kind == "aws-vpc":
        from lab.cloud import aws

        router = Router(aws.CHAIN, _log)
        router.set_up()
        app = aws.Aws(machines, router)
    else:
        from lab.cloud import gce

        router = Router(gce.CHAIN, _log)
        router.set_up()
        app = gce.Gce(machines, router)
    try:
        server = web.server(app, _log)
    except OSError as error:
        raise BootError(f"cannot listen on port {web.PORT}: {error.strerror}; is another cloud running here?") from error
    _log(f"{kind}: ready, {len(machines)} machines")
    server.serve_forever()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"lab.cloud: {message}; `python -m lab.cloud --help` lists the flags")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m lab.cloud", description="A small cloud: its API, its metadata service, and a router that obeys both.")
    parser.add_argument("kind", choices=KINDS, help="whose cloud it is, by the flannel backend that uses it")
    parser.add_argument("--node", metavar="NAME=ADDRESS/LENGTH", type=_machine, action="append", default=[], help="a machine; repeat")
    return parser


def _machine(text: str) -> Machine:
    name, _, address = text.partition("=")
    try:
        return Machine(name, IPv4Interface(address))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=ADDRESS/LENGTH, such as node1=192.168.1.2/24") from None


def _log(line: str) -> None:
    # One write a line: requests are answered by several threads, and print would write a line and its end apart.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
