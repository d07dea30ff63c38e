"""Runs a scenario's steps on a lab and tells, event by event, what happens.

A step that fails does not stop the others; only steps that need it are skipped. Whatever an author's function raises ends that
step alone, with the place in the author's file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lab.errors import CheckError, LabError, NotHere
from lab.model.aliases import NONE as NO_ALIASES
from lab.model.text import Text
from lab.scenario.events import (
    NOTHING,
    Booted,
    BootProgress,
    Emit,
    Evidence,
    RunEnded,
    RunStarted,
    Status,
    StepEnded,
    StepInfo,
    StepStarted,
    count,
)
from lab.scenario.loader import author_line
from lab.scenario.model import Scenario, Step
from lab.scenario.stepper import Answer, Pause, Quit
from lab.scenario.view import Clock, Recorder, View

Progress = Callable[[str, float | None], None]
"""Called while booting: (what, None) when a part is being started, (what, seconds) when it has come up."""
Boot = Callable[[Progress], AbstractContextManager[Any]]
Shell = Callable[[Any], None]

EVIDENCE_MACHINES = 4
"""Machines of a failed step that are looked at, those that it used first."""

REAL_CLOCK = Clock(time.monotonic, time.sleep)


def run(
    scenario: Scenario,
    cluster: Any,
    emit: Emit,
    pause: Pause | None = None,
    shell: Shell | None = None,
    clock: Clock = REAL_CLOCK,
) -> RunEnded:
    """Walk through a scenario on a lab that is up. See `boot_and_run` for the arguments."""
    return boot_and_run(scenario, lambda progress: nullcontext(cluster), emit, pause, shell, None, clock)


def walk(scenario: Scenario, cluster: Any, steps: Sequence[Step], ended: Mapping[str, StepEnded], emit: Emit, clock: Clock = REAL_CLOCK) -> bool:
    """Run some steps of a scenario on a lab that is up; whether all of them passed. `ended`: what became of steps before."""
    on = _Walk(scenario, emit, None, None, clock)
    on.ended = dict(ended)
    for step in steps:
        on.step(step, cluster)
    return all(on.ended[step.key].status == "passed" for step in steps)


def boot_and_run(
    scenario: Scenario,
    boot: Boot,
    emit: Emit,
    pause: Pause | None = None,
    shell: Shell | None = None,
    stay: Shell | None = None,
    clock: Clock = REAL_CLOCK,
) -> RunEnded:
    """Boot the lab, walk through the scenario, take the lab down.

    boot    makes the lab: a context manager over the cluster; it reports its progress through the function it is given. Quit from it ends
            the run as quitting before the first step does
    emit    takes every event
    pause   step mode: asked before every step and after the last
    shell   called with the cluster when the learner asks for a shell at a pause
    stay    called with the cluster after the last event, while the lab is still up (--keep)

    Returns the last event. When boot raises, or the learner interrupts, a RunEnded that says so is emitted and the exception
    passes on.
    """
    walk = _Walk(scenario, emit, pause, shell, clock)
    walk.start()
    try:
        with boot(walk.progress) as cluster:
            walk.booted()
            walk.steps(cluster)
            ended = walk.end()
            if stay is not None:
                stay(cluster)
            return ended
    except Quit:
        walk.quit()
        return walk.end()
    except BaseException as error:
        walk.abort(error)
        raise


class _Walk:
    """One run: what has happened so far."""

    def __init__(self, scenario: Scenario, emit: Emit, pause: Pause | None, shell: Shell | None, clock: Clock) -> None:
        self.scenario = scenario
        self.emit = emit
        self.pause = pause
        self.shell = shell
        self.clock = clock
        self.begun = clock.now()
        self.boot_seconds = 0.0
        self.ended: dict[str, StepEnded] = {}
        self.repeats: dict[str, int] = {}
        self.over = False

    def start(self) -> None:
        one = self.scenario
        infos = tuple(StepInfo(step.key, step.title) for step in one.steps)
        self.emit(RunStarted(one.name, str(one.folder), one.title, one.intro, one.topology, infos))

    def progress(self, what: str, seconds: float | None = None) -> None:
        self.emit(BootProgress(what, seconds))

    def booted(self) -> None:
        self.boot_seconds = self.clock.now() - self.begun
        self.emit(Booted(self.boot_seconds))

    def steps(self, cluster: Any) -> None:
        previous: Step | None = None
        for step in [*self.scenario.steps, None]:
            while (answer := self._ask(step, previous)) is not Answer.NEXT:
                if answer is Answer.REPEAT and previous is not None:
                    self.repeats[previous.key] = self.repeats.get(previous.key, 0) + 1
                    self.step(previous, cluster)
                elif answer is Answer.SHELL and self.shell is not None:
                    self.shell(cluster)
                elif answer is Answer.QUIT:
                    self.quit()
                    return
            if step is not None:
                self.step(step, cluster)
                previous = step

    def _ask(self, step: Step | None, previous: Step | None) -> Answer:
        return Answer.NEXT if self.pause is None else self.pause(step, previous)

    def quit(self) -> None:
        """The learner has had enough: what has not run is skipped."""
        for step in self.scenario.steps:
            if step.key not in self.ended:
                self._record(StepEnded(step.key, "skipped", 0.0, 0, 0, Text("you quit", "你退出了")))

    def step(self, step: Step, cluster: Any) -> None:
        number = self.scenario.steps.index(step) + 1
        aliases = getattr(cluster, "aliases", NO_ALIASES)
        title, why = (Text(aliases.real(text.en), aliases.real(text.zh)) for text in (step.title, step.why))
        self.emit(StepStarted(step.key, title, why, number, len(self.scenario.steps), self.repeats.get(step.key, 0)))
        unfit = self._unfit(step, cluster)
        if unfit is not None:
            self._record(StepEnded(step.key, unfit[0], 0.0, 0, 0, unfit[1]))
            return
        view = View(cluster, self.emit, self.clock)
        begun = self.clock.now()
        status, reason = _perform(step, view)
        counted = view.recorder
        if status not in ("passed", "left_out"):
            self._gather_evidence(view, cluster)
        self._record(StepEnded(step.key, status, self.clock.now() - begun, counted.checks, counted.failed, reason))

    def _unfit(self, step: Step, cluster: Any) -> tuple[Status, Text] | None:
        """Why a step does not run at all."""
        reason = self.scenario.why_lab_only(step)
        if reason.en and getattr(cluster, "remote", False):
            return "left_out", reason
        missing = [need for need in step.needs if need not in self.ended or self.ended[need].status != "passed"]
        names = ", ".join(missing)
        if missing and all(need in self.ended and self.ended[need].status == "left_out" for need in missing):
            return "left_out", Text(f"it needs {names}, which is left out", f"它依赖的步骤 {names} 没有做")
        return ("skipped", Text(f"it needs {names}, which did not pass", f"它依赖的步骤 {names} 没有通过")) if missing else None

    def _gather_evidence(self, view: View, cluster: Any) -> None:
        """Keep what the machines of a failed step look like now; a machine that cannot even tell is passed over."""
        for host in list(view.recorder.places.values())[:EVIDENCE_MACHINES]:
            try:
                for found in cluster.evidence(host.name):
                    self.emit(Evidence(host.name, host.prompt, found.command, found.status, found.stdout, found.stderr))
            except LabError:
                continue

    def _record(self, ended: StepEnded) -> None:
        self.ended[ended.key] = ended
        self.emit(ended)

    def end(self, aborted: Text = NOTHING) -> RunEnded:
        every = list(self.ended.values())
        checks, failed = sum(one.checks for one in every), sum(one.failed_checks for one in every)
        ended = RunEnded(count(every), checks, failed, self.clock.now() - self.begun, self.boot_seconds, aborted)
        self.over = True
        self.emit(ended)
        return ended

    def abort(self, error: BaseException) -> None:
        """Tell the writers what cut the run short; nothing to tell when it was already over."""
        if self.over:
            return
        if isinstance(error, KeyboardInterrupt):
            self.end(Text("interrupted", "被中断"))
        else:
            words = str(error) if isinstance(error, LabError | SystemExit) else f"{type(error).__name__}: {error}"
            self.end(Text(words, words))


def _perform(step: Step, view: View) -> tuple[Status, Text]:
    """Run the author's function; how it ended and, if it broke, where and why."""
    try:
        step.action(view)
    except NotHere as error:
        return ("failed" if view.recorder.failed else "left_out"), Text(error.en, error.zh)
    except (CheckError, AssertionError) as error:
        return "failed", _place(step, error, str(error) or "assertion failed")
    except LabError as error:
        return "error", _place(step, error, str(error))
    except Exception as error:  # an author's function may raise anything
        return "error", _place(step, error, f"{type(error).__name__}: {error}")
    return _judge(view.recorder)


def _judge(recorder: Recorder) -> tuple[Status, Text]:
    """How a step ended whose function came to its end."""
    if recorder.failed:
        return "failed", NOTHING
    left_out = list(dict.fromkeys(recorder.left_out))
    if not left_out:
        return "passed", NOTHING
    en, zh = "; ".join(text.en for text in left_out), "；".join(text.zh for text in left_out)
    return ("passed" if recorder.checks else "left_out"), Text(en, zh)


def _place(step: Step, error: BaseException, words: str) -> Text:
    line = author_line(error, step.file) or step.line
    text = f"{step.file}:{line}: {words}"
    return Text(text, text)
