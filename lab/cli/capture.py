"""`lab capture WHO`: what goes by at a machine's interfaces, decoded live, or written for Wireshark."""

from __future__ import annotations

import argparse
import signal
import sys
from typing import IO, Any

from lab.errors import UsageError
from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("capture", help="what goes by at a machine's interfaces, tunnels decoded; or a file for Wireshark")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--interface", "-i", metavar="IF", help="one interface; by default all but the loopback")
    parser.add_argument("--count", "-c", type=int, default=0, metavar="N", help="end after so many packets; by default Ctrl-C ends it")
    parser.add_argument("--write", "-w", metavar="FILE", help="write pcapng, - for standard output, instead of telling the packets")
    parser.add_argument("who", metavar="WHO", help="a machine's name, or the beginning of it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Listen in the machine, and tell or write what comes until the count is full or somebody presses Ctrl-C."""
    from lab.cluster import control
    from lab.observe import live

    signal.signal(signal.SIGINT, signal.default_int_handler)
    out = _opened(args.write)
    answer, descriptors = control.ask(registry.pick(args.name).socket, {"verb": "enter", "who": args.who})
    control.join_network(descriptors)
    seen = live.frames(str(answer["name"]), args.interface or "")
    try:
        for number, piece in enumerate(live.written(seen) if args.write else live.told(seen)):
            out.write(piece)
            out.flush()
            if number + 1 == args.count:
                break
    except KeyboardInterrupt:
        pass  # how a capture ends
    finally:
        if out is not sys.stdout.buffer:
            out.close()
    return 0


def _opened(path: str | None) -> IO[bytes]:
    if path in (None, "-"):
        return sys.stdout.buffer
    try:
        return open(str(path), "wb")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
