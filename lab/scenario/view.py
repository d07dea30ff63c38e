"""What the author of a step holds: the running lab, where every command and every check leaves its event.

A check that does not hold is recorded and the step goes on, so that one run shows everything that is wrong; the runner fails the
step at its end. What cannot be run at all raises CommandError and ends the step.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from lab.errors import CommandError, NotHere
from lab.model.aliases import NONE, Aliases
from lab.model.text import Text
from lab.observe.sighting import Sighting
from lab.observe.sighting import lines as sighting_lines
from lab.scenario import checks, thennow
from lab.scenario.checks import Judge, Name, Verdict
from lab.scenario.events import Checked, CommandRan, CommandSaid, CommandStarted, Emit, Noted, Shown, Travelled
from lab.scenario.logs import POLL_SECONDS, Log
from lab.scenario.thennow import Difference, Row

if TYPE_CHECKING:
    from lab.observe.trace.journey import Journey

Value = TypeVar("Value")
_NOT_FOUND = re.compile(r"^bash: line \d+: (\S+): command not found$", re.MULTILINE)


class ResultLike(Protocol):
    """The part of lab.fabric.process.Result that is needed here."""

    @property
    def status(self) -> int:
        """The exit status."""

    @property
    def stdout(self) -> str:
        """What it wrote to standard output."""

    @property
    def stderr(self) -> str:
        """What it wrote to standard error."""

    @property
    def seconds(self) -> float:
        """How long it took."""


class HostLike(Protocol):
    """The part of a machine of the lab that is needed here."""

    name: str
    prompt: str

    def run(self, command: str | Sequence[str], timeout: float = ..., **options: Any) -> Any:
        """Run a command; CommandError if it cannot be run or takes too long. A host with `streams` takes `heard` as lab.fabric.process.run does."""


@dataclass(frozen=True)
class Clock:
    """Time, handed in: `now` in seconds from anywhere, `sleep` for so many seconds."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


class Recorder:
    """Numbers and emits what happens in one step, and counts its checks."""

    def __init__(self, emit: Emit, aliases: Aliases = NONE) -> None:
        self.emit = emit
        self.aliases = aliases
        self.left_out: list[Text] = []
        self.commands = 0
        self.lines_said = 0
        self.checks = 0
        self.failed = 0
        self.places: dict[str, HostLike] = {}

    def begin(self, host: HostLike, command: str | Sequence[str]) -> CommandStarted:
        """Announce a command."""
        self.commands += 1
        self.places[host.name] = host
        typed = command if isinstance(command, str) else shlex.join(command)
        self.lines_said = 0
        started = CommandStarted(self.commands, host.name, host.prompt, typed)
        self.emit(started)
        return started

    def said(self, started: CommandStarted, text: str) -> None:
        """Tell what the announced command has printed since it was last told."""
        self.emit(CommandSaid(started.number, self.lines_said, text))
        self.lines_said += text.count("\n")

    def end(self, started: CommandStarted, result: ResultLike, attempts: int = 1) -> None:
        """Record what the announced command gave back."""
        head = (started.number, started.where, started.prompt, started.command)
        self.emit(CommandRan(*head, result.status, result.stdout, result.stderr, result.seconds, attempts))
        missing = _NOT_FOUND.search(result.stderr)
        if missing:
            name = missing[1]
            self.note(Text(f"{name} is not on this machine; `lab doctor` tells how to get it", f"本机没有 {name}；`lab doctor` 会说明怎样安装"))

    def check(self, verdict: Verdict, command: int = 0) -> bool:
        """Record a verdict; whether it held."""
        self.checks += 1
        self.failed += not verdict.ok
        real = self.aliases.real
        told = replace(verdict, expected=real(verdict.expected), actual=real(verdict.actual), diff=tuple(map(real, verdict.diff)))
        self.emit(Checked(replace(told, name=self.real(verdict.name)), command))
        return verdict.ok

    def real(self, text: Text) -> Text:
        """A text with the words of the cluster that it is about."""
        return Text(self.aliases.real(text.en), self.aliases.real(text.zh))

    def note(self, text: Text) -> None:
        """Record a remark."""
        self.emit(Noted(self.real(text), self.commands))

    def show(self, title: Text, lines: Iterable[str]) -> None:
        """Record something that no command printed."""
        self.emit(Shown(self.real(title), tuple(map(self.aliases.real, lines)), self.commands))


