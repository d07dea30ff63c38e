"""The walkthrough's manifests (what holds for every scenario is in test_scenarios.py)."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from lab.model import catalog, load
from lab.scenario.loader import load_scenario
from lab.scenario.model import Scenario


@pytest.fixture(name="scenario", scope="module")
def _scenario() -> Scenario:
    return load_scenario(catalog.find_scenario("nginx-service"))


def test_manifests_declare_what_the_steps_speak_of(scenario: Scenario) -> None:
    objects = load.read_manifests(scenario.manifest_paths)
    (service,) = objects.services
    assert (service.name, service.cluster_ip) == ("nginx-service", IPv4Address("10.105.211.16"))
    assert [(port.port, port.target_port) for port in service.ports] == [(8000, 80)]
    (deployment,) = objects.deployments
    assert (deployment.name, deployment.replicas) == ("nginx-deployment", 2)
    assert {pod.name: pod.node_name for pod in objects.pods} == {
        "ubuntu-zenlin": "zenlin",
        "ubuntu-zenlinnode1": "zenlinnode1",
        "ubuntu-zenlinnode2": "zenlinnode2",
    }
