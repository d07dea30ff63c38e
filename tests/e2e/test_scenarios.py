"""Every shipped scenario holds, in both languages, and where it says so with other backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.model import catalog
from lab.scenario.loader import load_scenario
from tests.e2e.lab import lab

pytestmark = pytest.mark.e2e

WORDS = {"en": "checks held", "zh": "检查全部成立"}


def _name(path: Path) -> str:
    return path.name


def test_there_are_scenarios() -> None:
    names = {path.name for path in catalog.list_scenarios()}
    assert {"nginx-service", "flannel-vxlan", "flannel-vxlan-l3miss", "flannel-host-gw", "flannel-alloc"} <= names


@pytest.mark.parametrize("folder", catalog.list_scenarios(), ids=_name)
@pytest.mark.parametrize("language", WORDS)
def test_a_shipped_scenario_holds(folder: Path, language: str) -> None:
    ran = lab("run", folder.name, "--lang", language)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert WORDS[language] in ran.stdout
    assert ran.stderr == ""


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
    """Among them the one after which a node has left: the node joins again, under the same name."""
    ran = lab("run", scenario, "--step", stdin="n\nr\n" * 20)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = len(load_scenario(catalog.find_scenario(scenario)).steps)
    assert ran.stdout.count("── Step ") == 2 * steps
