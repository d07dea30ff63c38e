"""A scenario on a lab that stays up: its steps are run when somebody asks for them, one after the other, and where it stands is kept."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.errors import UsageError
from lab.scenario import runner
from lab.scenario.events import Emit, Event, StepEnded
from lab.scenario.model import Scenario, Step


class Guide:
    """Leads through one scenario on one running cluster."""

    def __init__(self, scenario: Scenario, cluster: Any) -> None:
        self.scenario = scenario
        self._cluster = cluster
        self.ended: dict[str, StepEnded] = {}

    @property
    def position(self) -> int:
        """How many steps have been run, without a gap, from the first on."""
        return next((number for number, step in enumerate(self.scenario.steps) if step.key not in self.ended), len(self.scenario.steps))

    def steps(self) -> list[dict[str, Any]]:
        """Every step: number, key, title, why, and its status, which is "ahead" until it has run."""
        return [
            {
                "number": number,
                "key": step.key,
                "title": asdict(step.title),
                "why": asdict(step.why),
                "status": self.ended[step.key].status if step.key in self.ended else "ahead",
            }
            for number, step in enumerate(self.scenario.steps, 1)
        ]

    def goto(self, where: str, emit: Emit) -> bool:
        """Run the steps that lie between here and `where`, a step's number or key, and that one; whether all of them held.

        Raises UsageError when there is no such step, or when it lies behind: what it has done to the cluster is not undone.
        """
        target = self._number(where)
        if target <= self.position:
            text = f"the lab is past step {target} ({self.scenario.steps[target - 1].key}): {self.position} are done; --fresh boots it anew"
            raise UsageError(text)
        ahead = self.scenario.steps[self.position : target]
        return self._run(ahead, emit)

    def again(self, where: str, emit: Emit) -> bool:
        """Run one step by itself, also one that has run; whether it held. Raises UsageError when there is no such step."""
        return self._run([self.scenario.steps[self._number(where) - 1]], emit)

    def _run(self, steps: list[Step], emit: Emit) -> bool:
        def keep(event: Event) -> None:
            if isinstance(event, StepEnded):
                self.ended[event.key] = event
            emit(event)

        return runner.walk(self.scenario, self._cluster, steps, self.ended, keep)

    def _number(self, where: str) -> int:
        steps = self.scenario.steps
        if where.isascii() and where.isdigit() and 1 <= int(where[:6]) <= len(steps):
            return int(where)
        for number, step in enumerate(steps, 1):
            if step.key == where:
                return number
        known = ", ".join(f"{number} {step.key}" for number, step in enumerate(steps, 1))
        raise UsageError(f"the scenario {self.scenario.name} has no step {where!r}; there are {known}")
