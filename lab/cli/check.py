"""`lab check`: whether the challenge of a lab that is up is solved; hints on demand; a list for the teacher."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from typing import Any

from lab.cli import terminal
from lab.errors import LabError, UsageError
from lab.fabric import registry

GRADING = 120.0
"""Seconds that the checks of one lab may take together; each of their commands has a limit of its own."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("check", help="grade the repair of a challenge; exit status 0 when it is solved")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--all", action="store_true", help="every lab with a challenge that is up")
    parser.add_argument("--hint", action="store_true", help="one more hint, and no grading")
    parser.add_argument("--story", action="store_true", help="the story again, and no grading")
    parser.add_argument("--csv", action="store_true", help="a line for each lab, for a roster")
    parser.add_argument("--no-header", action="store_true", help="with --csv: without the names of the columns, to append to a file")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: all that was found, on stdout")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the texts")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the labs and print. 0 when every challenge is solved, 1 otherwise."""
    if sum((args.hint, args.story, args.csv, args.format == "json")) > 1:
        raise UsageError("--hint, --story, --csv and --format json exclude each other")
    if args.all and (args.name or args.hint or args.story):
        raise UsageError("--all grades every lab; --name, --hint and --story are for one")
    if args.hint or args.story:
        return _tell(args)
    answers = _graded(args)
    if args.csv:
        from lab.report import grades

        sys.stdout.write(grades.roster(answers, header=not args.no_header))
    elif args.format == "json":
        print(json.dumps([{"lab": lab} | answer for lab, answer in answers], indent=2, ensure_ascii=False))
    else:
        _print(args, answers)
    return 0 if all(answer["solved"] for _, answer in answers) else 1


def _graded(args: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    from lab.cluster import control

    if not args.all:
        entry = registry.pick(args.name)
        return [(entry.name, control.ask(entry.socket, {"verb": "check"}, GRADING)[0])]
    answers = []
    for entry in registry.entries():
        try:
            if entry.running:
                answers.append((entry.name, control.ask(entry.socket, {"verb": "check"}, GRADING)[0]))
        except UsageError:
            continue  # a lab without a challenge
        except LabError as error:
            print(f"lab: {entry.name}: {error}", file=sys.stderr)
    if not answers:
        raise UsageError("no lab with a challenge is up; `lab challenge` lists them")
    return answers


def _print(args: argparse.Namespace, answers: list[tuple[str, dict[str, Any]]]) -> None:
    from lab.report import grades

    for number, (_, answer) in enumerate(answers):
        print(("\n" if number else "") + grades.grade(answer, args.lang, _columns()))


def _tell(args: argparse.Namespace) -> int:
    from lab.cluster import control
    from lab.report import grades

    entry = registry.pick(args.name)
    answer, _ = control.ask(entry.socket, {"verb": "hint" if args.hint else "story"})
    print(grades.hint(answer, args.lang, _columns()) if args.hint else grades.story(answer, entry.name, args.lang, _columns()))
    return 0


def _columns() -> int:
    return min(shutil.get_terminal_size((100, 24)).columns, 120)
