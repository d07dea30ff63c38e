"""`lab logs [WHO [DAEMON]]`: what the daemons of a lab have written, also of one that has crashed."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from typing import Any

from lab.errors import UsageError
from lab.fabric import logfiles, registry

POLLING = 0.1
"""Seconds between two looks at files that are followed."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("logs", help="what the daemons of a lab have written; of one that has crashed, too")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("who", nargs="?", metavar="WHO", help="a machine's name, or the beginning of it; without it, the lab's own log")
    parser.add_argument("daemon", nargs="?", metavar="DAEMON", help="flanneld, kubelet, kube-proxy, etcd …; without it, all of the machine")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until the lab ends or Ctrl-C")
    parser.add_argument("--tail", type=_lines, default=-1, metavar="N", help="only the last N lines")
    parser.set_defaults(run=run)


def _lines(word: str) -> int:
    if not word.isascii() or not word.isdigit():
        raise argparse.ArgumentTypeError(f"{word!r} is no number of lines")
    return int(word)


def run(args: argparse.Namespace) -> int:
    """Print the logs, each under its name when there are several."""
    entry = registry.pick(args.name, crashed=True)
    if not entry.log_folder.is_dir():
        raise UsageError(f"the logs of {entry.name} are not there: {entry.log_folder}")
    paths = logfiles.chosen(entry.log_folder, args.who, args.daemon) if args.who else {logfiles.OWN: entry.log}
    printer = _Printer(len(paths) > 1)
    places = {}
    for name, path in paths.items():
        text, end = logfiles.tail(path, args.tail)
        printer.show(name, text)
        places[name] = path, end
    if args.follow:
        _follow(entry, logfiles.Follower(places), printer)
    return 0


def _follow(entry: registry.Entry, follower: logfiles.Follower, printer: _Printer) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        running = entry.running  # looked at first: what a lab said before it ended is read after that
        for name, text in follower.more():
            printer.show(name, text)
        if not running:
            return
        time.sleep(POLLING)


class _Printer:
    """Writes logs to standard output as they are; of several, a line with the name where another one begins."""

    def __init__(self, several: bool) -> None:
        self._several, self._last = several, ""

    def show(self, name: str, text: bytes) -> None:
        if not text:
            return
        if self._several and name != self._last:
            os.write(sys.stdout.fileno(), f"{chr(10) if self._last else ''}==> {name} <==\n".encode())
            self._last = name
        view = memoryview(text)
        while view:
            view = view[os.write(sys.stdout.fileno(), view) :]
