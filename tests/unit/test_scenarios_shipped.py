"""The shipped scenarios' declarations: they load, their texts are complete, their pins and manifests fit their topologies."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

import pytest

from lab.cli import run as run_verb
from lab.cluster.wanted import Wanted
from lab.model import catalog, load
from lab.model.text import Text
from lab.scenario.loader import load_scenario
from lab.scenario.model import Scenario, Step

CHINESE = re.compile(r"[\u4e00-\u9fff]")
NAMES = [folder.name for folder in catalog.list_scenarios()]


@pytest.fixture(name="scenario", params=NAMES)
def _scenario(request: pytest.FixtureRequest) -> Scenario:
    return load_scenario(catalog.find_scenario(request.param))


def test_the_articles_scenarios_are_there() -> None:
    assert {"nginx-service", "flannel-udp", "docker-overlap"} <= set(NAMES)


def test_every_step_is_told_in_both_languages(scenario: Scenario) -> None:
    def complete(text: Text) -> bool:
        return bool(CHINESE.search(text.zh) and text.en and not CHINESE.search(text.en))

    def told(step: Step) -> bool:
        return complete(step.title) and complete(step.why)

    assert [step.key for step in scenario.steps if not told(step)] == []
    assert complete(scenario.title) and complete(scenario.intro)


def test_pins_lie_in_the_subnets_of_their_nodes(scenario: Scenario) -> None:
    topology = load.read_topology(catalog.find_topology(scenario.topology))
    for pin in scenario.pins:
        cidr = topology.node(pin.node).pod_cidr
        assert cidr is not None
        assert pin.pod_ip in cidr
    assert len({pin.pod_ip for pin in scenario.pins}) == len(scenario.pins)


def recipe(name: str) -> Wanted:
    return run_verb.recipe(load_scenario(catalog.find_scenario(name)), None)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_scenario_wants_can_be_booted(name: str) -> None:
    assert recipe(name).objects.pods or recipe(name).objects.deployments


def test_the_manifests_of_nginx_service_declare_what_its_steps_speak_of() -> None:
    objects = recipe("nginx-service").objects
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


def test_the_manifest_of_flannel_udp_is_the_articles() -> None:
    wanted = recipe("flannel-udp")
    (deployment,) = wanted.objects.deployments
    assert (deployment.name, deployment.namespace, deployment.replicas) == ("ubuntu-k8s-deployment", "zenlin", 2)
    assert deployment.containers[0].command[-1] == "while true; do echo hello; sleep 10; done"
    assert {pin.name: (pin.node, pin.address) for pin in wanted.pins} == {
        "ubuntu-k8s-deployment-623915768-fnssv": ("zenlinnode1", "10.244.1.145"),
        "ubuntu-k8s-deployment-623915768-nwzk9": ("zenlinnode2", "10.244.2.246"),
    }
