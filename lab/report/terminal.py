"""The run as a learner watches it: the boot, each command as typed with its real output, the verdicts, and a table at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TextIO

from lab.model.columns import fold, pad, visible, width, wrap
from lab.report.words import Language, pick, say, seconds, stage
from lab.scenario.checks import Verdict
from lab.scenario.events import (
    Booted,
    BootProgress,
    Checked,
    CommandRan,
    CommandSaid,
    CommandStarted,
    Event,
    Evidence,
    Noted,
    Pictured,
    RunEnded,
    RunStarted,
    Shown,
    StageChanged,
    StepEnded,
    StepStarted,
    Travelled,
)

HEAD, TAIL = 14, 6
"""How many lines of a long output are shown at its beginning and end."""
CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "error": ("✗", "red"), "skipped": ("-", "yellow"), "left_out": ("-", "yellow")}


def wants_colour(stream: TextIO, environ: Mapping[str, str] | None = None) -> bool:
    """Colour goes to terminals that can show it, unless the user set NO_COLOR (no-color.org)."""
    environ = os.environ if environ is None else environ
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class TerminalWriter:
    """Writes a run for people, live.

    language   en or zh, for the scenario's texts and for the writer's own words
    columns    width of prose and rules; commands and their output are never broken
    colour     ANSI colours
    live       the stream is a terminal: what is being booted is shown on a line that is rewritten
    verbose    long outputs are shown in full
    """

    def __init__(
        self,
        stream: TextIO,
        language: Language = "en",
        columns: int = 100,
        colour: bool = False,
        live: bool = False,
        verbose: bool = False,
    ) -> None:
        self._stream = stream
        self._language = language
        self._columns = max(min(columns, 120), 40)
        self._colour = colour
        self._live = live
        self._verbose = verbose
        self._booting: list[str] = []
        self._said = 0
        self._titles: dict[str, str] = {}
        self._ended: dict[str, StepEnded] = {}
        self._handlers: dict[type, Callable[[Any], None]] = {
            RunStarted: self._run_started,
            BootProgress: self._boot_progress,
            StageChanged: self._stage_changed,
            Booted: self._booted,
            Pictured: lambda event: None,
            StepStarted: self._step_started,
            CommandStarted: self._command_started,
            CommandSaid: self._command_said,
            CommandRan: self._command_ran,
            Noted: self._noted,
            Shown: self._shown,
            Travelled: lambda event: None,
            Checked: self._checked,
            Evidence: self._evidence,
            StepEnded: self._step_ended,
            RunEnded: self._run_ended,
        }

    def __call__(self, event: Event) -> None:
        """Write what this event has to say, at once."""
        self._handlers[type(event)](event)
        self._stream.flush()

    def close(self) -> None:
        """Nothing is left to write."""
        self._stream.flush()

    def _run_started(self, event: RunStarted) -> None:
        self._titles = {step.key: self._pick(step.title) for step in event.steps}
        self._ended = {}
        self._line(self._style("bold", f"{event.scenario}: {self._pick(event.title)}"))
        facts = f"{self._say('topology', name=event.topology)}   {self._say('steps', n=len(event.steps))}"
        self._line(self._style("dim", facts))
        self._prose(self._pick(event.intro))
        self._line()
        self._line(self._say("booting"))

    def _boot_progress(self, event: BootProgress) -> None:
        if event.seconds is None:
            self._booting.append(event.what)
        elif event.what in self._booting:
            self._booting.remove(event.what)
        self._clear()
        if event.seconds is not None:
            self._line(f"  {pad(visible(stage(event.what, self._language)), 44)} {pad(seconds(event.seconds), 8, right=True)}")
        if self._live and self._booting:
            self._stream.write(self._style("dim", f"  … {', '.join(stage(what, self._language) for what in self._booting)}"[: self._columns - 1]))

    def _stage_changed(self, event: StageChanged) -> None:
        self._clear()
        if not event.changes:
            self._line(self._style("dim", f"    {self._say('no_change')}"))
        for change in event.changes:
            where = f": {visible(', '.join(change.where))}" if change.where else ""
            self._line(self._style("bold", f"    {self._say(f'part_{change.part}')}{where}"))
            head, hidden, tail = (change.lines, 0, ()) if self._verbose else fold(list(change.lines), HEAD, TAIL)
            for line in head:
                self._line("      " + self._difference(line))
            if hidden:
                self._line(self._style("dim", "      " + self._say("folded", n=hidden)))
            for line in tail:
                self._line("      " + self._difference(line))

    def _difference(self, line: str) -> str:
        return self._style({"-": "red", "+": "green"}.get(line[:1], ""), visible(line))

    def _clear(self) -> None:
        if self._live:
            self._stream.write("\r\x1b[K")

    def _booted(self, event: Booted) -> None:
        self._clear()
        self._booting = []
        self._line(self._say("ready", seconds=seconds(event.seconds)))

    def _step_started(self, event: StepStarted) -> None:
        self._line()
        head = self._say("step", number=event.number, total=event.total)
        if event.repeat:
            head += f" ({self._say('again')})"
        rule = "─" * max(self._columns - width(head) - 4, 3)
        self._line(self._style("cyan", f"── {head} {rule}"))
        self._line(self._style("bold", self._pick(event.title)))
        self._prose(self._pick(event.why))

    def _command_started(self, event: CommandStarted) -> None:
        self._said = 0
        self._line()
        self._line(f"{self._style('green', event.prompt)} {self._style('bold', visible(event.command))}")

    def _command_said(self, event: CommandSaid) -> None:
        """The beginning of an output while it grows; what comes after that waits for the end, which may fold it."""
        lines = visible(event.text).removesuffix("\n").split("\n")
        if event.line != self._said:  # the terminal has as many as it shows, or not all that were told have come
            return
        for line in lines if self._verbose else lines[: HEAD - self._said]:
            self._line(line)
            self._said += 1

    def _command_ran(self, event: CommandRan) -> None:
        self._output(visible(event.stdout), self._said)
        self._output(visible(event.stderr))
        if event.attempts > 1:
            self._line(self._style("dim", f"({self._say('attempts', n=event.attempts)})"))
        if event.status < 0:
            self._line(self._style("dim", f"({self._say('signal', signal=-event.status)})"))
        elif event.status:
            self._line(self._style("dim", f"({self._say('status', status=event.status)})"))

    def _output(self, text: str, said: int = 0) -> None:
        """`said`: how many of its first lines are there already."""
        lines = text.rstrip("\n").split("\n") if text.rstrip("\n") else []
        head, hidden, tail = (lines, 0, []) if self._verbose else fold(lines, HEAD, TAIL)
        for line in head[said:]:
            self._line(line)
        if hidden:
            self._line(self._style("dim", self._say("folded", n=hidden)))
        for line in tail:
            self._line(line)

    def _noted(self, event: Noted) -> None:
        for index, line in enumerate(wrap(self._say("note", text=self._pick(event.text)), self._columns - 4)):
            self._line(("  » " if index == 0 else "    ") + self._style("yellow", line))

    def _shown(self, event: Shown) -> None:
        """In full: its author chose the lines."""
        self._line()
        for line in wrap(self._pick(event.title), self._columns):
            self._line(self._style("bold", line))
        for line in event.lines:
            self._line(visible(line))

    def _checked(self, event: Checked) -> None:
        verdict = event.verdict
        mark, colour = MARKS["passed" if verdict.ok else "failed"]
        first, *rest = wrap(visible(self._pick(verdict.name)), self._columns - 4)
        self._line(f"  {self._style(colour, mark)} {first}")
        for line in rest:
            self._line(f"    {line}")
        if not verdict.ok:
            self._explain(verdict)

    def _evidence(self, event: Evidence) -> None:
        """Long, and rarely what a learner needs: only with --verbose; the reports always have it."""
        if self._verbose:
            self._line(self._style("dim", f"  {self._say('evidence')} {visible(f'{event.prompt} {event.command}')}"))
            for line in (event.stdout + event.stderr).splitlines():
                self._line(f"      {visible(line)}")

    def _explain(self, verdict: Verdict) -> None:
        if verdict.diff and "\n" in verdict.expected + verdict.actual:
            self._line(f"      {self._say('diff')}")
            for line in verdict.diff:
                if not line.startswith(("---", "+++", "@@")):
                    self._line("      " + self._style({"-": "red", "+": "green"}.get(line[:1], ""), f"{line[:1]} {visible(line[1:])}"))
            return
        labels = self._say("status_check" if verdict.kind == "status" else verdict.kind), self._say("actual")
        column = max(map(width, labels))
        for label, value in zip(labels, (verdict.expected, verdict.actual), strict=True):
            head, hidden, tail = fold(visible(value).split("\n"), HEAD, TAIL)
            shown = [*head, *([self._say("folded", n=hidden)] if hidden else []), *tail]
            self._line(f"      {pad(label, column)}  {shown[0] or self._say('empty')}")
            for line in shown[1:]:
                self._line(f"      {' ' * column}  {line}")

    def _step_ended(self, event: StepEnded) -> None:
        self._ended[event.key] = event
        if event.reason.en:
            mark, colour = MARKS["left_out" if event.status == "passed" else event.status]
            key = "left_out_part" if event.status == "passed" else "ended"
            words = self._say(key, status=self._say(event.status), reason=visible(self._pick(event.reason)))
            self._line(f"  {self._style(colour, mark)} {words}")

    def _run_ended(self, event: RunEnded) -> None:
        self._clear()
        self._line()
        if self._ended:
            self._table()
            self._line()
        values = {
            "checks": event.checks,
            "failed": event.failed_checks,
            "seconds": seconds(event.seconds),
            "boot": seconds(event.boot_seconds),
        }
        counts = event.counts
        if not event.aborted.en:
            shown = [f"{count} {self._say(name)}" for name, count in _counts(counts).items() if count]
            self._line(self._style("green" if event.ok else "red", self._comma(shown)))
        if counts.left_out and not counts.passed and not event.aborted.en:
            self._line(self._say("nothing_passed"))
        if event.checks and not event.aborted.en:
            parts = [one for one in self._ended.values() if one.status == "passed" and one.reason.en]
            whole = not (counts.error or counts.skipped or counts.left_out or parts)
            key = "summary_bad" if event.failed_checks else "summary_good" if whole else "summary_part"
            self._line(self._say(key, **values))
        if event.aborted.en:
            self._line(self._style("red", self._say("aborted", reason=visible(self._pick(event.aborted)))))

    def _table(self) -> None:
        heads = [self._say(f"head_{name}") for name in ("step", "result", "checks", "time")]
        rows = [self._row(key, ended) for key, ended in self._ended.items()]
        columns = [max(map(width, column)) for column in zip(heads, *rows, strict=True)]
        self._line(self._style("bold", _cells(heads, columns)))
        for ended, row in zip(self._ended.values(), rows, strict=True):
            self._line(_cells(row, columns, partial(self._style, MARKS[ended.status][1])))

    def _row(self, key: str, ended: StepEnded) -> list[str]:
        checks = f"{ended.checks - ended.failed_checks}/{ended.checks}" if ended.checks else ""
        word = "in_part" if ended.status == "passed" and ended.reason.en else ended.status
        result = f"{MARKS[ended.status][0]} {self._say(word)}"
        return [self._titles.get(key, key), result, checks, "" if ended.status in ("skipped", "left_out") else seconds(ended.seconds)]

    def _comma(self, parts: list[str]) -> str:
        return ("，" if self._language == "zh" else ", ").join(parts)

    def _prose(self, text: str) -> None:
        if text:
            for line in wrap(text, self._columns):
                self._line(line)

    def _say(self, key: str, **values: object) -> str:
        return say(key, self._language, **values)

    def _pick(self, text: Any) -> str:
        return pick(text, self._language)

    def _style(self, name: str, text: str) -> str:
        return f"\x1b[{CODES[name]}m{text}\x1b[0m" if self._colour and name and text else text

    def _line(self, text: str = "") -> None:
        self._stream.write(text.rstrip() + "\n")


def _counts(counts: Any) -> dict[str, int]:
    return {name: getattr(counts, name) for name in ("passed", "failed", "error", "skipped", "left_out")}


def _cells(row: list[str], columns: list[int], style: Callable[[str], str] = str) -> str:
    step, result, checks, time = (pad(cell, size, right=index > 1) for index, (cell, size) in enumerate(zip(row, columns, strict=True)))
    return f"{step}  {style(result)}  {checks}  {time}"