class Outcome:
    """What a command gave back, ready to be judged. Every `expect` records a check and returns the outcome, so they chain."""

    def __init__(self, recorder: Recorder, number: int, result: ResultLike) -> None:
        self._recorder = recorder
        self._number = number
        self.result = result
        self.status = result.status
        self.stdout = recorder.aliases.written(result.stdout)
        self.stderr = recorder.aliases.written(result.stderr)
        self.seconds = result.seconds

    @property
    def lines(self) -> list[str]:
        """The standard output, line by line."""
        return self.stdout.splitlines()

    def judge(self, judge: Judge, value: object = None) -> Outcome:
        """Let any judge of lab.scenario.checks look at `value`, or at the standard output."""
        self._recorder.check(judge(self.stdout if value is None else value), self._number)
        return self

    def expect_lines(self, expected: Sequence[str], name: Name = None) -> Outcome:
        """The standard output is exactly these lines, in order."""
        return self.judge(checks.lines(name, expected))

    def expect(self, text: str, name: Name = None) -> Outcome:
        """The standard output contains the text."""
        return self.judge(checks.contains(name, text))

    def lacks(self, text: str, name: Name = None) -> Outcome:
        """Neither standard output nor standard error contains the text."""
        return self.judge(checks.lacks(name, text), self.stdout + self.stderr)

    def expect_match(self, pattern: str, name: Name = None) -> Outcome:
        """The regular expression is found in the standard output; ^ and $ match at lines."""
        return self.judge(checks.matches(name, pattern))

    def expect_status(self, *allowed: int, name: Name = None) -> Outcome:
        """The exit status is one of these; 0 when none is given."""
        return self.judge(checks.status(name, *(allowed or (0,))), self.status)

    def expect_json(self, expected: dict[str, Any], name: Name = None) -> Outcome:
        """The standard output is a JSON object that has at least these keys and values."""
        return self.judge(checks.json(name, expected))


class Machine:
    """A node, pod or client of the lab, as a step sees it. Whatever else the real one offers passes through."""

    def __init__(self, host: HostLike, recorder: Recorder, clock: Clock) -> None:
        self._host = host
        self._recorder = recorder
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)

    @property
    def name(self) -> str:
        """What the scenario calls it."""
        return self._recorder.aliases.written(self._host.name)

    def _admitted(self, command: str | Sequence[str]) -> str | Sequence[str]:
        """The command in the cluster's words. NotHere, before anything is shown, where this machine cannot be told such things."""
        real = self._recorder.aliases.real
        command = real(command) if isinstance(command, str) else [real(word) for word in command]
        admit = getattr(self._host, "admit", None)
        if admit is not None:
            admit(command)
        return command

    def run(self, command: str | Sequence[str], timeout: float = 10.0) -> Outcome:
        """Run a command (a str as typed into bash, a sequence directly) and show it with what came back.

        timeout   seconds. Raises CommandError when it takes longer or cannot be started.
        """
        command = self._admitted(command)
        started = self._recorder.begin(self._host, command)
        aloud = {"heard": lambda text: self._recorder.said(started, text)} if getattr(self._host, "streams", False) else {}
        result = self._host.run(command, timeout=timeout, **aloud)
        self._recorder.end(started, result)
        return Outcome(self._recorder, started.number, result)

    def until(self, command: str | Sequence[str], judge: Judge, timeout: float = 5.0) -> Outcome:
        """Run a command again and again until its standard output satisfies the judge; shown and checked once, as it was last.

        timeout   seconds for all attempts together; when they are over, the check has failed and the step goes on
        """
        command = self._admitted(command)
        started = self._recorder.begin(self._host, command)
        deadline = self._clock.now() + timeout
        attempts = 0
        while True:
            try:
                result = self._host.run(command, timeout=max(deadline - self._clock.now(), POLL_SECONDS))
            except CommandError:
                if not attempts or self._clock.now() < deadline:
                    raise
                break  # the time was over in the middle of an attempt: the one before it stands
            attempts += 1
            verdict = judge(self._recorder.aliases.written(result.stdout))
            if verdict.ok or self._clock.now() >= deadline:
                break
            self._clock.sleep(POLL_SECONDS)
        self._recorder.end(started, result, attempts)
        self._recorder.check(verdict, started.number)
        return Outcome(self._recorder, started.number, result)


