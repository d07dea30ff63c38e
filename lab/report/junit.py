"""A run as one JUnit file, one test case a step, for CI systems.

The file exists from the first moment with a failed case named `aborted` in it, and is replaced, atomically, after every step. So
whatever ends the run, SIGKILL included, never leaves a green file, nor the green file of an earlier run, behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from lab.errors import UsageError
from lab.report.jsonout import UNFINISHED, Document
from lab.scenario.events import Event, RunEnded, RunStarted, StepEnded
from lab.scenario.transcript import failure_text, transcript

FORBIDDEN = re.compile("[^\\t\\n\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""What XML 1.0 cannot hold, not even escaped; carriage return too, which parsers would change."""


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
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            temporary.write_text(to_xml(self._document.runs), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise UsageError(f"cannot write the JUnit file {self._path}: {error.strerror}; name a file in a writable folder") from error


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
    return f'<testsuite name={_attribute(name)} {figures} time="{seconds:.3f}">\n' + "".join(cases) + "</testsuite>\n"


def _aborted(scenario: str, reason: str) -> str:
    return _element(scenario, "aborted", 0.0, f"<failure message={_attribute(reason)}>{_text(reason)}</failure>\n")


def _case(scenario: str, step: Mapping[str, Any]) -> str:
    reason = step["reason"]["en"] if step["reason"] else ""
    inner = ""
    if step["status"] in ("skipped", "left_out"):
        words = f"left out: {reason}" if step["status"] == "left_out" else reason
        inner = f"<skipped message={_attribute(words)}/>\n"
    elif step["status"] == "passed" and reason:
        inner = f'<properties><property name="left out" value={_attribute(reason)}/></properties>\n'
    elif step["status"] == "error":
        inner = f"<error message={_attribute(reason)}>{_text(failure_text(step))}</error>\n"
    elif step["status"] == "failed":
        failed = [check["name"]["en"] for check in step["checks"] if not check["ok"]]
        message = "; ".join(failed) or reason
        inner = f"<failure message={_attribute(message)}>{_text(failure_text(step))}</failure>\n"
    if step.get("commands") or step.get("shown"):
        inner += f"<system-out>{_text(transcript(step['commands'], step.get('shown', ())))}</system-out>\n"
    if step.get("evidence"):
        inner += f"<system-err>{_text(transcript(step['evidence']))}</system-err>\n"
    return _element(scenario, step["key"], step["seconds"] or 0.0, inner)


def _element(scenario: str, name: str, seconds: float, inner: str) -> str:
    return f'<testcase classname={_attribute(scenario)} name={_attribute(name)} time="{seconds:.3f}">\n{inner}</testcase>\n'


def _text(raw: str) -> str:
    return escape(FORBIDDEN.sub("\ufffd", raw))


def _attribute(raw: str) -> str:
    return quoteattr(FORBIDDEN.sub("\ufffd", raw))
