"""The runner and the view, on a cluster in memory that refuses every command it was not told about."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fake_cluster import FakeCluster, FakeTime, cluster, only, play, single, statuses

from lab.errors import BootError
from lab.model.text import Text
from lab.observe.decode import decode
from lab.observe.sighting import Place, Sighting
from lab.scenario import Scenario, checks
from lab.scenario.events import (
    BootProgress,
    Checked,
    CommandRan,
    CommandStarted,
    Counts,
    Event,
    Evidence,
    Noted,
    RunEnded,
    RunStarted,
    Shown,
    StepEnded,
    StepStarted,
    to_json,
)
from lab.scenario.model import Step
from lab.scenario.runner import boot_and_run, run
from lab.scenario.stepper import Answer, Quit
from lab.scenario.view import View


def several() -> Scenario:
    """Steps that pass, fail, break, and depend on each other."""
    scenario = Scenario(title=Text("t", "题"))

    @scenario.step(en="good", zh="好")
    def good(lab: View) -> None:
        lab.node("n1").run("hostname").expect("n1")

    @scenario.step(en="bad", zh="坏", needs=["good"])
    def bad(lab: View) -> None:
        lab.node("n1").run("hostname").expect("n2").expect("n3").expect_status()

    @scenario.step(en="child", zh="子", needs=["good", "bad"])
    def child(lab: View) -> None: ...

    @scenario.step(en="grandchild", zh="孙", needs=["child"])
    def grandchild(lab: View) -> None: ...

    @scenario.step(en="broken", zh="断")
    def broken(lab: View) -> None:
        lab.node("n1").run("hostname").expect("n1")
        raise ZeroDivisionError("division by zero")

    @scenario.step(en="last", zh="末", needs=["good"])
    def last(lab: View) -> None:
        lab.node("n2").run("hostname").expect("n2")

    return scenario


def test_a_step_that_fails_stops_only_what_needs_it() -> None:
    ended, events = play(several())
    assert statuses(events) == {
        "good": "passed",
        "bad": "failed",
        "child": "skipped",
        "grandchild": "skipped",
        "broken": "error",
        "last": "passed",
    }
    assert ended.counts == Counts(passed=2, failed=1, skipped=2, error=1)
    assert (ended.checks, ended.failed_checks, ended.ok) == (6, 2, False)
    reasons = {event.key: event.reason for event in only(events, StepEnded)}
    assert reasons["child"] == Text("it needs bad, which did not pass", "它依赖的步骤 bad 没有通过")
    assert reasons["bad"] == Text("", "")


def test_a_failed_check_does_not_end_its_step() -> None:
    events = single(lambda lab: lab.node("n1").run("hostname").expect("x").expect("n1").expect_status(1))
    assert [event.verdict.ok for event in only(events, Checked)] == [False, True, False]


def test_what_breaks_in_a_step_is_told_with_the_authors_line() -> None:
    events = play(several())[1]
    reason = next(event.reason.en for event in only(events, StepEnded) if event.key == "broken")
    place, words = reason.split(": ", 1)
    file, line = place.rsplit(":", 1)
    assert words == "ZeroDivisionError: division by zero"
    assert file == __file__
    with open(file, encoding="utf-8") as source:
        assert 'raise ZeroDivisionError("division by zero")' in source.readlines()[int(line) - 1]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (lambda lab: lab.node("n1").run("hang", timeout=2), "error", "n1: `hang` did not end within 2 s and was killed"),
        (lambda lab: lab.node("n3"), "error", "no node is named 'n3'"),
        (lambda lab: lab.node("n1").run("rm -rf /"), "error", "LookupError: unhandled command 'rm -rf /'"),
        (lambda lab: (_ for _ in ()).throw(AssertionError("not so")), "failed", "not so"),
    ],
)
def test_how_a_step_ends_that_raises(body: Callable[[View], object], status: str, words: str) -> None:
    (ended,) = only(single(body), StepEnded)
    assert ended.status == status
    assert ended.reason.en.endswith(words)


def test_a_command_is_shown_as_typed_with_what_came_back() -> None:
    def body(lab: View) -> None:
        for node in lab.nodes:
            node.run("hostname").expect_lines([node.name])
        lab.node("n1").run(["false"]).expect_status(1)

    events = single(body)
    assert only(events, CommandStarted) == [
        CommandStarted(1, "n1", "root@n1:~#", "hostname"),
        CommandStarted(2, "n2", "root@n2:~#", "hostname"),
        CommandStarted(3, "n1", "root@n1:~#", "false"),
    ]
    assert only(events, CommandRan)[1] == CommandRan(2, "n2", "root@n2:~#", "hostname", 0, "n2\n", "", 0.25)
    assert [event.command for event in only(events, Checked)] == [1, 2, 3]
    kinds = [type(event).__name__ for event in events[3:6]]
    assert kinds == ["CommandStarted", "CommandRan", "Checked"]


def test_what_must_not_be_said_is_sought_in_both_streams() -> None:
    events = single(lambda lab: lab.node("n1").run("complain").lacks("warning").lacks("error"))
    assert [event.verdict.ok for event in only(events, Checked)] == [False, True]


def test_a_program_that_this_machine_lacks_is_told_as_that() -> None:
    (note,) = only(single(lambda lab: lab.node("n1").run("absent").expect_status()), Noted)
    assert note.text.en == "absent is not on this machine; `lab doctor` tells how to get it" and "absent" in note.text.zh
    assert only(single(lambda lab: lab.node("n1").run("complain").expect_status()), Noted) == []


def test_remarks_and_checks_without_a_command() -> None:
    def body(lab: View) -> None:
        lab.node("n1").run("hostname")
        lab.say(en="note", zh="说明")
        lab.show(["a line"], en="seen", zh="看到")
        lab.show_packets([Sighting(5, Place("n1", "eth0"), "in", decode(b""))], en="packets", zh="包")
        assert lab.expect_equal("same", 1, 1)
        assert not lab.expect_between("range", 3, 4, 5)
        assert lab.expect_even_split("dice", {"a": 5, "b": 5}, ["a", "b"])
        assert lab.service("nginx") == "the service nginx"

    events = single(body)
    assert only(events, Noted) == [Noted(Text("note", "说明"), after=1)]
    assert only(events, Shown) == [
        Shown(Text("seen", "看到"), ("a line",), after=1),
        Shown(Text("packets", "包"), ("n1 eth0, in, 0 µs", "    0 bytes (too short for Ethernet)"), after=1),
    ]
    assert [(event.verdict.name.en, event.verdict.ok, event.command) for event in only(events, Checked)] == [
        ("same", True, 0),
        ("range", False, 0),
        ("dice", True, 0),
    ]


def test_until_shows_and_checks_only_the_last_attempt() -> None:
    events = single(lambda lab: lab.node("n1").until("ready", checks.contains("ready", "yes"), timeout=1))
    (ran,) = only(events, CommandRan)
    assert (ran.stdout, ran.attempts) == ("yes\n", 3)
    assert [event.verdict.ok for event in only(events, Checked)] == [True]


def test_until_gives_up_when_its_time_is_over() -> None:
    events = single(lambda lab: lab.node("n1").until("false", checks.contains("ready", "yes"), timeout=1))
    (ran,) = only(events, CommandRan)
    assert ran.attempts > 10
    assert list(statuses(events).values()) == ["failed"]


def test_until_and_hold_on_any_value() -> None:
    values = iter([1, 2, 3, 4])
    held = iter([3, 3, 4])

    def body(lab: View) -> None:
        assert lab.until(checks.equal("becomes", 3), lambda: next(values)) == 3
        assert lab.hold(checks.equal("stays", 3), lambda: next(held), seconds=1) == 4
        assert lab.hold(checks.equal("stays", 5), lambda: 5, seconds=0.1) == 5

    events = single(body)
    assert [event.verdict.ok for event in only(events, Checked)] == [True, False, True]


def answers(*given: Answer) -> tuple[Callable[[Step | None, Step | None], Answer], list[tuple[str, str]]]:
    """A pause hook that gives these answers, and what it was asked about."""
    left, asked = iter(given), []

    def pause(upcoming: Step | None, previous: Step | None) -> Answer:
        asked.append((upcoming.key if upcoming else "", previous.key if previous else ""))
        return next(left)

    return pause, asked


def two() -> Scenario:
    scenario = Scenario()

    @scenario.step(en="one", zh="一")
    def one(lab: View) -> None:
        lab.node("n1").run("hostname").expect("n1")

    @scenario.step(en="two", zh="二")
    def two(lab: View) -> None:
        lab.node("n2").run("hostname").expect("n2")

    return scenario


def test_step_mode_walks_at_the_learners_pace() -> None:
    shells: list[Any] = []
    pause, asked = answers(Answer.NEXT, Answer.SHELL, Answer.REPEAT, Answer.REPEAT, Answer.NEXT, Answer.NEXT)
    ended, events = play(two(), pause=pause, shell=shells.append)
    assert asked == [("one", ""), *[("two", "one")] * 4, ("", "two")]
    assert [(event.key, event.repeat) for event in only(events, StepStarted)] == [("one", 0), ("one", 1), ("one", 2), ("two", 0)]
    assert len(shells) == 1
    assert ended.counts == Counts(passed=2)
    assert ended.checks == 2


def test_quitting_leaves_the_rest_skipped_and_says_why() -> None:
    pause, _ = answers(Answer.NEXT, Answer.QUIT)
    ended, events = play(two(), pause=pause)
    assert statuses(events) == {"one": "passed", "two": "skipped"}
    assert only(events, StepEnded)[-1].reason == Text("you quit", "你退出了")
    assert ended.ok


def test_quitting_while_the_lab_boots_leaves_all_steps_skipped() -> None:
    @contextmanager
    def boot(progress: Callable[[str, float | None], None]) -> Iterator[Any]:
        progress("etcd", None)
        raise Quit
        yield

    events: list[Event] = []
    ended = boot_and_run(several(), boot, events.append, clock=FakeTime().clock())
    assert ended is events[-1] and ended.ok
    assert {event.status for event in only(events, StepEnded)} == {"skipped"}
    assert only(events, StepEnded)[0].reason == Text("you quit", "你退出了")


def test_boot_progress_comes_between_start_and_steps() -> None:
    events: list[Event] = []
    time = FakeTime()
    stayed: list[int] = []

    @contextmanager
    def boot(progress: Callable[[str, float | None], None]) -> Iterator[FakeCluster]:
        progress("etcd", None)
        time.sleep(2)
        progress("etcd", 2.0)
        yield cluster()
        events.append(BootProgress("down"))

    ended = boot_and_run(two(), boot, events.append, stay=lambda _: stayed.append(len(events)), clock=time.clock())
    assert isinstance(events[0], RunStarted)
    assert events[1:3] == [BootProgress("etcd"), BootProgress("etcd", 2.0)]
    assert ended.boot_seconds == ended.seconds == 2.0
    assert events[-2] is ended
    assert stayed == [len(events) - 1]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (BootError("etcd did not answer"), Text("etcd did not answer", "etcd did not answer")),
        (KeyboardInterrupt(), Text("interrupted", "被中断")),
        (OSError("no space"), Text("OSError: no space", "OSError: no space")),
    ],
)
def test_a_run_that_is_cut_short_says_so_and_passes_the_error_on(error: BaseException, words: Text) -> None:
    events: list[Event] = []

    def boot(progress: object) -> Any:
        raise error

    with pytest.raises(type(error)):
        boot_and_run(two(), boot, events.append, clock=FakeTime().clock())
    (ended,) = only(events, RunEnded)
    assert ended.aborted == words
    assert not ended.ok


def test_an_interrupt_in_a_step_ends_the_run_with_what_was_done() -> None:
    events: list[Event] = []
    scenario = two()

    @scenario.step(en="e", zh="z")
    def interrupted(lab: View) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(scenario, cluster(), events.append, clock=FakeTime().clock())
    assert isinstance(events[-1], RunEnded)
    assert events[-1].counts == Counts(passed=2)


def test_events_are_plain_data() -> None:
    for event in play(several())[1]:
        assert json.loads(json.dumps(to_json(event)))["event"] == type(event).__name__


def test_evidence_is_kept_of_the_machines_of_a_failed_step_alone() -> None:
    def failing(lab: View) -> None:
        for name in ("n2", "n1", "n1"):
            lab.node(name).run("false").expect_status(0)

    events = single(failing)
    assert [(event.where, event.stdout) for event in only(events, Evidence)] == [("n2", "routes of n2\n"), ("n1", "routes of n1\n")]
    assert isinstance(events[-2], StepEnded), "the evidence comes before the step's end"
    assert only(single(lambda lab: lab.node("n1").run("hostname").expect("n1")), Evidence) == []
