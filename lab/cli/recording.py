"""What happened in a sandbox, kept for the writers outside it.

The lab process appends every event to an anonymous file in memory that it shares with the front. Whatever ends the sandbox, the front
still has all that happened before, and can tell the reports' writers, which live outside and so outlive it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import sys
from collections.abc import Iterator
from typing import Any

from lab.model.text import Text
from lab.scenario.events import Emit, Event, RunEnded, RunStarted, StepEnded, StepInfo, count
from lab.scenario.model import Scenario

KILLED = Text("the lab process was killed", "实验进程被杀死")


class Recording:
    """Events of one run, appended by the process inside and read by the one outside."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("lab-events"), "w+b", buffering=0)

    def __call__(self, event: Event) -> None:
        """Append an event."""
        self._file.write(pickle.dumps(event))

    def replay(self, scenario: Scenario) -> Iterator[Event]:
        """Every event, completed by a beginning and an end if the run did not get to record them; then the memory is given back."""
        self._file.seek(0)
        events: list[Event] = []
        with contextlib.suppress(EOFError, pickle.UnpicklingError), self._file:
            while True:
                events.append(pickle.load(self._file))
        if not events:
            infos = tuple(StepInfo(step.key, step.title) for step in scenario.steps)
            events.append(RunStarted(scenario.name, str(scenario.folder), scenario.title, scenario.intro, scenario.topology, infos))
        yield from events
        if not isinstance(events[-1], RunEnded):
            yield _cut_short(events)


def _cut_short(events: list[Event]) -> RunEnded:
    ended = {event.key: event for event in events if isinstance(event, StepEnded)}.values()
    checks, failed = sum(one.checks for one in ended), sum(one.failed_checks for one in ended)
    return RunEnded(count(ended), checks, failed, sum(one.seconds for one in ended), 0.0, KILLED)


@contextlib.contextmanager
def writers(args: argparse.Namespace) -> Iterator[Emit]:
    """The reports that `lab run` was asked for, open from the first moment and closed at the end. Raises UsageError for a bad path."""
    from lab.report.html import HtmlWriter
    from lab.report.jsonout import JsonWriter
    from lab.report.junit import JUnitWriter

    wanted: list[Any] = []
    if args.junit:
        wanted.append(JUnitWriter(args.junit))
    if args.html:
        wanted.append(HtmlWriter(args.html, args.lang))
    if args.format == "json":
        wanted.append(JsonWriter(sys.stdout))

    def tell(event: Event) -> None:
        for writer in wanted:
            writer(event)

    try:
        yield tell
    finally:
        for writer in wanted:
            writer.close()
