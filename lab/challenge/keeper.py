"""The challenge's side of the lab process: breaks the lab once it is up, and answers `story`, `check` and `hint` as long as it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from lab.challenge.given import Given
from lab.challenge.grade import filled, grade
from lab.challenge.model import Challenge, paragraph
from lab.challenge.workshop import Workshop
from lab.errors import BootError

Answer = dict[str, Any]


class Keeper:
    """One student's challenge. `clock`: seconds from anywhere."""

    def __init__(self, challenge: Challenge, given: Given, clock: Callable[[], float] = time.monotonic) -> None:
        self._challenge, self._given, self._clock = challenge, given, clock
        self._workshop: Workshop | None = None
        self._begun = 0.0
        self._hints = 0
        self._attempts = 0
        self._solved_after: float | None = None

    def attend(self, cluster: Any) -> Mapping[str, Callable[[Mapping[str, Any]], Answer]]:
        """Break the lab; from now on the student's time runs. Returns what the lab answers besides the usual.

        Raises LabError when it cannot be broken.
        """
        self._workshop = Workshop(cluster, self._given)
        self._workshop.unpin()
        assert self._challenge.broken_by is not None
        self._challenge.broken_by(self._workshop)
        self._begun = self._clock()
        return {"story": self._story, "check": self._check, "hint": self._hint}

    def _story(self, request: Mapping[str, Any]) -> Answer:
        story = asdict(filled(paragraph(self._challenge.story), self._at_work()))
        return self._head() | {"story": story, "hints_left": len(self._challenge.hints) - self._hints}

    def _check(self, request: Mapping[str, Any]) -> Answer:
        self._attempts += 1
        rows = grade(self._challenge, self._at_work())
        solved = all(row["ok"] for row in rows)
        if solved and self._solved_after is None:
            self._solved_after = self._clock() - self._begun
        took = self._solved_after if self._solved_after is not None else self._clock() - self._begun
        return self._head() | {"solved": solved, "checks": rows, "attempts": self._attempts, "hints": self._hints, "minutes": round(took / 60, 1)}

    def _hint(self, request: Mapping[str, Any]) -> Answer:
        """The next hint; after the last one that again."""
        hints = self._challenge.hints
        self._hints = min(self._hints + 1, len(hints))
        hint = filled(paragraph(hints[self._hints - 1]), self._at_work())
        return self._head() | {"hint": asdict(hint), "number": self._hints, "of": len(hints)}

    def _head(self) -> Answer:
        one = self._challenge
        return {"challenge": one.name, "student": self._given.seed, "title": asdict(one.title), "level": one.level}

    def _at_work(self) -> Workshop:
        if self._workshop is None:
            raise BootError("the challenge has not begun yet")
        return self._workshop
