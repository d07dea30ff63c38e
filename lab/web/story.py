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

    @property
    def events(self) -> dict[str, list[dict[str, Any]]]:
        """Step -> what happened."""
        return self._events


def shortened(event: dict[str, Any]) -> dict[str, Any]:
    """The event, with long outputs cut."""
    return event | {key: _cut(event[key]) for key in ("stdout", "stderr") if isinstance(event.get(key), str)}


def _cut(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]}\n… (+{len(text) - MOST})\n"
