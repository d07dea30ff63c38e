"""Every shipped scenario holds, is told in both languages, and where it says so holds with other backends."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lab.model import catalog
from lab.report.words import pick
from lab.scenario.loader import load_scenario
from tests.e2e.lab import environment, lab

pytestmark = pytest.mark.e2e

WORDS = {"en": "checks held", "zh": "检查全部成立"}
OTHER = {"en": "zh", "zh": "en"}
IN_BOTH = """
    # `lab WORDS`, with one more reader of what happened: the terminal's writer in LANGUAGE, into FILE.
    import contextlib, sys
    from lab.cli import main, recording
    from lab.report.terminal import TerminalWriter

    file, language, *words = sys.argv[1:]
    asked_for = recording.writers

    @contextlib.contextmanager
    def writers(args):
        with asked_for(args) as tell, open(file, "w", encoding="utf-8") as stream:
            also = TerminalWriter(stream, language)
            yield lambda event: (tell(event), also(event))

    recording.writers = writers
    sys.exit(main.main(words))
"""


def _name(path: Path) -> str:
    return path.name


def test_there_are_scenarios() -> None:
    names = {path.name for path in catalog.list_scenarios()}
    assert {"nginx-service", "flannel-vxlan", "flannel-vxlan-l3miss", "flannel-host-gw", "flannel-alloc"} <= names


LANGUAGES = {folder: ("en", "zh")[number % 2] for number, folder in enumerate(catalog.list_scenarios())}
"""The language in which a scenario is run: every other one in Chinese. No step knows of it; the texts in the other are written as well."""


@pytest.mark.parametrize("folder", LANGUAGES, ids=_name)
def test_a_shipped_scenario_holds_and_is_told_in_both_languages(folder: Path, tmp_path: Path) -> None:
    language, file = LANGUAGES[folder], tmp_path / "other"
    command = [sys.executable, "-c", textwrap.dedent(IN_BOTH), str(file), OTHER[language], "run", folder.name, "--lang", language]
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, env=environment(), check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    told = {language: ran.stdout, OTHER[language]: file.read_text(encoding="utf-8")}
    scenario = load_scenario(folder)
    for one, text in told.items():
        assert WORDS[one] in text
        assert [step.key for step in scenario.steps if pick(step.title, one) not in text] == []  # type: ignore[arg-type]


@pytest.mark.parametrize("backend, language, ttl, device", [("vxlan", "zh", "62", "flannel.1"), ("gce", "en", "61", "eth0")])
def test_the_service_holds_with_other_backends(backend: str, language: str, ttl: str, device: str) -> None:
    ran = lab("run", "nginx-service", "--backend", backend, "--lang", language)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"ttl={ttl}" in ran.stdout and f"dev {device}" in ran.stdout


@pytest.mark.parametrize("scenario, backend", [("nginx-service", "alloc"), ("nginx-service", "host-gw"), ("flannel-vxlan", "udp")])
def test_a_backend_that_a_scenario_does_not_run_with_is_wrong_usage(scenario: str, backend: str) -> None:
    ran = lab("run", scenario, "--backend", backend)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert backend in ran.stderr and "vxlan" in ran.stderr and "Traceback" not in ran.stderr
    assert ran.stdout == ""


REPEATED = [
    "flannel-vxlan",
    "flannel-vxlan-l3miss",
    "flannel-host-gw",
    "flannel-alloc",
    "subnet-leases",
    "flannel-faults",
    "flannel-faults-vxlan",
    "three-networks",
    "nodeport",
    "session-affinity",
    "no-retry",
    "proxy-modes",
    "scale-and-roll",
    "service-dns",
    "bookinfo",
    "partition",
]


@pytest.mark.parametrize("scenario", REPEATED)
def test_a_learner_may_repeat_every_step(scenario: str) -> None:
    """Among them the one after which a node has left: the node joins again, under the same name.

    Between the stages of the boot, where there is nothing to repeat, r means nothing.
    """
    ran = lab("run", scenario, "--step", stdin="n\nr\n" * 30)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = len(load_scenario(catalog.find_scenario(scenario)).steps)
    assert ran.stdout.count("── Step ") == 2 * steps
