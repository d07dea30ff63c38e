"""The shipped scenario's declaration: it loads, its texts are complete, its pins and manifests fit its topology."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import pytest

from lab.model import catalog, load
from lab.scenario.loader import load_scenario
from lab.scenario.model import Scenario, Step

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(name="scenario", scope="module")
def _scenario() -> Scenario:
    return load_scenario(catalog.find_scenario("nginx-service"))


def test_every_step_is_told_in_both_languages(scenario: Scenario) -> None:
    def complete(step: Step) -> bool:
        texts = (step.title, step.why)
        return all(CHINESE.search(text.zh) and text.en and not CHINESE.search(text.en) for text in texts)

    assert [step.key for step in scenario.steps if not complete(step)] == []
    assert CHINESE.search(scenario.intro.zh)


def test_pins_lie_in_the_subnets_of_their_nodes(scenario: Scenario) -> None:
    topology = load.read_topology(catalog.find_topology(scenario.topology))
    for pin in scenario.pins:
        cidr = topology.node(pin.node).pod_cidr
        assert cidr is not None
        assert pin.pod_ip in cidr
    assert len({pin.pod_ip for pin in scenario.pins}) == len(scenario.pins)


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
