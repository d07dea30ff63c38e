"""`lab trace FROM TO[:PORT]`: one packet's journey, and its reply's, through a lab that is up."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from lab.cli import terminal
from lab.errors import UsageError
from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "trace",
        help="one packet's journey: hops, rewrites, the netfilter rules it hit, and why it was lost",
        epilog="exit status: 0 the reply came back; 1 lost or refused; 2 wrong usage",
    )
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("tcp", "udp", "icmp"):
        kinds.add_argument(f"--{kind}", dest="protocol", action="store_const", const=kind, help=_KINDS[kind])
    parser.add_argument("--size", type=int, default=0, metavar="BYTES", help="payload of a UDP or ICMP probe")
    parser.add_argument("--df", action="store_true", help="the packet may not be fragmented")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="how long to wait for the reply")
    parser.add_argument("--no-rules", action="store_true", help="do not watch netfilter's rules")
    parser.add_argument("--verbose", "-v", action="store_true", help="also bridge ports, policies, and the rules that a tunnel's packets hit")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--pcap", metavar="FILE", help="write the packets as pcapng, with an interface for each place, for Wireshark")
    parser.add_argument("--svg", metavar="FILE", help="draw the journey")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language())
    parser.add_argument("source", metavar="FROM", help="a machine's name, or the beginning of it")
    parser.add_argument("target", metavar="TO[:PORT]", help="a service, a pod, a machine or an address; svc/NAME, pod/NAME where names collide")
    parser.set_defaults(run=run)


_KINDS = {
    "tcp": "a TCP connection: what a port, or a service, means without one of these",
    "udp": "a UDP datagram",
    "icmp": "an ICMP echo request: what no port means",
}


def run(args: argparse.Namespace) -> int:
    """Ask the lab for a trace and tell its journey."""
    from lab.cluster import control
    from lab.observe.trace.correlate import correlate
    from lab.observe.trace.recording import from_json

    for path in (args.pcap, args.svg):
        _check_writable(path)
    request = {
        "verb": "trace", "source": args.source, "target": args.target, "protocol": args.protocol,
        "size": args.size, "dontFragment": args.df, "patience": args.timeout, "rules": not args.no_rules,
    }  # fmt: skip
    _, descriptors = control.ask(registry.pick(args.name).socket, request, timeout=30.0)
    with os.fdopen(descriptors[0], encoding="utf-8") as answer:
        recording = from_json(json.load(answer))
    journey = correlate(recording)
    if args.pcap:
        from lab.observe.trace import pcapng

        Path(args.pcap).write_bytes(pcapng.written(recording))
    if args.svg:
        from lab.report import ladder

        Path(args.svg).write_text(ladder.svg(journey, args.lang), encoding="utf-8")
    if args.format == "json":
        print(json.dumps(journey.to_json(), indent=2, ensure_ascii=False))
    else:
        _print(journey, args)
    return 0 if journey.arrived else 1


def _print(journey: Any, args: argparse.Namespace) -> None:
    from lab.report import journey as report
    from lab.report.terminal import wants_colour

    sys.stdout.write(report.text(journey, args.lang, wants_colour(sys.stdout), args.verbose))


def _check_writable(path: str | None) -> None:
    """Before anything is sent: a file that cannot be written is wrong usage."""
    if path is None:
        return
    try:
        with open(path, "ab"):
            pass
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
