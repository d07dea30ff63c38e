"""lab.master.scheduler, and the command lines of the two daemons."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.master.controllers import daemon, deployment, flags, replicaset
from lab.master.controllers.actions import Tell
from lab.master.controllers.events import event_of
from lab.master.controllers.objects import condition
from lab.master.scheduler.choose import scheduler
from lab.master.scheduler.daemon import main
from lab.master.scheduler.quantities import amount
from tests.unit.small_cluster import SmallCluster, a_deployment, a_node, a_pod

Object = dict[str, Any]
TAINT = {"key": "node-role.kubernetes.io/master", "effect": "NoSchedule"}


def _pending(name: str, **spec: Any) -> Object:
    pod = a_pod(name, **spec)
    return pod | {"status": {"phase": "Pending"}}


def _where(cluster: SmallCluster) -> dict[str, str]:
    cluster.settle()
    return {pod["metadata"]["name"]: pod["spec"].get("nodeName", "") for pod in cluster.world.all("pods")}


def _cluster(*nodes: Object) -> SmallCluster:
    cluster = SmallCluster([scheduler()])
    for node in nodes:
        cluster.put(node)
    return cluster


def test_pods_go_where_the_fewest_are_and_the_tainted_master_gets_none() -> None:
    cluster = _cluster(a_node("m", taints=[TAINT]), a_node("w2"), a_node("w1"))
    for name in "abcd":
        cluster.put(_pending(name))
    assert Counter(_where(cluster).values()) == {"w1": 2, "w2": 2}
    assert any(one.startswith("Scheduled: Successfully assigned a to w") for one in cluster.told)
    cluster.put(_pending("named", node="m"))
    cluster.put(_pending("tolerant", nodeSelector={"a": "b"}, tolerations=[{"operator": "Exists"}]))
    cluster.change("nodes", "m", {"metadata": {"labels": {"a": "b"}}}, "")
    assert (_where(cluster)["named"], _where(cluster)["tolerant"]) == ("m", "m")


@given(st.integers(1, 5), st.integers(0, 12), st.integers(0, 6), st.integers(0, 2**32))
@settings(max_examples=50, deadline=None)
def test_the_pods_of_one_owner_are_spread_evenly(count: int, replicas: int, others: int, seed: int) -> None:
    cluster = SmallCluster([scheduler(), deployment.CONTROLLER, replicaset.CONTROLLER], seed)
    for number in range(count):
        cluster.put(a_node(f"n{number}"))
    for number in range(others):
        cluster.put(_pending(f"other{number}", labels={"app": "x"}))
    cluster.put(a_deployment(replicas=replicas))
    cluster.live()
    load = Counter({f"n{number}": 0 for number in range(count)})
    load.update(pod["spec"]["nodeName"] for pod in cluster.pods() if pod["metadata"].get("ownerReferences"))
    assert sum(load.values()) == replicas and max(load.values()) - min(load.values()) <= 1


def test_what_fits_nowhere_is_said_once_and_scheduled_when_a_node_changes() -> None:
    cluster = _cluster(a_node("m", taints=[TAINT]), a_node("w1", ready="Unknown"), a_node("w2", unschedulable=True), a_node("w3"))
    cluster.put(_pending("choosy", nodeSelector={"disk": "ssd"}))
    assert _where(cluster) == {"choosy": ""}
    pod = cluster.world.get("pods", "choosy", "default")
    assert pod is not None
    told = condition(pod, "PodScheduled") or {}
    message = (
        "0/4 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, "
        "1 node(s) had untolerated taint {node-role.kubernetes.io/master: }, 1 node(s) were not ready, 1 node(s) were unschedulable."
    )
    assert (told["status"], told["reason"], told["message"]) == ("False", "Unschedulable", message)
    assert cluster.told == [f"FailedScheduling: {message}"]
    cluster.change("nodes", "w3", {"metadata": {"labels": {"disk": "ssd"}}}, "")
    assert _where(cluster) == {"choosy": "w3"}


def test_without_any_node_pods_wait() -> None:
    cluster = _cluster()
    cluster.put(_pending("early"))
    assert _where(cluster) == {"early": ""} and cluster.told == ["FailedScheduling: no nodes available to schedule pods"]
    cluster.put(a_node("n1"))
    assert _where(cluster) == {"early": "n1"}


def test_requests_and_host_ports_are_counted_and_room_that_becomes_free_is_used() -> None:
    node = a_node("n1")
    node["status"]["allocatable"] = {"cpu": "1", "memory": "64Mi", "pods": "3"}
    cluster = _cluster(node)
    half: Object = {"name": "c", "image": "x", "resources": {"requests": {"cpu": "600m"}}}
    cluster.put(_pending("a", containers=[half]))
    assert _where(cluster) == {"a": "n1"}
    cluster.put(_pending("b", containers=[half]))
    cluster.put(_pending("big", containers=[{"name": "c", "image": "x", "resources": {"requests": {"memory": "1Gi"}}}]))
    assert _where(cluster) == {"a": "n1", "b": "", "big": ""}
    assert {one.split(": ", 2)[2] for one in cluster.told if "Failed" in one} == {"1 Insufficient cpu.", "1 Insufficient memory."}
    cluster.delete("pods", "a")
    assert _where(cluster) == {"b": "n1", "big": ""}
    port: Object = {"name": "c", "image": "x", "ports": [{"containerPort": 80, "hostPort": 8000}]}
    cluster.put(_pending("web1", containers=[port]))
    cluster.put(_pending("web2", containers=[port]))
    assert sorted(_where(cluster)[name] for name in ("web1", "web2")) == ["", "n1"]


def test_pods_of_another_scheduler_and_those_that_have_ended_are_not_its_own() -> None:
    cluster = _cluster(a_node("n1"))
    cluster.put(_pending("theirs", schedulerName="mine"))
    ended = _pending("ended")
    cluster.put(ended | {"status": {"phase": "Failed"}})
    assert _where(cluster) == {"ended": "", "theirs": ""}


@pytest.mark.parametrize(
    ("text", "number"),
    [("250m", Fraction(1, 4)), ("2", 2), ("1.5", Fraction(3, 2)), ("64Mi", 64 << 20), ("3k", 3000), ("1e3", 1000), ("x", 0), ("", 0), (None, 0)],
)
def test_quantities(text: object, number: Fraction | int) -> None:
    assert amount(text) == number


def test_an_event_is_what_describe_shows() -> None:
    event = event_of(Tell(a_pod("p"), "Scheduled", "text"), "default-scheduler", 1e9)
    assert event["involvedObject"] == {"kind": "Pod", "apiVersion": "v1", "name": "p", "namespace": "default"}
    assert (event["reason"], event["type"], event["count"], event["firstTimestamp"]) == ("Scheduled", "Normal", 1, "2001-09-09T01:46:40Z")


def test_flags_are_kube_controller_managers() -> None:
    line = "--master http://10.0.0.1:8080 --cluster-cidr 10.244.0.0/16 --allocate-node-cidrs=true --node-monitor-grace-period 1m30s"
    given = flags.parse([*line.split(), "--pod-eviction-timeout=5m", "--controllers", "*,-namespace"], daemon.NAMES)
    assert (given.node_monitor_grace_period, given.pod_eviction_timeout, given.node_cidr_mask_size) == (90.0, 300.0, 24)
    assert [one.name for one in daemon.controllers(given)] == [
        "endpoint-controller",
        "endpoint-slice-controller",
        "node-controller",
        "replicaset-controller",
        "deployment-controller",
        "node-ipam-controller",
        "garbage-collector",
    ]
    assert flags.parse([], daemon.NAMES).pod_eviction_timeout is None
    assert [one.name for one in daemon.controllers(flags.parse(["--controllers=endpoint"], daemon.NAMES))] == ["endpoint-controller"]


@pytest.mark.parametrize(
    "line",
    [
        "--allocate-node-cidrs",
        "--cluster-cidr 10.244.0.1/16",
        "--cluster-cidr 10.244.0.0/16 --node-cidr-mask-size 8",
        "--node-monitor-grace-period 40",
        "--controllers wizard",
        "--allocate-node-cidrs=perhaps",
        "--wizard",
    ],
)
def test_a_wrong_command_line_is_a_line_for_people(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError):
        flags.parse(line.split(), daemon.NAMES)
    assert daemon.main(line.split()) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_scheduler_refuses_what_is_no_apiserver(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--master", "ftp://x"]) == 2
    assert "no apiserver's address" in capsys.readouterr().err
