"""`lab run --jobs N`: the same reports in the same order, sooner, and nothing left however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.e2e.folders import SCRIPT, scenario_in
from tests.e2e.lab import lab, start
from tests.hoststate import descendants
from tests.waiting import until

pytestmark = pytest.mark.e2e


def test_three_at_a_time_are_reported_in_their_order(tmp_path: Path) -> None:
    """The second, which fails, has ended long before the first."""
    folder, report = scenario_in(tmp_path / "short", SCRIPT.format(topology="zenlin", command="exit 3")), tmp_path / "report.xml"
    ran = lab("run", "nginx-service", str(folder), "then-and-now", "--jobs", "3", "--format", "json", "--junit", str(report))
    assert ran.returncode == 1, ran.stderr
    runs = json.loads(ran.stdout)["runs"]
    assert [(one["scenario"], one["summary"]["ok"]) for one in runs] == [("nginx-service", True), ("short", False), ("then-and-now", True)]
    suites = ElementTree.parse(report).getroot().findall("testsuite")
    assert [(suite.get("name"), suite.get("failures")) for suite in suites] == [("nginx-service", "0"), ("short", "1"), ("then-and-now", "0")]


def test_the_screen_has_one_story_after_the_other() -> None:
    ran = lab("run", "then-and-now", "nginx-service", "--jobs", "2")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    alone = [lab("run", name).stdout for name in ("then-and-now", "nginx-service")]
    assert _headings(ran.stdout) == _headings("".join(alone))


def _headings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(("──", "topology: ", "Booting"))]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_all_of_them_end_with_the_front(number: signal.Signals, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    words = ("run", "partition", "bookinfo", "partition", "--jobs", "2", "--junit", str(report))
    front = start(*words, stdout=subprocess.DEVNULL, start_new_session=True)
    until(lambda: sum(line.startswith("etcd ") for line in descendants().values()) == 2, "two labs that boot")
    front.send_signal(number)
    _, stderr = front.communicate(timeout=30)
    assert front.returncode == (-number if number == signal.SIGKILL else 128 + number), stderr
    assert "Traceback" not in stderr
    root = ElementTree.parse(report).getroot()
    assert sum(int(str(suite.get("failures"))) + int(str(suite.get("errors"))) for suite in root.iter("testsuite")) >= 1
