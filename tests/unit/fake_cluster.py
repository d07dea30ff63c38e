"""A cluster in memory that refuses every command it was not told about, and scenarios played on it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.errors import CommandError, UsageError
from lab.scenario import Scenario
from lab.scenario.events import Event, RunEnded, StepEnded
from lab.scenario.runner import run
from lab.scenario.view import Clock, View

SAID = {"complain": "a warning\n", "absent": "bash: line 1: absent: command not found\n"}
"""Command -> what it writes to standard error."""


@dataclass(frozen=True)
class FakeResult:
    where: str
    command: str
    status: int
    stdout: str
    stderr: str = ""
    seconds: float = 0.25


@dataclass
class FakeHost:
    """Answers known commands, one after the other where there are several answers; the last one stays."""

    name: str
    answers: dict[str, list[tuple[int, str]]]

    @property
    def prompt(self) -> str:
        return f"root@{self.name}:~#"

    def run(self, command: str | Sequence[str], timeout: float = 10.0) -> FakeResult:
        typed = command if isinstance(command, str) else shlex.join(command)
        if typed == "hang":
            raise CommandError(f"{self.name}: `hang` did not end within {timeout:g} s and was killed")
        if typed not in self.answers:
            raise LookupError(f"unhandled command {typed!r}")
        left = self.answers[typed]
        status, stdout = left.pop(0) if len(left) > 1 else left[0]
        return FakeResult(self.name, typed, status, stdout, SAID.get(typed, ""))


@dataclass
class FakeCluster:
    nodes: list[FakeHost]
    pods: list[FakeHost] = field(default_factory=list)
    clients: list[FakeHost] = field(default_factory=list)

    def node(self, name: str) -> FakeHost:
        for host in self.nodes:
            if host.name == name:
                return host
        raise UsageError(f"no node is named {name!r}")

    def service(self, name: str) -> str:
        return f"the service {name}"

    def evidence(self, name: str) -> Iterator[FakeResult]:
        yield FakeResult(name, "ip route", 0, f"routes of {name}\n")
        if name == "n2":
            raise CommandError("n2 does not answer any more")


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.now, self.sleep)


def cluster() -> FakeCluster:
    """Two nodes that know `hostname`, `complain`, `false`, `absent`, and `ready`, which becomes true at the third time."""
    known = {"false": [(1, "")], "complain": [(0, "")], "absent": [(127, "")], "ready": [(1, "not yet\n"), (1, "not yet\n"), (0, "yes\n")]}
    return FakeCluster([FakeHost(name, {"hostname": [(0, f"{name}\n")], **known}) for name in ("n1", "n2")])


def play(scenario: Scenario, **options: Any) -> tuple[RunEnded, list[Event]]:
    events: list[Event] = []
    ended = run(scenario, cluster(), events.append, clock=FakeTime().clock(), **options)
    assert events[-1] is ended
    return ended, events


def single(body: Callable[[View], object]) -> list[Event]:
    """The events of a scenario whose only step is `body`."""
    scenario = Scenario()
    scenario.step(en="e", zh="z")(body)
    return play(scenario)[1]


def only(events: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def statuses(events: Sequence[Event]) -> dict[str, str]:
    return {event.key: event.status for event in only(events, StepEnded)}
