"""`lab daemon WHO [NAME [ACTION]]`: the daemons of a machine of a lab that is up: how they are, and start, stop, restart."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lab.fabric import registry

ACTIONS = ("status", "start", "stop", "restart")
"""Of lab.cluster.units, which is too heavy to import for a parser."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("daemon", help="status, start, stop, restart a daemon of a node, as systemctl would")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("who", metavar="WHO", help="a machine's name, or the beginning of it")
    parser.add_argument("daemon", nargs="?", metavar="DAEMON", help="flanneld, kubelet, kube-proxy, etcd …; without it, all of the machine")
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="status", metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the lab, and print how the daemons are now."""
    from lab.cluster import control

    request = {"verb": "daemon", "who": args.who, "daemon": args.daemon or "", "action": args.action}
    answer, _ = control.ask(registry.pick(args.name).socket, request, timeout=40.0)
    if args.format == "json":
        print(json.dumps(answer, indent=2))
        return 0
    for one in answer["daemons"]:
        state = f"runs as process {one['pid']}" if one["ended"] is None else f"ended with status {one['ended']}"
        print(f"{answer['machine']}  {one['name']:24} {state}")
        if args.daemon:
            print(f"{one['log']}\nextra flags for its next start: {one['flags']} on {answer['machine']}")
    return 0
