"""Steps on a cluster elsewhere: what is left out and how that is told, and the author's words beside the cluster's."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from lab.errors import CommandError, NotHere
from lab.model.aliases import Aliases
from lab.model.text import Text
from lab.report.jsonout import JsonWriter
from lab.report.junit import JUnitWriter
from lab.report.terminal import TerminalWriter
from lab.scenario import Scenario, checks
from lab.scenario.events import Checked, CommandRan, CommandStarted, Event, Noted, RunEnded, StepEnded, StepStarted
from lab.scenario.runner import run
from lab.scenario.view import View

WHY = Text("it is the lab's", "只有实验环境有")


@dataclass
class FakeResult:
    stdout: str
    status: int = 0
    stderr: str = ""
    seconds: float = 0.0


@dataclass
class FakePod:
    """Says what it was told to run, and where."""

    name: str
    ran: list[str | list[str]] = field(default_factory=list)
    prompt = "$"

    def run(self, command: str | Sequence[str], timeout: float = 10.0) -> FakeResult:
        self.ran.append(command if isinstance(command, str) else list(command))
        return FakeResult(f"{self.name} at 10.9.0.1 ran {command}\n")


class FakeNode(FakePod):
    def admit(self, command: str | Sequence[str]) -> None:
        raise NotHere("it needs access to nodes", "需要进入节点")


@dataclass
class Elsewhere:
    """One pod, web-1 in the scenario's words and web-x9 in the cluster's, and a node that nobody may enter."""

    remote = True
    aliases = Aliases([("web-1", "web-x9"), ("10.0.0.1", "10.9.0.1")])
    web: FakePod = field(default_factory=lambda: FakePod("web-x9"))

    def pod(self, name: str) -> FakePod:
        assert name == "web-1"
        return self.web

    def node(self, name: str) -> FakePod:
        return FakeNode(name)

    def evidence(self, name: str) -> Iterator[Any]:
        raise CommandError("nothing to see")


def play(scenario: Scenario, cluster: Any = None) -> tuple[RunEnded, list[Event]]:
    events: list[Event] = []
    return run(scenario, cluster or Elsewhere(), events.append), events


def only(events: Sequence[Event], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def mixed() -> Scenario:
    scenario = Scenario(title=Text("t", "t"))

    @scenario.step(en="whole", zh="z")
    def whole(lab: View) -> None:
        lab.pod("web-1").run("hostname").expect("web-1")

    @scenario.step(en="in part", zh="z")
    def part(lab: View) -> None:
        lab.pod("web-1").run("hostname").expect("web-1")
        with lab.where_possible():
            lab.node("n").run("ip route").expect("never")

    @scenario.step(en="breaks off", zh="z")
    def breaks_off(lab: View) -> None:
        lab.pod("web-1").run("hostname").expect("web-1")
        lab.node("n").run("ip route")

    @scenario.step(en="only where possible, and it is not", zh="z")
    def nothing(lab: View) -> None:
        with lab.where_possible():
            lab.require_lab(WHY)
            raise AssertionError("not reached")

    @scenario.step(en="declared", zh="z", lab_only=WHY)
    def declared(lab: View) -> None:
        raise AssertionError("not reached")

    @scenario.step(en="child", zh="z", needs=["declared", "whole"])
    def child(lab: View) -> None: ...

    @scenario.step(en="child of a part", zh="z", needs=["part"])
    def heir(lab: View) -> None: ...

    return scenario


def failing() -> Scenario:
    scenario = Scenario(title=Text("t", "t"))

    @scenario.step(en="fails before it breaks off", zh="z")
    def fails(lab: View) -> None:
        lab.pod("web-1").run("hostname").expect("another")
        lab.node("n").run("ip route")

    @scenario.step(en="declared", zh="z", lab_only=WHY)
    def declared(lab: View) -> None: ...

    @scenario.step(en="child", zh="z", needs=["fails", "declared"])
    def child(lab: View) -> None: ...

    return scenario


def test_what_is_left_out_is_no_success() -> None:
    ended, events = play(mixed())
    told = {one.key: (one.status, one.reason.en) for one in only(events, StepEnded)}
    nodes = "it needs access to nodes"
    assert told == {
        "whole": ("passed", ""),
        "part": ("passed", nodes),
        "breaks_off": ("left_out", nodes),
        "nothing": ("left_out", WHY.en),
        "declared": ("left_out", WHY.en),
        "child": ("left_out", "it needs declared, which is left out"),
        "heir": ("passed", ""),
    }
    assert (ended.counts.passed, ended.counts.left_out, ended.ok) == (3, 4, True)
    assert [one.command for one in only(events, CommandStarted)] == ["hostname"] * 3, "a command that is not admitted is not shown"
    assert [one.text.en for one in only(events, Noted)] == [f"left out from here: {nodes}", f"left out from here: {WHY.en}"]


def test_a_failed_check_outweighs_what_is_left_out() -> None:
    ended, events = play(failing())
    assert {one.key: one.status for one in only(events, StepEnded)} == {"fails": "failed", "declared": "left_out", "child": "skipped"}
    assert not ended.ok


def test_nothing_but_left_out_is_not_ok() -> None:
    scenario = Scenario(lab_only=WHY)
    scenario.step(en="e", zh="z")(test_nothing_but_left_out_is_not_ok)
    ended, events = play(scenario)
    assert (ended.counts.left_out, ended.ok) == (1, False)
    screen = io.StringIO()
    writer = TerminalWriter(screen)
    for event in events:
        writer(event)
    assert "1 left out\nNo step could be run on this cluster.\n" in screen.getvalue()


def test_in_a_lab_everything_runs() -> None:
    class Lab(Elsewhere):
        remote = False
        aliases = Aliases()

        def node(self, name: str) -> FakePod:
            return FakePod(name)

    scenario = Scenario(lab_only=WHY)

    @scenario.step(en="e", zh="z", lab_only=WHY)
    def one(lab: View) -> None:
        with lab.where_possible():
            lab.require_lab(WHY)
            lab.node("n").run("ip route").expect("ran ip route")

    ended, _ = play(scenario, Lab())
    assert (ended.counts.passed, ended.checks) == (1, 1)


def test_the_authors_words_are_the_clusters_when_run_and_shown_and_the_authors_when_judged() -> None:
    scenario, cluster = Scenario(), Elsewhere()

    @scenario.step(en="ask web-1", zh="问 web-1", why_en="at 10.0.0.1")
    def ask(lab: View) -> None:
        pod = lab.pod("web-1")
        assert pod.name == "web-1"
        outcome = pod.run("curl 10.0.0.1").expect("web-1 at 10.0.0.1", "web-1 answers").expect("10.0.0.1 is wrong")
        assert outcome.stdout == "web-1 at 10.0.0.1 ran curl 10.0.0.1\n"
        pod.run(["curl", "10.0.0.1"])
        pod.until("curl 10.0.0.1", checks.matches(None, r"10\.0\.0\.1"), timeout=1.0)
        lab.say(en="web-1 spoke", zh="web-1")

    _, events = play(scenario, cluster)
    assert cluster.web.ran == ["curl 10.9.0.1", ["curl", "10.9.0.1"], "curl 10.9.0.1"]
    (started,) = only(events, StepStarted)
    assert (started.title.en, started.why.en) == ("ask web-x9", "at 10.9.0.1")
    assert only(events, CommandRan)[0].stdout == "web-x9 at 10.9.0.1 ran curl 10.9.0.1\n"
    good, bad, pattern = (one.verdict for one in only(events, Checked))
    assert (good.ok, good.name.en, good.expected) == (True, "web-x9 answers", "web-x9 at 10.9.0.1")
    assert (bad.ok, bad.expected, bad.actual) == (False, "10.9.0.1 is wrong", "web-x9 at 10.9.0.1 ran curl 10.9.0.1")
    assert (pattern.ok, pattern.expected) == (True, r"10\.9\.0\.1")
    assert only(events, Noted)[0].text.en == "web-x9 spoke"


def test_reports_of_what_is_left_out(tmp_path: Path) -> None:
    _, events = play(mixed())
    screen, stream = io.StringIO(), io.StringIO()
    writers = [TerminalWriter(screen), JUnitWriter(tmp_path / "r.xml"), JsonWriter(stream)]
    for event in events:
        for writer in writers:
            writer(event)
    writers[2].close()
    text = screen.getvalue()
    assert "  - passed but for a part that is left out: it needs access to nodes\n" in text
    assert re.search(r"^in part +✓ in part +1/1", text, re.MULTILINE) and "3 passed, 4 left out" in text
    assert "The 3 checks that were made held." in text
    (document,) = json.loads(stream.getvalue())["runs"]
    assert (document["summary"]["ok"], document["summary"]["left_out"]) == (True, 4)
    cases = {case.get("name"): case for case in ElementTree.parse(tmp_path / "r.xml").iter("testcase")}
    assert [one.get("message") for one in cases["declared"].iter("skipped")] == ["left out: it is the lab's"]
    assert [(one.get("name"), one.get("value")) for one in cases["part"].iter("property")] == [("left out", "it needs access to nodes")]
