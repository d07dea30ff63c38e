"""`lab down [NAME]`: end a lab that stays in the background, with all it made."""

from __future__ import annotations

import argparse
from typing import Any

from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("down", help="take down a lab that `lab up` started")
    parser.add_argument("name", nargs="?", help="its name; needed when several are up")
    parser.add_argument("--all", action="store_true", help="every lab of this user")
    parser.add_argument("--no-wait", action="store_true", help="come back while the kernel still clears up after a large lab")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Kill the lab's PID 1, wait until it is gone unless told otherwise, forget the lab."""
    for entry in list(registry.entries()) if args.all else [registry.pick(args.name)]:
        registry.kill(entry, 0.0 if args.no_wait else registry.PATIENCE)
        registry.remove(entry)
        print(f"{entry.name} is killed; the kernel takes away what is left of it" if args.no_wait else f"{entry.name} is down")
    return 0
