"""Every shipped scenario's declaration: it loads, its texts are complete in both languages, it fits its topology."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab.cli import run as run_verb
from lab.cluster.wanted import Wanted
from lab.model import catalog
from lab.scenario.loader import load_scenario
from lab.scenario.model import Step

CHINESE = re.compile(r"[\u4e00-\u9fff]")
FOLDERS = catalog.list_scenarios()


def _name(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_every_step_is_told_in_both_languages(folder: Path) -> None:
    scenario = load_scenario(folder)

    def complete(step: Step) -> bool:
        return all(CHINESE.search(text.zh) and text.en and not CHINESE.search(text.en) for text in (step.title, step.why))

    assert [step.key for step in scenario.steps if not complete(step)] == []
    assert all(CHINESE.search(text.zh) and text.en and not CHINESE.search(text.en) for text in (scenario.title, scenario.intro))


def _texts(folder: Path) -> Iterator[tuple[str, str, str]]:
    """(place, English, Chinese) of every Text and remark that is written out in the scenario's files."""
    for path in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = {one.arg: one.value for one in node.keywords}
            en, zh = given.get("en"), given.get("zh")
            if isinstance(node.func, ast.Name) and node.func.id == "Text" and len(node.args) == 2:
                en, zh = node.args
            if isinstance(en, ast.Constant | ast.JoinedStr) and isinstance(zh, ast.Constant | ast.JoinedStr):
                yield f"{path.name}:{node.lineno}", ast.unparse(en), ast.unparse(zh)


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_every_name_of_a_check_is_in_both_languages(folder: Path) -> None:
    texts = list(_texts(folder))
    assert len(texts) > 10
    assert [place for place, en, zh in texts if CHINESE.search(en) or not CHINESE.search(zh)] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=_name)
def test_it_fits_its_topology(folder: Path) -> None:
    scenario = load_scenario(folder)
    wanted = run_verb.recipe(scenario)
    assert scenario.backends or not wanted.topology.has_flannel, "a shipped scenario says with which backends its checks hold"
    assert wanted.objects.pods or wanted.objects.deployments
    for pin in scenario.pins:
        cidr = wanted.topology.node(pin.node).pod_cidr if pin.node else None
        assert cidr is None or pin.pod_ip in cidr
    addresses = [pin.pod_ip for pin in scenario.pins if pin.pod_ip]
    assert len(set(addresses)) == len(addresses) or not wanted.topology.has_flannel, "only without flannel two pods can have one address"


def _wanted(name: str) -> Wanted:
    return run_verb.recipe(load_scenario(catalog.find_scenario(name)))


def test_the_manifests_of_nginx_service_declare_what_its_steps_speak_of() -> None:
    objects = _wanted("nginx-service").objects
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
    wanted = _wanted("flannel-udp")
    (deployment,) = wanted.objects.deployments
    assert (deployment.name, deployment.namespace, deployment.replicas) == ("ubuntu-k8s-deployment", "zenlin", 2)
    assert deployment.containers[0].command[-1] == "while true; do echo hello; sleep 10; done"
    assert {pin.name: (pin.node, pin.address) for pin in wanted.pins} == {
        "ubuntu-k8s-deployment-623915768-fnssv": ("zenlinnode1", "10.244.1.145"),
        "ubuntu-k8s-deployment-623915768-nwzk9": ("zenlinnode2", "10.244.2.246"),
    }
