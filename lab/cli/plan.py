"""`lab plan TOPOLOGY`: what would be built, without building it and without privileges."""

from __future__ import annotations

import argparse
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("plan", help="print what would be built, as commands with their reasons; needs no privileges")
    parser.add_argument("topology", nargs="?", default="zenlin", metavar="TOPOLOGY", help="a name from `lab list`, or a file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the plan of what is known before a lab runs. With flannel, pod bridges follow from the subnets that flanneld leases then."""
    from lab.model import catalog, load
    from lab.plan import build, text

    topology = load.read_topology(catalog.find_topology(args.topology))
    print(text.render([*build.plan_underlay(topology), *build.plan_docker(topology)]), end="")
    return 0
