"""Scenarios under pytest: every scenarios/<name>/scenario.py is collected, one test item a step.

A scenario runs once, as `python -m lab run <folder> --format json` in a process of its own, because a lab is the first process of its
own namespaces. Its items then report what became of their steps. Ini options:

    lab_command   what runs a lab, by default this Python's `-m lab`; `sudo -n python3 -m lab` where root is needed
    lab_timeout   seconds that one scenario may take, 300 by default

Heavy imports wait until there is something to collect: this module is loaded by every pytest of an environment that has the lab.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SCRIPT = "scenario.py"


class StepFailed(Exception):
    """A step of a scenario did not pass; the text is what the learner would see."""


class Nothing(pytest.Module):
    """A scenario's script as pytest's own Python plugin sees it: without tests, and never imported."""

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """No tests."""
        return []


class ScenarioFile(pytest.File):
    """One scenario. It runs when its first item does, and no more than once."""

    _run: dict[str, Any] | str | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """One item a step; a wrong script is a collection error in the lab's words."""
        from lab.errors import InputError
        from lab.scenario.loader import load_scenario

        try:
            scenario = load_scenario(self.path.parent)
        except InputError as error:
            raise self.CollectError(str(error)) from error
        for step in scenario.steps:
            item: StepItem = StepItem.from_parent(self, name=step.key)
            item.source, item.line, item.title = Path(step.file), step.line, step.title.en
            item.add_marker("e2e")
            yield item

    def run(self) -> dict[str, Any]:
        """The run's entry of the report document (lab.report.jsonout). Raises StepFailed when the lab gave none."""
        if self._run is None:
            self._run = self._execute()
        if isinstance(self._run, str):
            raise StepFailed(self._run)
        return self._run

    def _execute(self) -> dict[str, Any] | str:
        command = [*shlex.split(self.config.getini("lab_command") or ""), "run", str(self.path.parent), "--format", "json"]
        if command[0] == "run":
            command[:0] = [sys.executable, "-m", "lab"]
        timeout = float(self.config.getini("lab_timeout"))
        shown = shlex.join(command)
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except OSError as error:
            return f"`{shown}` could not be started: {error.strerror}; the ini option lab_command says what runs a lab"
        except subprocess.TimeoutExpired:
            return f"`{shown}` did not end within {timeout:g} s; the ini option lab_timeout sets the limit"
        try:
            run: dict[str, Any] = json.loads(done.stdout)["runs"][0]
        except (ValueError, LookupError, TypeError):
            return f"`{shown}` ended with status {done.returncode} and gave no report:\n{done.stderr or done.stdout}"
        return run


class StepItem(pytest.Item):
    """One step of a scenario."""

    source: Path
    line: int
    title: str

    def runtest(self) -> None:
        """Pass, skip or fail as the step did."""
        from lab.scenario.transcript import failure_text

        parent = self.parent
        assert isinstance(parent, ScenarioFile)
        run = parent.run()
        step = next((step for step in run["steps"] if step["key"] == self.name), None)
        if step is None or step["status"] is None:
            aborted = run["summary"]["aborted"]
            raise StepFailed("the run was cut short before this step ended" + (f": {aborted['en']}" if aborted else ""))
        if step["status"] in ("skipped", "left_out"):
            pytest.skip(step["reason"]["en"])
        if step["status"] != "passed":
            raise StepFailed(f"{self.title}\n\n{failure_text(step)}")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A step that did not pass is told in the lab's words, without a traceback of this plugin."""
        if isinstance(excinfo.value, StepFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the author wrote the step."""
        return self.source, self.line - 1, f"{self.path.parent.name}::{self.name}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The ini options."""
    parser.addini("lab_command", "what runs a lab, such as `sudo -n python3 -m lab`; default: this Python's `-m lab`", default="")
    parser.addini("lab_timeout", "seconds that one scenario may take", default="300")


def pytest_configure(config: pytest.Config) -> None:
    """The marker that every step carries."""
    config.addinivalue_line("markers", "e2e: runs a whole lab on real parts")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Take scenarios/<name>/scenario.py."""
    return ScenarioFile.from_parent(parent, path=file_path) if _is_scenario(file_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Nothing | None:
    """Keep pytest's Python plugin from importing a scenario that is named on the command line."""
    return Nothing.from_parent(parent, path=module_path) if _is_scenario(module_path) else None


def _is_scenario(path: Path) -> bool:
    return path.name == SCRIPT and path.parent.parent.name == "scenarios"
