"""`lab fault [WHO WORDS]`: break a link or stop a machine of a lab that is up, mend it again, and tell what is broken."""

from __future__ import annotations

import argparse
import json
from typing import Any

from lab.fabric import registry
from lab.model import fault

FORMS = """WHO is a machine; its fault is that of its link, or of the link at -i:
  loss PERCENT   its link loses so many packets of a hundred    down, up        pull its cable, put it back
  delay MS       its link holds each packet so long             pause, resume   stop all its processes (SIGSTOP), let them go on
  rate RATE      its link lets pass so much: 1mbit              clear           mend all of it; without WHO, everything
loss, delay and rate can be said together, and 0 takes one away. Without words: what is broken. Options stand before WHO."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "fault", help="loss, delay, rate, down, pause: break a link or stop a machine, and mend it again",
        epilog=FORMS, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--interface", "-i", default="", metavar="IF", help="which of the machine's links; needed when it has several")
    parser.add_argument("--way", choices=fault.WAYS, default="both", help="what the machine sends (out), what is sent to it (in), or both (default)")
    parser.add_argument("--format", choices=("table", "json"), default="table")
    parser.add_argument("who", nargs="?", default="", metavar="WHO", help="a machine's name, or the beginning of it")
    parser.add_argument("words", nargs="*", metavar="FAULT", help="what is to be wrong with it, see below")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the lab, and print what is broken now."""
    from lab.cluster import control

    request = {"verb": "fault", "who": args.who, "words": " ".join(args.words), "way": args.way, "interface": args.interface}
    if args.who == "clear" and not args.words:
        request |= {"who": "", "words": "clear"}
    elif args.words:
        fault.parse(args.words, args.way)
    else:
        request["who"] = ""
    answer, _ = control.ask(registry.pick(args.name).socket, request, timeout=40.0)
    found = answer["faults"]
    if args.who and not args.words and args.who != "clear":
        found = [one for one in found if any(one.get(key, "").startswith(args.who) for key in ("machine", "peer"))]
    if args.format == "json":
        print(json.dumps(found, indent=2))
        return 0
    for one in found:
        print(f"{one['machine']}  {one['text']}")
    if not found:
        print("nothing is broken on purpose")
    return 0
