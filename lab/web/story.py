"""What the pages know of the scenario: every page shows the steps that any of them, or `lab goto`, has run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

MOST = 20_000
"""Characters of one output that are kept; the terminal's `lab goto` shows all."""


class Story:
    """The steps' statuses, and what happened when they were last run from a page."""

    def __init__(self) -> None:
        self._events: dict[str, list[dict[str, Any]]] = {}
        self.statuses: dict[str, str] = {}
        self.going_on = ""

    def heard(self, steps: Iterable[Mapping[str, Any]]) -> bool:
        """Take in the steps as the lab tells them; whether their statuses are others than before."""
        statuses = {str(step["key"]): str(step["status"]) for step in steps}
        changed, self.statuses = statuses != self.statuses, statuses
        return changed

    def keep(self, events: Iterable[dict[str, Any]]) -> None:
        """Keep what happened: of each step the last run."""
        key = ""
        for event in events:
            if event["event"] == "StepStarted":
                key = str(event["key"])
                self._events[key] = []
            if key:
                self._events[key].append(shortened(event))

    def hear(self, event: dict[str, Any]) -> str:
        """Take in what happens while a step runs, until `keep` has all of it; the step's key. A command that runs is a CommandRunning."""
        if event["event"] == "StepStarted":
            self.going_on = str(event["key"])
            self._events[self.going_on] = []
        if self.going_on not in self._events:
            return ""
        events = self._events[self.going_on]
        running = events[-1] if events and events[-1]["event"] == "CommandRunning" else None
        if event["event"] == "CommandStarted":
            events.append(event | {"event": "CommandRunning", "stdout": "", "lines": 0})
        elif event["event"] == "CommandSaid":
            if running and running["lines"] == event["line"] and len(running["stdout"]) < MOST:
                running["stdout"] += event["text"]
                running["lines"] += event["text"].count("\n")
        elif event["event"] != "Travelled":  # its picture is made at the end
            events[len(events) - (event["event"] == "CommandRan" and running is not None) :] = [shortened(event)]
        return self.going_on

    @property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Step -> what happened."""
        return self._events


def shortened(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with long outputs cut."""
    return event | {key: _cut(event[key]) for key in ("stdout", "stderr") if isinstance(event.get(key), str)}


def _cut(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]}\n… (+{len(text) - MOST})\n"
