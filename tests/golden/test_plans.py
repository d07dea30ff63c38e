"""Every shipped topology, and every one in topologies/ here, gives the plan in topologies/NAME.txt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from lab.kubelet import wires
from lab.kubelet.records import Sandbox
from lab.model.catalog import list_topologies
from lab.model.load import read_topology
from lab.model.topology import DOCKER_DEFAULT, Topology
from lab.plan.build import plan_bridge, plan_docker, plan_underlay, pod_gso_size
from lab.plan.operations import AddNamespace, Operation, WriteFile
from lab.plan.text import render

FOLDER = Path(__file__).parent / "topologies"
Golden = Callable[[Path, str], None]

BRIDGE = IPv4Interface("10.244.1.1/24")


def topologies() -> list[Path]:
    """Shipped ones and those of the tests; each group must be there."""
    own = sorted(FOLDER.glob("*.yaml"))
    assert own, "tests/golden/topologies holds no .yaml file"
    assert list_topologies(), "no topology is shipped"
    return [*list_topologies(), *own]


def whole_plan(path: Path) -> list[Operation]:
    """The underlay, and a bridge with a pod's wire on the last node; without flannel the bridges of all nodes."""
    topology = read_topology(path)
    node = topology.nodes[-1].name
    if not topology.has_flannel:
        return [*plan_underlay(topology), *plan_docker(topology), *_pod(topology, node, DOCKER_DEFAULT, 1500)]
    return [*plan_underlay(topology), *plan_bridge(topology, node, BRIDGE, 1472), *_pod(topology, node, BRIDGE, 1472)]


def _pod(topology: Topology, node: str, bridge: IPv4Interface, mtu: int) -> Iterator[Operation]:
    routes = (str(topology.networks.pod),) if topology.bridge == "cni0" else ()
    address = f"{bridge.ip + 52}/{bridge.network.prefixlen}"
    pod = Sandbox("uid", "default", "nginx", "nginx", topology.bridge, address, str(bridge.ip), mtu, pod_gso_size(topology, mtu), routes)
    yield AddNamespace("the pod", pod.key, "pod")
    yield from wires.plan(pod, node)


@pytest.mark.parametrize("path", topologies(), ids=lambda path: path.stem)
def test_a_topology_becomes_a_plan(path: Path, golden: Golden) -> None:
    plan = whole_plan(path)
    files = [f"\n{one.host}:{one.path}\n{one.text}" for one in plan if isinstance(one, WriteFile)]
    golden(FOLDER / f"{path.stem}.txt", render(plan) + "".join(files))
