"""`lab goto [STEP]`: bring a lab that `lab up SCENARIO` has booted to the state after one of the scenario's steps."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import terminal
from lab.errors import UsageError
from lab.fabric import registry

if TYPE_CHECKING:
    from lab.cluster import control

WALK = 300.0
"""Seconds that the steps may take together; each of their commands has a limit of its own."""

MARKS = {"passed": "✓", "failed": "✗", "error": "✗", "skipped": "-", "left_out": "-", "ahead": " "}


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("goto", help="bring a lab made from a scenario to the state after one of its steps")
    parser.add_argument("step", nargs="?", metavar="STEP", help="a step's number or name; without it, the list of them")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--fresh", action="store_true", help="boot the lab anew first, as after a mishap")
    parser.add_argument("--again", action="store_true", help="run this one step, whether or not it has run")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the texts")
    parser.add_argument("-v", "--verbose", action="store_true", help="show long outputs in full")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the lab to walk, and show what happened. 0 when every step held, 1 otherwise."""
    from lab.cluster import control

    entry = registry.pick(args.name)
    if args.step is None:
        if args.fresh or args.again:
            raise UsageError("say which step; `lab goto` alone lists them")
        return _list(entry, args.lang)
    if args.fresh and args.again:
        raise UsageError("--fresh and --again exclude each other")
    if args.fresh:
        entry = _anew(entry)
    request = {"verb": "goto", "step": args.step, "again": args.again}
    screen = _Live(terminal.writer(args))
    try:
        answer, descriptors = control.ask(entry.socket, request, WALK, screen.told)
        screen.all(control.lines_of(descriptors))
    finally:
        screen.close()
    return 0 if answer["ok"] else 1


class _Live:
    """Shows events as they are told, and what was not told when all of them are there."""

    def __init__(self, screen: Any) -> None:
        self._screen, self._shown = screen, 0

    def told(self, told: dict[str, Any]) -> None:
        """An event and its place among all. After one that was not told none is shown until all are there."""
        from lab.scenario import events

        if told["place"] == self._shown:
            event = events.from_json(told["event"])
            self._screen(event)
            self._shown += not isinstance(event, events.CommandSaid)

    def all(self, lines: Sequence[str]) -> None:
        """Show the rest."""
        from lab.scenario import events

        for line in lines[self._shown :]:
            self._screen(events.from_json(json.loads(line)))

    def close(self) -> None:
        """Nothing more comes."""
        self._screen.close()


def _list(entry: registry.Entry, language: Any) -> int:
    from lab.cluster import control
    from lab.model.text import Text
    from lab.report.words import pick

    answer, _ = control.ask(entry.socket, {"verb": "steps"})
    for step in answer["steps"]:
        print(f"{MARKS[step['status']]} {step['number']:2} {step['key']:24} {pick(Text(**step['title']), language)}")
    return 0


def _anew(entry: registry.Entry) -> registry.Entry:
    from lab.cli import up
    from lab.cluster import control

    made, _ = control.ask(entry.socket, {"verb": "steps"})
    words = made["source"], made["backend"], made["proxy_mode"]
    _, what = up.recipe(*words)
    registry.kill(entry)
    registry.remove(entry)
    return up.start(entry.name, entry.source, what, up.guided(*words), str(Path(entry.logs).parent) if entry.logs else None)


def verbs(source: str, backend: str | None, proxy_mode: str | None, cluster: Any) -> Mapping[str, control.Verb]:
    """What a lab made from a scenario can be asked: `steps`, and `goto`, whose answer has the events in lines.

    source, backend, proxy_mode   as `lab up` was told, so that the lab can be booted anew
    """
    from lab.cluster.control import Long, Slow, Tell
    from lab.model import catalog
    from lab.scenario import events, loader
    from lab.scenario.guide import Guide

    guide = Guide(loader.load_scenario(catalog.find_scenario(source)), cluster)

    def steps(request: Mapping[str, Any]) -> dict[str, Any]:
        return {"source": source, "backend": backend, "proxy_mode": proxy_mode, "scenario": guide.scenario.name, "steps": guide.steps()}

    def goto(request: Mapping[str, Any]) -> Slow:
        def walk(tell: Tell) -> Long:
            lines: list[str] = []

            def happened(event: events.Event) -> None:
                data = events.to_json(event)
                tell({"place": len(lines), "event": data})
                if not isinstance(event, events.CommandSaid):
                    lines.append(json.dumps(data))

            go = guide.again if request.get("again") else guide.goto
            return Long({"ok": go(str(request.get("step", "")), happened)}, lines)

        return Slow(walk)

    return {"steps": steps, "goto": goto}
