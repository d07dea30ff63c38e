"""A run as one JUnit file, one test case a step, for CI systems.

The file exists from the first moment with a failed case named `aborted` in it, and is replaced, atomically, after every step. So
whatever ends the run, SIGKILL included, never leaves a green file, nor the green file of an earlier run, behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.model.markup import attribute, text
from lab.report import files
from lab.report.jsonout import UNFINISHED, Document
from lab.scenario.events import Event, RunEnded, RunStarted, StepEnded
from lab.scenario.transcript import failure_text, transcript


class JUnitWriter:
    """Keeps a JUnit file true from its first moment to `close`.

    Raises UsageError when the file cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._document = Document()
        self._write()

    def __call__(self, event: Event) -> None:
        """Take one more event in; the file follows after each step."""
        self._document.add(event)
        if isinstance(event, RunStarted | StepEnded | RunEnded):
            self._write()

    def close(self) -> None:
        """The file stands as it is: without a last event, its failed case stays."""

    def _write(self) -> None:
        files.replace(self._path, to_xml(self._document.runs), "the JUnit file")


def to_xml(runs: Sequence[Mapping[str, Any]]) -> str:
    """The file's text from the runs of a report document. A run without an end, or no run at all, has a failed case `aborted`."""
    suites = [_suite(run) for run in runs] or [_wrap("lab", [_aborted("lab", UNFINISHED["en"])], 0.0)]
    return '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n' + "".join(suites) + "</testsuites>\n"


def _suite(run: Mapping[str, Any]) -> str:
    cases = [_case(run["scenario"], step) for step in run["steps"] if step["status"] is not None]
    aborted = run["summary"]["aborted"]
    if aborted:
        cases.append(_aborted(run["scenario"], aborted["en"]))
    elif not cases:
        cases.append(_aborted(run["scenario"], "no step ran"))
    return _wrap(run["scenario"], cases, run["summary"].get("seconds", 0.0))


def _wrap(name: str, cases: Sequence[str], seconds: float) -> str:
    counts = {
        "tests": len(cases),
        "failures": sum("<failure " in case for case in cases),
        "errors": sum("<error " in case for case in cases),
        "skipped": sum("<skipped " in case for case in cases),
    }
    figures = " ".join(f'{key}="{value}"' for key, value in counts.items())
    return f'<testsuite name={attribute(name)} {figures} time="{seconds:.3f}">\n' + "".join(cases) + "</testsuite>\n"


def _aborted(scenario: str, reason: str) -> str:
    return _element(scenario, "aborted", 0.0, f"<failure message={attribute(reason)}>{text(reason)}</failure>\n")


def _case(scenario: str, step: Mapping[str, Any]) -> str:
    reason = step["reason"]["en"] if step["reason"] else ""
    inner = ""
    if step["status"] in ("skipped", "left_out"):
        words = f"left out: {reason}" if step["status"] == "left_out" else reason
        inner = f"<skipped message={attribute(words)}/>\n"
    elif step["status"] == "passed" and reason:
        inner = f'<properties><property name="left out" value={attribute(reason)}/></properties>\n'
    elif step["status"] == "error":
        inner = f"<error message={attribute(reason)}>{text(failure_text(step))}</error>\n"
    elif step["status"] == "failed":
        failed = [check["name"]["en"] for check in step["checks"] if not check["ok"]]
        message = "; ".join(failed) or reason
        inner = f"<failure message={attribute(message)}>{text(failure_text(step))}</failure>\n"
    if step.get("commands") or step.get("shown"):
        inner += f"<system-out>{text(transcript(step['commands'], step.get('shown', ())))}</system-out>\n"
    if step.get("evidence"):
        inner += f"<system-err>{text(transcript(step['evidence']))}</system-err>\n"
    return _element(scenario, step["key"], step["seconds"] or 0.0, inner)


def _element(scenario: str, name: str, seconds: float, inner: str) -> str:
    return f'<testcase classname={attribute(scenario)} name={attribute(name)} time="{seconds:.3f}">\n{inner}</testcase>\n'
