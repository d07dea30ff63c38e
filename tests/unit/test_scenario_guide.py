"""A scenario on a lab that stays: steps on demand, what is refused; and events that travel as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.errors import UsageError
from lab.scenario import Scenario, Text
from lab.scenario.events import Checked, Event, StepEnded, from_json, to_json
from lab.scenario.guide import Guide


def _scenario() -> Scenario:
    scenario = Scenario(title=Text("Three", "三"))

    @scenario.step(en="One", zh="一")
    def one(lab: Any) -> None:
        lab.expect_equal("it is one", 1, 1)

    @scenario.step(en="Two", zh="二", needs=("one",))
    def two(lab: Any) -> None:
        lab.show(["a line"], en="shown", zh="显示")
        lab.expect_equal("lines are the same", "a\nb", "a\nc")

    @scenario.step(en="Three", zh="三", needs=("two",))
    def three(lab: Any) -> None:
        lab.say(en="never said", zh="从未说过")

    return scenario


class _Cluster:
    """Has nothing; the steps above ask for nothing."""


def test_steps_run_when_somebody_asks() -> None:
    events: list[Event] = []
    guide = Guide(_scenario(), _Cluster())
    assert [step["status"] for step in guide.steps()] == ["ahead"] * 3
    assert guide.goto("1", events.append)
    assert not guide.goto("three", events.append)
    assert [step["status"] for step in guide.steps()] == ["passed", "failed", "skipped"]
    assert [event.key for event in events if isinstance(event, StepEnded)] == ["one", "two", "three"]
    assert guide.again("one", events.append) and guide.position == 3


def test_a_step_alone_does_not_count_what_it_needs_as_done() -> None:
    guide = Guide(_scenario(), _Cluster())
    assert not guide.again("two", lambda event: None)
    assert guide.steps()[1]["status"] == "skipped" and guide.position == 0


@pytest.mark.parametrize("where", ["0", "4", "four", "", "-1", "1" * 400, "²"])
def test_no_such_step(where: str) -> None:
    with pytest.raises(UsageError, match="there are 1 one, 2 two, 3 three"):
        Guide(_scenario(), _Cluster()).goto(where, lambda event: None)


def test_what_is_done_is_not_undone() -> None:
    guide = Guide(_scenario(), _Cluster())
    guide.goto("2", lambda event: None)
    with pytest.raises(UsageError, match="past step 1.*--fresh"):
        guide.goto("one", lambda event: None)


def test_events_travel_as_json() -> None:
    events: list[Event] = []
    Guide(_scenario(), _Cluster()).goto("3", events.append)
    assert any(isinstance(event, Checked) and event.verdict.diff for event in events)
    assert [from_json(json.loads(json.dumps(to_json(event)))) for event in events] == events
