"""A run as one JSON document, for programs.

    {"schema": 1, "lab": "0.1.0",
     "runs": [{"scenario", "folder", "title": {"en", "zh"}, "topology", "intro",
               "boot": [{"what", "seconds", "changes": [{"part", "where": [], "lines": []}]}], "boot_seconds",
               "steps": [{"key", "number", "title", "why", "status", "reason", "seconds", "repeat",
                          "commands": [{"number", "where", "prompt", "command", "status", "stdout", "stderr", "seconds", "attempts"}],
                          "checks": [{"command", "name", "ok", "kind", "expected", "actual", "diff"}],
                          "notes": [{"after", "text"}],
                          "shown": [{"after", "title", "lines"}],
                          "journeys": [{"after", "journey"}],
                          "evidence": [{"where", "prompt", "command", "status", "stdout", "stderr"}]}],
               "summary": {"ok", "passed", "failed", "skipped", "error", "left_out", "checks", "failed_checks", "seconds",
                           "aborted"}}]}

`schema` grows when a key changes its meaning or goes away; new keys may come at any time. Every text for people is {"en", "zh"}.
A command that could not be run has status null. A step that was repeated stands there as it was the last time. `aborted` is null
for a run that came to its end; `evidence` is of failed steps; `status` of a step is null when the run was cut short in it.
`changes` of a stage of the boot are there in step mode only; their lines begin with "+ " or "- ".
A step that is `left_out` needs what only a lab has; one that passed with a `reason` has left that part out.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, TextIO

from lab import __version__
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

SCHEMA = 1
UNFINISHED = {"en": "the run ended without its last event", "zh": "运行没有正常结束"}


class Document:
    """Events gathered into the plain data of the document. `graphs` are not in it: by a run's place, how its lab was last pictured."""

    def __init__(self) -> None:
        self.runs: list[dict[str, Any]] = []
        self.graphs: dict[int, dict[str, Any]] = {}
        self._step: dict[str, Any] = {}

    def add(self, event: Event) -> None:
        """Take one more event in."""
        if isinstance(event, RunStarted):
            self._run_started(event)
        elif isinstance(event, BootProgress):
            if event.seconds is not None:
                self.run["boot"].append({"what": event.what, "seconds": event.seconds})
        elif isinstance(event, StageChanged):
            self.run["boot"][-1]["changes"] = [asdict(one) for one in event.changes]
        elif isinstance(event, Booted):
            self.run["boot_seconds"] = event.seconds
        elif isinstance(event, Pictured):
            self.graphs[len(self.runs) - 1] = event.graph
        elif isinstance(event, StepStarted):
            self._step_started(event)
        elif isinstance(event, StepEnded):
            self._step_ended(event)
        elif isinstance(event, RunEnded):
            self._run_ended(event)
        elif not isinstance(event, CommandSaid):
            self._in_step(event)

    @property
    def run(self) -> dict[str, Any]:
        """The run that is going on."""
        return self.runs[-1]

    def data(self) -> dict[str, Any]:
        """The whole document."""
        return {"schema": SCHEMA, "lab": __version__, "runs": self.runs}

    def _run_started(self, event: RunStarted) -> None:
        head = {"scenario": event.scenario, "folder": event.folder, "title": asdict(event.title), "topology": event.topology}
        head["intro"] = asdict(event.intro)
        summary = {"ok": False, "aborted": UNFINISHED}
        self.runs.append({**head, "boot": [], "boot_seconds": None, "steps": [], "summary": summary})

    def _entry(self, key: str) -> dict[str, Any]:
        steps: list[dict[str, Any]] = self.run["steps"]
        for step in steps:
            if step["key"] == key:
                return step
        steps.append({"key": key})
        return steps[-1]

    def _step_started(self, event: StepStarted) -> None:
        self._step = self._entry(event.key)
        self._step.update(asdict(event), status=None, reason=None, seconds=None, commands=[], checks=[], notes=[], shown=[])
        self._step.update(journeys=[], evidence=[])
        del self._step["total"]

    def _step_ended(self, event: StepEnded) -> None:
        reason = asdict(event.reason) if event.reason.en else None
        self._entry(event.key).update(status=event.status, reason=reason, seconds=event.seconds)

    def _in_step(self, event: CommandStarted | CommandRan | Noted | Shown | Travelled | Checked | Evidence) -> None:
        if isinstance(event, CommandStarted):
            unknown = {"status": None, "stdout": "", "stderr": "", "seconds": None, "attempts": 0}
            self._step["commands"].append(asdict(event) | unknown)
        elif isinstance(event, CommandRan):
            self._step["commands"][-1] = asdict(event)
        elif isinstance(event, Noted):
            self._step["notes"].append({"after": event.after, "text": asdict(event.text)})
        elif isinstance(event, Shown):
            self._step["shown"].append({"after": event.after, "title": asdict(event.title), "lines": list(event.lines)})
        elif isinstance(event, Travelled):
            self._step["journeys"].append(asdict(event))
        elif isinstance(event, Evidence):
            self._step["evidence"].append(asdict(event))
        else:
            self._step["checks"].append({"command": event.command} | asdict(event.verdict))

    def _run_ended(self, event: RunEnded) -> None:
        aborted = asdict(event.aborted) if event.aborted.en else None
        figures = {"checks": event.checks, "failed_checks": event.failed_checks, "seconds": event.seconds}
        self.run["summary"] = {"ok": event.ok, **asdict(event.counts), **figures, "aborted": aborted}


class JsonWriter:
    """Writes the document to a stream when it is closed, and nothing before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._document = Document()

    def __call__(self, event: Event) -> None:
        """Take one more event in."""
        self._document.add(event)

    def close(self) -> None:
        """Write the document."""
        json.dump(self._document.data(), self._stream, ensure_ascii=False, indent=2)
        self._stream.write("\n")
        self._stream.flush()
