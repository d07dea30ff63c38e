"""The endpoints and endpoint slice controllers."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.master.controllers import endpoints, slices
from lab.model.fromapi import endpoints_of
from tests.unit.small_cluster import SmallCluster, a_pod, a_service

Object = dict[str, Any]


def _cluster() -> SmallCluster:
    return SmallCluster((endpoints.CONTROLLER, slices.CONTROLLER))


def _subsets(cluster: SmallCluster, name: str = "web") -> list[Object]:
    cluster.settle()
    found = cluster.world.get("endpoints", name, "default")
    assert found is not None
    return found.get("subsets") or []


def _ips(addresses: list[Object]) -> list[str]:
    return [one["ip"] for one in addresses]


def test_ready_pods_are_addresses_sorted_as_text_and_others_are_apart() -> None:
    cluster = _cluster()
    cluster.put(a_service())
    assert _subsets(cluster) == []
    for name, ip, ready in (("a", "10.244.1.2", True), ("b", "10.244.1.10", True), ("c", "10.244.1.1", False)):
        cluster.put(a_pod(name, ip=ip, ready=ready, node="n1"))
    cluster.put(a_pod("other", {"app": "x"}, ip="10.244.1.7"))
    cluster.put(a_pod("no-address"))
    (subset,) = _subsets(cluster)
    assert _ips(subset["addresses"]) == ["10.244.1.10", "10.244.1.2"] and _ips(subset["notReadyAddresses"]) == ["10.244.1.1"]
    assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
    pod = cluster.world.get("pods", "b", "default")
    assert pod is not None
    target = {"kind": "Pod", "namespace": "default", "name": "b"} | {key: pod["metadata"][key] for key in ("uid", "resourceVersion")}
    assert subset["addresses"][0] == {"ip": "10.244.1.10", "nodeName": "n1", "targetRef": target}


def test_a_named_port_takes_each_pods_number() -> None:
    cluster = _cluster()
    cluster.put(a_service(port={"name": "http", "port": 80, "targetPort": "web"}))
    for name, ip, number in (("a", "10.244.1.2", 8080), ("b", "10.244.1.3", 9090), ("c", "10.244.1.4", 8080)):
        container = {"name": "c", "image": "x", "ports": [{"name": "web", "containerPort": number}]}
        cluster.put(a_pod(name, ip=ip, containers=[container]))
    cluster.put(a_pod("without", ip="10.244.1.1"))
    found = [(_ips(one["addresses"]), one["ports"]) for one in _subsets(cluster)]
    port = {"name": "http", "protocol": "TCP"}
    assert found == [(["10.244.1.2", "10.244.1.4"], [port | {"port": 8080}]), (["10.244.1.3"], [port | {"port": 9090}])]
    assert sorted(one["ports"][0]["port"] for one in cluster.world.all("endpointslices")) == [8080, 9090]


def test_a_pod_that_is_being_deleted_is_no_address_but_a_terminating_endpoint() -> None:
    cluster = _cluster()
    cluster.put(a_service())
    cluster.put(a_pod("a", ip="10.244.1.2"))
    cluster.put(a_pod("b", ip="10.244.1.3"))
    cluster.settle()
    cluster.change("pods", "a", {"metadata": {"deletionTimestamp": "2017-08-01T00:00:00Z"}})
    assert [_ips(one["addresses"]) for one in _subsets(cluster)] == [["10.244.1.3"]]
    (one,) = cluster.world.all("endpointslices")
    assert [each["conditions"] for each in one["endpoints"]] == [
        {"ready": False, "serving": True, "terminating": True},
        {"ready": True, "serving": True, "terminating": False},
    ]


def test_not_ready_addresses_can_be_published_and_ended_pods_are_left_out() -> None:
    cluster = _cluster()
    cluster.put(a_service(publishNotReadyAddresses=True))
    cluster.put(a_pod("a", ip="10.244.1.2", ready=False))
    done = a_pod("job", ip="10.244.1.3", restartPolicy="Never")
    done["status"]["phase"] = "Succeeded"
    cluster.put(done)
    assert [_ips(one["addresses"]) for one in _subsets(cluster)] == [["10.244.1.2"]]


def test_a_service_without_selector_is_left_alone_and_a_deleted_one_takes_its_endpoints_along() -> None:
    cluster = _cluster()
    cluster.put(a_service("kubernetes", selector=None))
    mine = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubernetes", "namespace": "default"}}
    cluster.put(mine | {"subsets": [{"addresses": [{"ip": "10.229.43.65"}], "ports": [{"port": 6443}]}]})
    early = {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "early", "namespace": "default"}}
    cluster.put(early)
    cluster.put(a_service())
    cluster.put(a_pod("a", ip="10.244.1.2"))
    cluster.settle()
    assert len(_subsets(cluster, "kubernetes")) == 1 and cluster.world.get("endpoints", "early", "default") is not None
    cluster.delete("services", "web")
    cluster.settle()
    assert [one["metadata"]["name"] for one in cluster.world.all("endpoints")] == ["early", "kubernetes"]
    assert cluster.world.all("endpointslices") == []
    assert list(endpoints.CONTROLLER.startup(cluster.world)) == [("default", "early"), ("default", "kubernetes")]


def test_a_pod_whose_labels_change_leaves_the_endpoints_and_what_somebody_else_wrote_is_put_right() -> None:
    cluster = _cluster()
    cluster.put(a_service())
    cluster.put(a_pod("a", ip="10.244.1.2"))
    assert len(_subsets(cluster)) == 1
    cluster.change("pods", "a", {"metadata": {"labels": {"app": "other"}}})
    assert _subsets(cluster) == []
    cluster.change("endpoints", "web", {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]})
    assert _subsets(cluster) == []


def test_a_change_of_a_pod_that_is_none_of_its_endpoint_writes_nothing() -> None:
    cluster = _cluster()
    cluster.put(a_service())
    cluster.put(a_pod("a", ip="10.244.1.2"))
    cluster.settle()
    version = cluster.version
    cluster.change("pods", "a", {"status": {"phase": "Running", "more": "news"}})
    cluster.settle()
    assert cluster.version == version + 1


@given(st.lists(st.tuples(st.integers(1, 12), st.sampled_from(["ready", "unready", "gone"])), max_size=25))
@settings(max_examples=60, deadline=None)
def test_endpoints_and_slices_follow_whatever_pods_do(changes: list[tuple[int, str]]) -> None:
    cluster = _cluster()
    cluster.put(a_service())
    state: dict[str, str] = {}
    for number, what in changes:
        name, ip = f"p{number}", f"10.244.1.{number}"
        known = cluster.world.get("pods", name, "default")
        if what == "gone":
            if known is not None:
                cluster.delete("pods", name)
            state.pop(ip, None)
        else:
            state[ip] = what
            if known is not None:
                cluster.make_ready(known, what == "ready")
            else:
                cluster.put(a_pod(name, ip=ip, ready=what == "ready"))
        cluster.step()
    subsets = _subsets(cluster)
    ready = sorted(ip for ip, what in state.items() if what == "ready")
    assert [ip for one in subsets for ip in _ips(one.get("addresses") or [])] == ready
    assert {ip for one in subsets for ip in _ips(one.get("notReadyAddresses") or [])} == set(state) - set(ready)
    found = cluster.world.get("endpoints", "web", "default")
    assert found is not None
    assert [str(one.ip) for subset in endpoints_of(found).subsets for one in subset.addresses] == ready
    (kept,) = cluster.world.all("endpointslices")
    assert {one["addresses"][0]: one["conditions"]["ready"] for one in kept["endpoints"]} == {ip: ip in ready for ip in state}


@given(st.lists(st.tuples(st.integers(0, 320), st.integers(0, 320)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_slices_hold_a_hundred_at_most_and_endpoints_stay_where_they_are(rounds: list[tuple[int, int]]) -> None:
    held: list[list[Object]] = []
    for low, high in rounds:
        wanted = [{"addresses": [f"10.0.{number // 250}.{number % 250}"]} for number in range(low, high)]
        before = {one["addresses"][0]: place for place, old in enumerate(held) for one in old}
        divided = slices.spread(wanted, held)
        assert [place for place, _ in divided[: len(held)]] == list(range(len(held)))
        now = {one["addresses"][0]: place for place, part in divided for one in part}
        assert len(now) == len(wanted) == sum(len(part) for _, part in divided)
        assert all(now[ip] == place for ip, place in before.items() if ip in now)
        assert all(len(part) <= slices.LARGEST for _, part in divided)
        held = [part for _, part in divided if part]


def test_a_service_without_pods_has_one_empty_slice() -> None:
    cluster = _cluster()
    service = cluster.put(a_service())
    cluster.settle()
    (only,) = cluster.world.all("endpointslices")
    assert only["endpoints"] == [] and only["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert only["metadata"]["ownerReferences"][0]["uid"] == service["metadata"]["uid"]
    cluster.put(a_pod("a", ip="10.244.1.2"))
    cluster.settle()
    assert [len(one["endpoints"]) for one in cluster.world.all("endpointslices")] == [1]
