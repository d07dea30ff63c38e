"""What a step waits for: a command's output at its deadline, and lines in a daemon's log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from fake_cluster import FakeResult, FakeTime, cluster, only, statuses

from lab.errors import CommandError
from lab.scenario import Scenario, checks
from lab.scenario.events import Checked, CommandRan, Event, Noted, Shown
from lab.scenario.runner import run
from lab.scenario.view import Clock, View


def test_until_keeps_the_attempt_before_the_one_that_its_deadline_cuts_off() -> None:
    """A ping without an answer takes its whole time, and the last one more than is left: the check has failed, the step goes on."""
    hosts = cluster()
    time = FakeTime()
    slow = hosts.nodes[0].run

    def run_slowly(command: str | Sequence[str], timeout: float = 10.0) -> FakeResult:
        time.sleep(min(0.4, timeout))
        if timeout < 0.4:
            raise CommandError("it did not end and was killed")
        return slow(command, timeout)

    hosts.nodes[0].run = run_slowly  # type: ignore[method-assign]
    scenario = Scenario()

    @scenario.step(en="e", zh="z")
    def _step(lab: View) -> None:
        lab.node("n1").until("false", checks.contains("ready", "yes"), timeout=1)
        lab.say(en="on", zh="继续")

    events: list[Event] = []
    run(scenario, hosts, events.append, clock=time.clock())
    (ran,) = only(events, CommandRan)
    assert (ran.status, ran.attempts) == (1, 2)
    assert list(statuses(events).values()) == ["failed"]
    assert len(only(events, Noted)) == 1


def test_a_log_shows_the_lines_that_were_waited_for(tmp_path: Path) -> None:
    """Lines from before are not its own, and a line that comes while it waits is."""
    path = tmp_path / "flanneld.log"
    path.write_text("an old line\n")
    time = FakeTime()

    class Later(FakeTime):
        def sleep(self, seconds: float) -> None:
            time.sleep(seconds)
            with path.open("a") as log:
                log.write("noise\nSubnet added: 10.244.2.0/24\n")

    hosts = cluster()
    hosts.daemon = lambda machine, name: SimpleNamespace(log=path)  # type: ignore[attr-defined]
    scenario = Scenario()

    @scenario.step(en="e", zh="z")
    def _step(lab: View) -> None:
        lab.log("n1").expect("Subnet added: 10.244.2.0/24", "Finished", timeout=0.1).expect("old", timeout=0.1)
        lab.log("n1", whole=True).expect("an old line")

    events: list[Event] = []
    run(scenario, hosts, events.append, clock=Clock(lambda: time.now, Later().sleep))
    assert [event.verdict.ok for event in only(events, Checked)] == [True, False, False, True]
    first, second, third = only(events, Shown)
    assert set(first.lines) == {"Subnet added: 10.244.2.0/24"}
    assert (second.lines, third.lines) == ((), ("an old line",))
    assert (first.title.en, first.title.zh) == ("flanneld's log on n1", "n1 上 flanneld 的日志")
