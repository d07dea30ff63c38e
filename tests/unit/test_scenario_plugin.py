"""The pytest plugin in a pytest of its own, with a stand-in for the lab that prints a report document."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]
INSTALLED = any(one.value == "lab.scenario.pytest_plugin" for one in entry_points(group="pytest11"))
PLUGIN = ("-p", "no:cacheprovider", *(() if INSTALLED else ("-p", "lab.scenario.pytest_plugin")))
"""pytest refuses to load a plugin a second time where the lab is installed."""
SCRIPT = """
from lab.scenario import Scenario, Text
scenario = Scenario(title=Text("t", "t"))
for key in ("good", "bad", "child"):
    names = {}
    exec(f"def {key}(lab): ...", names)
    scenario.step(en=f"the {key} step", zh="z")(names[key])

def test_that_pytest_must_not_take(): raise RuntimeError
"""


def step(key: str, status: str | None, reason: str = "", **more: Any) -> dict[str, Any]:
    return {"key": key, "status": status, "reason": {"en": reason, "zh": reason} if reason else None, "seconds": 0.1, **more}


BAD = step(
    "bad",
    "failed",
    commands=[{"number": 1, "prompt": "root@n1:~#", "command": "hostname", "status": 0, "stdout": "n1\n", "stderr": ""}],
    checks=[
        {
            "command": 1,
            "name": {"en": "its name", "zh": ""},
            "ok": False,
            "kind": "equal",
            "expected": "n2",
            "actual": "n1",
            "diff": [],
        }
    ],
)
FULL = [step("good", "passed"), BAD, step("child", "skipped", "it needs bad, which did not pass")]


def project(pytester: pytest.Pytester, output: str, status: int = 1, script: str = SCRIPT) -> Path:
    """A folder with one scenario, and a stand-in that prints `output`, notes how it was called, and ends with `status`."""
    folder = pytester.path / "scenarios" / "demo"
    folder.mkdir(parents=True)
    (folder / "scenario.py").write_text(script)
    (pytester.path / "output").write_text(output)
    stand_in = pytester.path / "stand_in.py"
    stand_in.write_text(
        "import sys\nfrom pathlib import Path\nhere = Path(__file__).parent\n"
        "with (here / 'calls').open('a') as calls:\n    print(*sys.argv[1:], file=calls)\n"
        f"print((here / 'output').read_text())\nprint('lab: said on stderr', file=sys.stderr)\nsys.exit({status})\n"
    )
    pytester.makeini(f"[pytest]\naddopts = --strict-markers\nlab_command = {shlex.join([sys.executable, str(stand_in)])}\n")
    return folder


def report(steps: list[dict[str, Any]], aborted: str = "") -> str:
    summary = {"aborted": {"en": aborted, "zh": aborted} if aborted else None}
    return json.dumps({"schema": 1, "runs": [{"scenario": "demo", "steps": steps, "summary": summary}]})


def test_one_item_a_step_from_one_run(pytester: pytest.Pytester) -> None:
    folder = project(pytester, report(FULL))
    result = pytester.runpytest(*PLUGIN, "-v")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*scenario.py::good PASSED*",
            "*the bad step*",
            "*its name*",
            "root@n1:~# hostname",
            "n1",
            "expected (equal): n2",
            "really: n1",
        ]
    )
    assert (pytester.path / "calls").read_text() == f"run {folder} --format json\n"


def test_items_can_be_chosen(pytester: pytest.Pytester) -> None:
    project(pytester, report(FULL))
    pytester.runpytest(*PLUGIN, "scenarios/demo/scenario.py::good").assert_outcomes(passed=1)
    pytester.runpytest(*PLUGIN, "-m", "not e2e").assert_outcomes(deselected=3)
    pytester.runpytest(*PLUGIN, "scenarios/demo/scenario.py").assert_outcomes(passed=1, failed=1, skipped=1)


def test_a_run_that_was_cut_short_fails_the_rest(pytester: pytest.Pytester) -> None:
    project(pytester, report([FULL[0], step("bad", None)], "the lab process was killed"))
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*cut short before this step ended: the lab process was killed*"])


@pytest.mark.parametrize("output", ["", "no json", "{}", '{"runs": []}', "[]"])
def test_a_lab_without_a_report_fails_every_step(pytester: pytest.Pytester, output: str) -> None:
    project(pytester, output, status=3)
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*ended with status 3 and gave no report:*", "*lab: said on stderr*"])
    assert (pytester.path / "calls").read_text().count("\n") == 1


def test_a_lab_that_is_not_there(pytester: pytest.Pytester) -> None:
    project(pytester, "")
    pytester.makeini("[pytest]\nlab_command = /nowhere/lab\n")
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["*could not be started: No such file or directory*"])


def test_a_wrong_script_is_an_error_in_the_labs_words(pytester: pytest.Pytester) -> None:
    project(pytester, "", script="scenario = 1\n")
    result = pytester.runpytest(*PLUGIN)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*scenario.py: scenario: it must set `scenario = Scenario(...)`*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_other_files_of_that_name_are_left_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(scenario="raise RuntimeError('imported')")
    assert pytester.runpytest(*PLUGIN).ret is pytest.ExitCode.NO_TESTS_COLLECTED


def test_the_plugin_loads_nothing_heavy() -> None:
    code = "import sys, lab.scenario.pytest_plugin; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.split())
    assert "lab" in loaded
    assert not loaded & {"pydantic", "yaml", "pyroute2", "mininet", "aiohttp", "scapy", "rich"}
