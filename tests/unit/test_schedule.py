"""lab.master.schedule: which pods there are, and on which node."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.master import schedule
from lab.model.objects import Container, Deployment, Pod
from lab.model.pins import Pin
from lab.model.topology import Node, Topology

C = (Container("c", "pause"),)
LABELS = (("app", "web"),)


def _deployment(replicas: int, name: str = "web") -> Deployment:
    return Deployment(name, "default", replicas, LABELS, LABELS, C)


def _namer(deployment: Deployment, taken: frozenset[str]) -> str:
    return next(name for number in range(1000) if (name := f"{deployment.name}-{number}") not in taken)


def _topology(workers: int) -> Topology:
    machines = [Node(name="m", role="master", address=IPv4Interface("10.0.0.1/24"))]
    machines += [Node(name=f"w{number}", address=IPv4Interface(f"10.0.0.{number + 2}/24")) for number in range(workers)]
    return Topology(name="t", nodes=tuple(machines))


def test_pins_come_first_and_the_rest_is_named() -> None:
    pins = [Pin("web-5", owner="web", node="w1", address="10.244.1.9")]
    pods = schedule.pods_of([_deployment(3)], [Pod("alone", "default", C)], pins, _namer)
    assert [pod.name for pod in pods] == ["alone", "web-5", "web-0", "web-1"]
    assert pods[1] == Pod("web-5", "default", C, LABELS, "w1", IPv4Address("10.244.1.9"), "web")
    assert pods[2].node_name == "" and pods[2].pod_ip is None and pods[2].owner == "web"


def test_a_pin_moves_a_pod_of_the_manifests() -> None:
    (pod,) = schedule.pods_of([], [Pod("alone", "default", C, node_name="w0")], [Pin("alone", address="10.244.0.7")], _namer)
    assert (pod.node_name, pod.pod_ip) == ("w0", IPv4Address("10.244.0.7"))


@pytest.mark.parametrize(
    "pins, said",
    [
        ([Pin("x", owner="nope")], "pin x: the manifests have no deployment nope"),
        ([Pin("nope")], "pin nope: the manifests have no pod of that name"),
        ([Pin("a", owner="web"), Pin("b", owner="web")], "1 replicas but 2 pins"),
        ([Pin("a", owner="web", address="10.1.2.300")], "'10.1.2.300' is no IPv4 address"),
    ],
)
def test_a_pin_that_fits_nothing_is_refused(pins: list[Pin], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        schedule.pods_of([_deployment(1)], [], pins, _namer)


@given(st.integers(1, 5), st.lists(st.sampled_from(["", "m", "w0"]), max_size=30))
def test_pods_are_spread_over_the_workers(workers: int, wishes: list[str]) -> None:
    pods = [Pod(f"p{number}", "default", C, node_name=wish) for number, wish in enumerate(wishes)]
    placed = schedule.schedule(pods, _topology(workers))
    assert [pod.name for pod in placed] == [pod.name for pod in pods]
    assert all(pod.node_name == wish for pod, wish in zip(placed, wishes, strict=True) if wish)
    assert all(pod.node_name.startswith("w") for pod, wish in zip(placed, wishes, strict=True) if not wish)
    if not any(wishes):
        load = Counter(pod.node_name for pod in placed)
        assert max(load.values(), default=0) - min((load[f"w{number}"] for number in range(workers)), default=0) <= 1


def test_a_master_alone_takes_everything() -> None:
    assert schedule.schedule([Pod("p", "default", C)], _topology(0))[0].node_name == "m"


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(UsageError, match="pod p wants node w9, but the nodes of t are m, w0"):
        schedule.schedule([Pod("p", "default", C, node_name="w9")], _topology(1))
