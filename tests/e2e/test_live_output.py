"""What a command that takes its time prints is there before it ends: in the terminal and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import chromium
from tests.e2e.lab import lab_up, read_until, start
from tests.e2e.webpage import link_in

pytestmark = pytest.mark.e2e

SCENARIO = """
from lab.scenario import Scenario

scenario = Scenario(topology="flat")


@scenario.step(en="waits", zh="等待")
def waits(lab):
    lab.nodes[0].run("echo begun; until [ -e {gate} ]; do sleep 0.05; done; echo over", timeout=300).expect_lines(["begun", "over"])
"""


@pytest.fixture(name="gate")
def _gate(tmp_path: Path) -> Path:
    """The file that the scenario's only step waits for; the scenario is beside it."""
    gate = tmp_path / "gate"
    folder = tmp_path / "gated"
    folder.mkdir()
    (folder / "scenario.py").write_text(SCENARIO.format(gate=gate), encoding="utf-8")
    return gate


def test_a_run_shows_it_in_the_terminal(gate: Path) -> None:
    running = start("run", str(gate.parent / "gated"))
    seen = read_until(running, "begun\n")
    gate.touch()
    rest, errors = running.communicate(timeout=120)
    assert running.returncode == 0, rest + errors
    assert seen.count("\nbegun\n") == 1 and rest.startswith("over\n") and "\nbegun\n" not in rest


@pytest.fixture(name="up")
def _up(gate: Path) -> Iterator[str]:
    """The link to the page of a lab made from the scenario."""
    with lab_up("gated", str(gate.parent / "gated"), "--web") as said:
        try:
            yield link_in(said)
        finally:
            gate.touch()


def test_goto_and_the_page_show_it(up: str, gate: Path, tmp_path: Path) -> None:
    going = start("goto", "-n", "gated", "waits")
    read_until(going, "begun\n")
    gate.touch()
    rest, errors = going.communicate(timeout=120)
    assert going.returncode == 0 and rest.startswith("over\n"), rest + errors
    gate.unlink()

    with chromium(tmp_path / "chromium") as browser:
        page = browser.page()
        page.open(up)
        text = "document.querySelector('.step[data-step=waits]')"
        page.until(f"{text}?.dataset.status === 'passed'")
        page.value("document.querySelector('#step-waits').click()")
        page.value("document.querySelector('#again-waits').click()")
        page.until(f"{text}.dataset.status === 'running' && {text}.textContent.includes('begun')")
        gate.touch()
        page.until(f"{text}.dataset.status === 'passed' && {text}.querySelectorAll('.check.good').length === 1")
        assert page.troubles() == []
