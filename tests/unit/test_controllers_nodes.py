"""Node lifecycle, podCIDRs, the garbage collector and namespaces."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.master.controllers import collector, deployment, nodes, replicaset
from lab.master.controllers.objects import condition, is_true, owner_reference, stamp
from lab.master.controllers.world import World
from tests.unit.small_cluster import SmallCluster, a_deployment, a_node, a_pod

Object = dict[str, Any]
KEY = (0, ("", "n1"))


def _node(cluster: SmallCluster, name: str = "n1") -> Object:
    found = cluster.world.get("nodes", name)
    assert found is not None
    return found


def _wait(cluster: SmallCluster, seconds: float) -> None:
    """Time passes, and the deadline that was asked for has come."""
    cluster.world.now += seconds
    cluster.wanted[KEY] = None
    cluster.settle()


def _silent(eviction: float | None = None) -> SmallCluster:
    cluster = SmallCluster([nodes.lifecycle(4.0, eviction)])
    cluster.put(a_node("n1"))
    cluster.put(a_node("n2"))
    cluster.put(a_pod("here", node="n1", ip="10.244.1.2"))
    cluster.put(a_pod("there", node="n2", ip="10.244.2.2"))
    cluster.settle()
    return cluster


def _is_ready(cluster: SmallCluster, name: str) -> bool:
    pod = cluster.world.get("pods", name, "default")
    assert pod is not None
    return is_true(pod, "Ready")


def test_a_silent_node_becomes_unknown_after_the_grace_period_and_its_pods_not_ready() -> None:
    cluster = _silent()
    assert 4.0 in cluster.again
    _wait(cluster, 3.9)
    assert is_true(_node(cluster), "Ready") and _is_ready(cluster, "here")
    _wait(cluster, 0.1)
    told = condition(_node(cluster), "Ready") or {}
    assert (told["status"], told["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert told["lastTransitionTime"] == stamp(cluster.world.now) and told["lastHeartbeatTime"] == "t0"
    assert not _is_ready(cluster, "here") and _is_ready(cluster, "there")
    assert cluster.told == ["NodeNotReady: Node n1 status is now: NodeNotReady"]
    version = cluster.version
    _wait(cluster, 1000.0)
    assert cluster.version == version, "told once; pods stay where they are"


def test_heartbeats_by_status_or_lease_keep_a_node_ready_whatever_its_clock_says() -> None:
    cluster = _silent()
    for beat in range(5):
        _wait(cluster, 3.0)
        cluster.change("nodes", "n1", {"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": f"1970-{beat}"}]}}, "")
        cluster.settle()
    for beat in range(5):
        _wait(cluster, 3.0)
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "n1", "namespace": "kube-node-lease"}}
        cluster.put(lease | {"spec": {"renewTime": str(beat)}})
        cluster.settle()
    assert is_true(_node(cluster), "Ready")


def test_a_kubelet_that_says_it_is_not_ready_speaks_for_its_pods_itself() -> None:
    cluster = _silent()
    cluster.change("nodes", "n1", {"status": {"conditions": [{"type": "Ready", "status": "False", "lastHeartbeatTime": "t1"}]}}, "")
    cluster.settle()
    assert _is_ready(cluster, "here")
    _wait(cluster, 4.0)
    assert not _is_ready(cluster, "here")
    cluster.put(a_pod("late", node="n1", ip="10.244.1.3"))
    cluster.settle()
    assert not _is_ready(cluster, "late")


def test_a_node_that_speaks_again_is_judged_anew() -> None:
    cluster = _silent()
    _wait(cluster, 4.0)
    cluster.change("nodes", "n1", {"status": {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "t1"}]}}, "")
    cluster.settle()
    _wait(cluster, 3.9)
    assert is_true(_node(cluster), "Ready")
    _wait(cluster, 0.2)
    assert (condition(_node(cluster), "Ready") or {})["status"] == "Unknown"


def test_while_the_apiserver_was_away_no_node_is_to_blame() -> None:
    cluster = _silent()
    cluster.world.cut_off_at = cluster.world.now + 10
    _wait(cluster, 12.0)
    assert is_true(_node(cluster), "Ready")
    _wait(cluster, 2.0)
    assert not is_true(_node(cluster), "Ready")


def test_eviction_is_off_unless_asked_for() -> None:
    cluster = _silent(eviction=5.0)
    _wait(cluster, 4.0)
    assert cluster.world.get("pods", "here", "default") is not None and 5.0 in cluster.again
    _wait(cluster, 5.0)
    assert [pod["metadata"]["name"] for pod in cluster.world.all("pods")] == ["there"]


def test_pods_of_a_deleted_node_go_those_of_a_node_to_come_stay() -> None:
    cluster = _silent()
    cluster.put(a_pod("early", node="n3"))
    cluster.delete("nodes", "n1", "")
    cluster.settle()
    assert [pod["metadata"]["name"] for pod in cluster.world.all("pods")] == ["early", "there"]


@given(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=12), st.integers(24, 26))
def test_every_node_gets_a_part_of_its_own(changes: list[str], prefix: int) -> None:
    network = IPv4Network("10.244.0.0/22")
    cluster = SmallCluster([nodes.ipam(network, prefix)])
    for name in changes:
        if cluster.world.get("nodes", name) is None:
            cluster.put(a_node(name))
        else:
            cluster.delete("nodes", name, "")
        cluster.settle()
    parts = [IPv4Network(node["spec"]["podCIDR"]) for node in cluster.world.all("nodes") if "podCIDR" in node["spec"]]
    assert len(parts) == min(len(cluster.world.all("nodes")), len(parts)) and len(set(parts)) == len(parts)
    assert all(part.subnet_of(network) and part.prefixlen == prefix for part in parts)
    if len(cluster.world.all("nodes")) <= 2 ** (prefix - 22) and len(set(changes)) <= 4:
        assert len(parts) == len(cluster.world.all("nodes"))


def test_a_full_network_is_said() -> None:
    cluster = SmallCluster([nodes.ipam(IPv4Network("10.244.0.0/24"), 24)])
    cluster.put(a_node("n1", podCIDR="10.244.0.0/24"))
    cluster.put(a_node("n2"))
    cluster.settle()
    assert cluster.told == ["CIDRNotAvailable: Node n2 status is now: CIDRNotAvailable"] and "podCIDR" not in _node(cluster, "n2")["spec"]


def _collecting() -> SmallCluster:
    cluster = SmallCluster([deployment.CONTROLLER, replicaset.CONTROLLER, collector.CONTROLLER])
    cluster.put(a_deployment(replicas=2))
    cluster.put(a_pod("alone", {"app": "x"}))
    cluster.live()
    return cluster


def _left(cluster: SmallCluster) -> tuple[int, int]:
    return len(cluster.world.all("replicasets")), len(cluster.world.all("pods"))


def test_a_deleted_deployment_takes_replicasets_and_pods_along() -> None:
    cluster = _collecting()
    assert _left(cluster) == (1, 3)
    cluster.delete("deployments", "web")
    cluster.settle()
    assert _left(cluster) == (0, 1)


def test_foreground_deletion_waits_for_the_dependents() -> None:
    cluster = _collecting()
    order: list[str] = []

    def watch() -> None:
        order.append(f"{len(cluster.world.all('deployments'))}{len(cluster.world.all('replicasets'))}{len(cluster.world.all('pods')) - 1}")

    cluster.watch = watch
    cluster.change("deployments", "web", {"metadata": {"deletionTimestamp": "now", "finalizers": ["foregroundDeletion"]}})
    cluster.settle()
    assert _left(cluster) == (0, 1) and cluster.world.all("deployments") == []
    assert order == sorted(order, reverse=True) and {"110", "100", "000"} <= set(order), "pods first, then ReplicaSets, then the deployment"


def test_orphans_live_on_without_owner_and_are_adopted_by_the_next() -> None:
    cluster = _collecting()
    cluster.change("deployments", "web", {"metadata": {"deletionTimestamp": "now", "finalizers": ["orphan"]}})
    cluster.settle()
    assert cluster.world.all("deployments") == [] and _left(cluster) == (1, 3)
    (orphan,) = cluster.world.all("replicasets")
    assert orphan["metadata"]["ownerReferences"] == []
    made = cluster.put(a_deployment(replicas=2))
    cluster.live()
    assert _left(cluster) == (1, 3)
    assert cluster.world.all("replicasets")[0]["metadata"]["ownerReferences"] == [owner_reference(made)]


def test_an_object_with_an_owner_left_or_of_a_kind_nobody_knows_stays() -> None:
    cluster = SmallCluster([collector.CONTROLLER])
    owner = cluster.put(a_pod("owner"))
    gone = {"apiVersion": "v1", "kind": "Pod", "name": "gone", "uid": "gone"}
    for name, owners in (("shared", [gone, owner_reference(owner)]), ("alien", [gone | {"kind": "Wizard"}]), ("left", [gone])):
        pod = a_pod(name)
        pod["metadata"]["ownerReferences"] = owners
        cluster.put(pod)
    cluster.settle()
    assert [pod["metadata"]["name"] for pod in cluster.world.all("pods")] == ["alien", "owner", "shared"]


def test_a_namespace_has_a_service_account_and_empties_before_it_goes() -> None:
    cluster = SmallCluster([deployment.CONTROLLER, replicaset.CONTROLLER, collector.CONTROLLER, collector.NAMESPACES])
    cluster.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}, "spec": {"finalizers": ["kubernetes"]}})
    cluster.put(a_deployment(replicas=2))
    cluster.live()
    assert cluster.world.get("serviceaccounts", "default", "default") is not None
    cluster.delete("serviceaccounts", "default")
    cluster.settle()
    assert cluster.world.get("serviceaccounts", "default", "default") is not None
    cluster.change("namespaces", "default", {"metadata": {"deletionTimestamp": "now"}}, "")
    cluster.settle()
    assert {plural: cluster.world.all(plural) for plural in cluster.world.plurals() if cluster.world.all(plural)} == {}


def test_news_that_are_older_than_what_is_known_are_passed_over() -> None:
    def state(version: int, uid: str = "u1") -> Object:
        return {"kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": uid, "resourceVersion": str(version)}}

    world = World()
    assert world.put("pods", state(5)) and not world.put("pods", state(4)) and not world.put("pods", state(5)) and world.put("pods", state(7))
    assert world.remove("pods", state(8)) and not world.put("pods", state(9)) and world.get("pods", "p", "default") is None
    assert world.put("pods", state(10, "u2")) and not world.remove("pods", state(11)) and world.has("u2") and not world.has("u1")
