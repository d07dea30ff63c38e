"""Every shipped topology, and every one in topologies/ here, gives the plan in topologies/NAME.txt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from lab.model.catalog import list_topologies
from lab.model.load import read_topology
from lab.model.objects import Container, Pod
from lab.model.topology import DOCKER_DEFAULT
from lab.plan.build import plan_bridge, plan_docker, plan_pod, plan_underlay
from lab.plan.operations import Operation, WriteFile
from lab.plan.text import render

FOLDER = Path(__file__).parent / "topologies"
Golden = Callable[[Path, str], None]

BRIDGE = IPv4Interface("10.244.1.1/24")
POD = Pod(
    "nginx-deployment-1885164871-dzls7",
    "default",
    (Container("nginx", "nginx:1.8"),),
    pod_ip=IPv4Address("10.244.1.53"),
)


def topologies() -> list[Path]:
    """Shipped ones and those of the tests; each group must be there."""
    own = sorted(FOLDER.glob("*.yaml"))
    assert own, "tests/golden/topologies holds no .yaml file"
    assert list_topologies(), "no topology is shipped"
    return [*list_topologies(), *own]


def whole_plan(path: Path) -> list[Operation]:
    """The underlay, and a bridge and a pod on the last node; without flannel the bridges of all nodes."""
    topology = read_topology(path)
    node = topology.nodes[-1].name
    pod = Pod(POD.name, POD.namespace, POD.containers, node_name=node, pod_ip=POD.pod_ip)
    if not topology.has_flannel:
        pod = replace(pod, pod_ip=DOCKER_DEFAULT.ip + 1)
        return [*plan_underlay(topology), *plan_docker(topology), *plan_pod(topology, pod, DOCKER_DEFAULT, 1500)]
    return [*plan_underlay(topology), *plan_bridge(topology, node, BRIDGE, 1472), *plan_pod(topology, pod, BRIDGE, 1472)]


@pytest.mark.parametrize("path", topologies(), ids=lambda path: path.stem)
def test_a_topology_becomes_a_plan(path: Path, golden: Golden) -> None:
    plan = whole_plan(path)
    files = [f"\n{one.host}:{one.path}\n{one.text}" for one in plan if isinstance(one, WriteFile)]
    golden(FOLDER / f"{path.stem}.txt", render(plan) + "".join(files))
