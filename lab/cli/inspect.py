"""`lab inspect`: what is in a lab that is up."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("inspect", help="machines, pods and services of a lab that is up")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the lab and print."""
    from lab.cluster import control

    answer, _ = control.ask(registry.pick(args.name).socket, {"verb": "inspect"})
    if args.format == "json":
        print(json.dumps(answer, indent=2))
        return 0
    print(f"{'MACHINE':40} {'KIND':8} {'INTERFACES':44} DAEMONS")
    for machine in answer["machines"]:
        cards = ", ".join(f"{name} {address}".strip() for name, address in machine["interfaces"].items() if name != "lo")
        print(f"{machine['name']:40} {machine['kind']:8} {cards:44} {', '.join(machine['daemons'])}".rstrip())
    for one in answer["faults"]:
        print(f"\nFAULT  {one['machine']}  {one['text']}; `lab fault {one['machine']} clear` ends it")
    if answer["services"]:
        print(f"\n{'SERVICE':40} {'CLUSTER-IP':16} PORTS")
    for service in answer["services"]:
        print(f"{service['name']:40} {service['clusterIP']:16} {', '.join(service['ports'])}")
    return 0