class View:
    """The lab in the hands of a step. Whatever else the cluster offers (pod_object, service, …) passes through."""

    def __init__(self, cluster: Any, emit: Emit, clock: Clock) -> None:
        self.cluster = cluster
        self.recorder = Recorder(emit, getattr(cluster, "aliases", NONE))
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self.cluster, name)

    @property
    def nodes(self) -> list[Machine]:
        """Every node, in the topology's order."""
        return [self._machine(host) for host in self.cluster.nodes]

    @property
    def pods(self) -> list[Machine]:
        """Every pod."""
        return [self._machine(host) for host in self.cluster.pods]

    @property
    def clients(self) -> list[Machine]:
        """Every machine outside the cluster."""
        return [self._machine(host) for host in self.cluster.clients]

    @property
    def operator(self) -> Machine:
        """Where kubectl is typed: the master, or on a cluster elsewhere this machine. Only kubectl, without pipes."""
        return self._machine(self.cluster.operator)

    @property
    def caller(self) -> Machine:
        """Someone in the cluster who calls services: the master, or on a cluster elsewhere a pod made for it."""
        return self._machine(self.cluster.caller)

    @property
    def remote(self) -> bool:
        """Whether this is a cluster elsewhere, of which no more is known than its API says."""
        return bool(getattr(self.cluster, "remote", False))

    @contextmanager
    def where_possible(self) -> Iterator[None]:
        """A part of a step that only a lab can show: on a cluster elsewhere it is left out from where it cannot go on, and the step says so."""
        try:
            yield
        except NotHere as error:
            text = Text(error.en, error.zh)
            self.recorder.left_out.append(text)
            self.recorder.note(Text(f"left out from here: {text.en}", f"这一部分略去：{text.zh}"))

    def require_lab(self, reason: Text) -> None:
        """NotHere on a cluster elsewhere: what comes now holds in a lab only. `reason`: why."""
        if self.remote:
            raise NotHere(reason.en, reason.zh)

    def host(self, name: str) -> Machine:
        """Any machine by its name; UsageError if there is none."""
        return self._machine(self.cluster.host(name))

    def node(self, name: str) -> Machine:
        """A node by its name."""
        return self._machine(self.cluster.node(name))

    def pod(self, name: str) -> Machine:
        """A pod by its name."""
        return self._machine(self.cluster.pod(name))

    def client(self, name: str = "client") -> Machine:
        """A machine outside the cluster."""
        return self._machine(self.cluster.client(name))

    def say(self, *, en: str, zh: str) -> None:
        """A remark that the learner reads at this place."""
        self.recorder.note(Text(en, zh))

    def show(self, lines: Iterable[str], *, en: str, zh: str) -> None:
        """Show what no command printed, such as the packets of a capture, under a title that says what it is."""
        self.recorder.show(Text(en, zh), lines)

    def fault(self, who: str, words: str, way: str = "both", interface: str = "") -> None:
        """Break something on purpose, or mend it, and show it as a learner would type it: `lab.fault("zenlinnode1", "loss 30 delay 50")`.

        All arguments as those of `lab fault`. Raises UsageError for wrong words and names, MachineError for what this kernel cannot do.
        """
        self.cluster.fault(who, words, way=way, interface=interface)
        options = [*(["--way", way] if way != "both" else []), *(["-i", interface] if interface else [])]
        typed = shlex.join(["lab", "fault", *options, who, *shlex.split(words)])
        self.say(en=f"`{typed}`", zh=f"`{typed}`")

    def log(self, machine: str, daemon: str = "flanneld", whole: bool = False) -> Log:
        """What a daemon says from now on, also after a restart of it, or with `whole` ever since the lab is up.

        UsageError when there is none of that name.
        """
        who = Text(f"{daemon}'s log on {machine}", f"{machine} 上 {daemon} 的日志")
        path = self.cluster.daemon(machine, daemon).log
        return Log(path, 0 if whole else path.stat().st_size, who, self.recorder, self._clock)

    def compare(self, then: Sequence[str], now: Sequence[str], known: Sequence[Difference], *, en: str, zh: str) -> list[Row]:
        """Show a listing of then beside one of now and say why they differ; checked: no difference is without a reason."""
        rows = thennow.compare(then, now, known)
        self.show(thennow.lines(rows), en=en, zh=zh)
        for why in thennow.reasons(rows):
            self.say(en=why.en, zh=why.zh)
        name = Text("every difference has its reason", "每处差异都有原因")
        self.expect_equal(name, [row.then or row.now for row in rows if row.kind == "unknown"], [])
        return rows

    def show_packets(self, sightings: Iterable[Sighting], *, en: str, zh: str) -> None:
        """Show packets that a capture saw: where, when after the first of them, and every header, wrappings first."""
        self.show(sighting_lines(sightings), en=en, zh=zh)

    def show_journey(self, journey: Journey, *, en: str, zh: str) -> None:
        """Show a packet's journey (`lab.trace`): its lines, and in reports a picture of it."""
        self.show(journey.lines, en=en, zh=zh)
        self.recorder.emit(Travelled(journey.to_json(), self.recorder.commands))

    def check(self, judge: Judge, actual: object) -> bool:
        """Let a judge of lab.scenario.checks look at any value; whether it held."""
        return self.recorder.check(judge(actual))

    def expect_equal(self, name: Name, actual: object, expected: object) -> bool:
        """The value is exactly the expected one."""
        return self.check(checks.equal(name, expected), actual)

    def expect_between(self, name: Name, actual: float, low: float, high: float) -> bool:
        """The number is at least `low` and at most `high`."""
        return self.check(checks.between(name, low, high), actual)

    def expect_even_split(self, name: Name, actual: dict[str, int], among: Sequence[str]) -> bool:
        """A random choice fell about equally often on each of `among` (lab.scenario.checks.even_split)."""
        return self.check(checks.even_split(name, among), actual)

    def until(self, judge: Judge, probe: Callable[[], Value], timeout: float = 5.0) -> Value:
        """Call `probe` until its value satisfies the judge or `timeout` seconds are over; the last value. Checked once."""
        deadline = self._clock.now() + timeout
        while True:
            value = probe()
            verdict = judge(value)
            if verdict.ok or self._clock.now() >= deadline:
                self.recorder.check(verdict)
                return value
            self._clock.sleep(POLL_SECONDS)

    def hold(self, judge: Judge, probe: Callable[[], Value], seconds: float) -> Value:
        """Call `probe` for so many seconds: its value must satisfy the judge all the time. Checked once, as it was last."""
        deadline = self._clock.now() + seconds
        while True:
            value = probe()
            verdict = judge(value)
            if not verdict.ok or self._clock.now() >= deadline:
                self.recorder.check(verdict)
                return value
            self._clock.sleep(POLL_SECONDS)

    def _machine(self, host: HostLike) -> Machine:
        return Machine(host, self.recorder, self._clock)
