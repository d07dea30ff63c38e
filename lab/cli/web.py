"""`lab web`: the live page of a lab that is up."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from typing import Any

from lab.cli import terminal
from lab.errors import UsageError
from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("web", help="the live page of a lab that is up: prints a link that opens it once")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    add_port(parser)
    parser.add_argument("--stop", action="store_true", help="end the page's server; the lab stays up")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="the page's language at first; it has a switch")
    parser.set_defaults(run=run)


def add_port(parser: argparse.ArgumentParser) -> None:
    """Add --web-port, which `web`, `up` and `run` share."""
    parser.add_argument("--web-port", type=int, metavar="PORT", help="where the page listens on 127.0.0.1; without it any free port")


def run(args: argparse.Namespace) -> int:
    """Start the server unless it runs, and print a link; or end it."""
    entry = registry.pick(args.name)
    if args.stop:
        registry.end_companion(entry)
        print(f"the page of {entry.name} is closed")
        return 0
    show(entry, args.web_port, args.lang)
    return 0


def show(entry: registry.Entry, port: int | None, language: str) -> None:
    """Print a link to the page. Raises UsageError for a port that cannot be one, LabError when there is no page to be had."""
    from lab.web import start

    check_port(port)
    print(f"{TEXT[language]}  {start.link(entry, port or 0, language)}", flush=True)


def up(name: str, args: argparse.Namespace) -> int:
    """`lab up WHAT --web`."""
    from lab.fabric import requirements

    check_port(args.web_port)
    requirements.check_machine()
    status = _boot(name, args.what, args)
    if status == 0:
        show(registry.pick(name), args.web_port, terminal.language())
    return status


def attend(name: str, what: str, args: argparse.Namespace) -> int:
    """`lab run SCENARIO --web`: the lab is up, and its page too, until Ctrl-C or until somebody takes the lab down."""
    check_port(args.web_port)
    status = _boot(name, what, args)
    if status:
        return status
    entry = registry.pick(name)
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
                signal.signal(number, signal.default_int_handler)
        show(entry, args.web_port, args.lang)
        print(STAY[args.lang], flush=True)
        registry.wait(entry)
    except KeyboardInterrupt:
        return 0
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave half of it behind
        registry.kill(entry)
        registry.remove(entry)
    return 0


def _boot(name: str, what: str, args: argparse.Namespace) -> int:
    """`lab up` in a process of its own: an ordinary user's process that makes a lab cannot leave the lab's user namespace again."""
    from lab.web import start

    wishes = (("--backend", args.backend), ("--proxy-mode", args.proxy_mode), ("--keep-logs", args.keep_logs))
    options = [word for flag, value in wishes if value for word in (flag, str(value))]
    argv = [sys.executable, "-m", "lab", "up", "--name", name, *options, "--", what]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # it takes away what it has made by itself
    try:
        return subprocess.call(argv, env=start.environment())
    finally:
        signal.signal(signal.SIGINT, before)


STAY = {
    "en": "The steps are run from the page. Ctrl-C takes the lab down.",
    "zh": "步骤在页面中运行。按 Ctrl-C 结束并清除实验环境。",
}
TEXT = {"en": "open once, in a browser on this machine:", "zh": "在本机浏览器中打开（链接只能用一次）："}


def check_port(port: int | None) -> None:
    """Raises UsageError for a number that is no port."""
    if port is not None and not 0 < port < 65536:
        raise UsageError(f"--web-port {port}: say a number from 1 to 65535")
