"""`lab challenge [NAME]`: boot a lab with something broken in it, for the learner to find and repair."""

from __future__ import annotations

import argparse
import re
import shutil
from typing import Any

from lab.cli import terminal, up
from lab.errors import LabError, UsageError


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("challenge", help="boot a lab with something broken in it; `lab check` grades the repair")
    parser.add_argument("challenge", nargs="?", metavar="NAME", help="a challenge, or a folder; without it, the list of them")
    parser.add_argument("--seed", metavar="STUDENT", default="", help="names, addresses and the fault's place follow from this word")
    parser.add_argument("--name", help="what to call the lab (default: the challenge's name, with the seed behind it)")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the texts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Boot, break, tell the story."""
    if args.challenge is None:
        if args.seed or args.name:
            raise UsageError("say which challenge; `lab challenge` alone lists them")
        return _list(args)
    from lab.challenge.keeper import Keeper
    from lab.challenge.prepare import load_challenge, prepared
    from lab.cluster import control
    from lab.model import catalog
    from lab.report import grades

    challenge = load_challenge(catalog.find_challenge(args.challenge))
    given, what = prepared(challenge, args.seed)
    entry = up.start(args.name or lab_name(challenge.name, args.seed), args.challenge, what, Keeper(challenge, given).attend)
    answer, _ = control.ask(entry.socket, {"verb": "story"})
    print("\n" + grades.story(answer, entry.name, args.lang, min(shutil.get_terminal_size((100, 24)).columns, 120)))
    return 0


def lab_name(challenge: str, seed: str) -> str:
    """What the lab of one student is called: a name that lab.fabric.registry takes. Pure."""
    word = re.sub(r"[^a-z0-9]+", "-", seed.lower()).strip("-")
    return (f"{challenge}-{word}" if word else challenge)[:63].rstrip("-")


def _list(args: argparse.Namespace) -> int:
    from lab.challenge.prepare import load_challenge
    from lab.model import catalog
    from lab.report.words import pick

    for folder in catalog.list_challenges():
        try:
            challenge = load_challenge(folder)
            print(f"{challenge.name:18} {'*' * challenge.level:3} {pick(challenge.title, args.lang)}")
        except LabError as error:
            print(f"{folder.name:18} broken: {error}")
    return 0
