"""Grading: the challenge's steps on the lab as it is now, and what came of them as plain data."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.challenge.model import Challenge
from lab.challenge.workshop import Workshop
from lab.model.text import Text
from lab.scenario import runner
from lab.scenario.events import Checked, CommandRan, Event, StepEnded

MOST = 600
"""Characters of an output that go into a grade: enough to see what happened."""


def grade(challenge: Challenge, workshop: Workshop) -> list[dict[str, Any]]:
    """Run every check: a list of {key, title, ok, commands, failed}.

    commands   what ran for it and came back: {prompt, command, output, status}
    failed     what was expected and did not hold: {name, expected, actual}; or why it broke: {name}
    """
    events: list[Event] = []
    checks = challenge.scenario()
    runner.run(checks, workshop, events.append)
    rows: list[dict[str, Any]] = []
    titles = {step.key: step.title for step in checks.steps}
    commands: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for event in events:
        if isinstance(event, CommandRan):
            output = shortened(event.stdout + event.stderr)
            commands.append({"prompt": event.prompt, "command": event.command, "output": output, "status": event.status})
        elif isinstance(event, Checked) and not event.verdict.ok:
            verdict = event.verdict
            failed.append({"name": asdict(verdict.name), "expected": shortened(verdict.expected), "actual": shortened(verdict.actual)})
        elif isinstance(event, StepEnded):
            if event.reason.en:
                failed.append({"name": asdict(event.reason)})
            row = {"key": event.key, "title": asdict(filled(titles[event.key], workshop)), "ok": event.status == "passed"}
            rows.append(row | {"commands": commands, "failed": failed})
            commands, failed = [], []
    return rows


def filled(text: Text, workshop: Workshop) -> Text:
    """The text with the student's own names in it."""
    return Text(workshop.given.fill(text.en), workshop.given.fill(text.zh))


def shortened(text: str) -> str:
    """The text, or its beginning where it is long."""
    return text if len(text) <= MOST else text[:MOST] + " …"
