"""Every daemon killed and restarted under traffic: what breaks meanwhile, what does not, and that it heals. One lab, one story a daemon."""

from __future__ import annotations

import re
import time
from functools import partial

import pytest

from lab.fabric.process import must
from lab.master.client import ApiError
from tests.survival.world import FAR_NODE, MASTER, NODE, ORDER, World, stories, writable
from tests.waiting import until

pytestmark = pytest.mark.e2e


def flanneld_carries_every_packet_and_only_those_between_nodes(world: World) -> None:
    dead = world.kill(NODE, "flanneld")
    world.far.await_failure(dead)
    world.service.await_failure(dead)
    world.untouched(dead, world.near)
    world.all_work(world.start(NODE, "flanneld"))


def kube_proxy_leaves_its_rules_and_follows_what_it_missed(world: World) -> None:
    dead = world.kill(NODE, "kube-proxy")
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "late", "namespace": "default"}}
    world.lab.api.create({**service, "spec": {"clusterIP": "10.96.1.2", "selector": {"app": "far"}, "ports": [{"port": 80}]}})
    caller = world.lab.pod("caller")
    assert caller.run("curl -s -m 1 10.96.1.2").status != 0, "nobody has written a rule for the new service"
    world.untouched(dead, *world.flows)
    world.start(NODE, "kube-proxy")
    until(lambda: caller.run("curl -s -m 1 10.96.1.2").status == 0, "the new service's rule")
    world.lab.api.delete("services", "late", "default")
    world.untouched(dead, *world.flows)


def without_the_apiserver_packets_flow_and_nothing_can_be_changed(world: World) -> None:
    dead = world.kill(MASTER, "kube-apiserver")
    with pytest.raises(ApiError):
        world.write("unheard")
    world.untouched(dead, *world.flows)
    world.start(MASTER, "kube-apiserver")
    world.runs_a_new_pod("after-apiserver")
    world.untouched(dead, *world.flows)


def without_etcd_packets_flow_and_a_write_is_refused_with_words(world: World) -> None:
    dead = world.kill(MASTER, "etcd")
    with pytest.raises(ApiError, match="etcd"):
        world.write("lost")
    world.untouched(dead, *world.flows)
    world.start(MASTER, "etcd")
    until(partial(writable, world, "kept"), "a write after etcd's return")
    world.runs_a_new_pod("after-etcd")
    world.untouched(dead, *world.flows)


def without_the_scheduler_a_new_pod_waits(world: World) -> None:
    dead = world.kill(MASTER, "kube-scheduler")
    world.create("unplaced")
    world.untouched(dead, *world.flows)
    assert world.phase("unplaced") == "Pending"
    world.start(MASTER, "kube-scheduler")
    until(lambda: world.phase("unplaced") == "Running", "the waiting pod's place")
    world.delete("unplaced")


def without_the_controllers_a_deployment_is_only_a_wish(world: World) -> None:
    dead = world.kill(MASTER, "kube-controller-manager")
    labels = {"app": "wish"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "ubuntu"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    world.lab.api.create({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "wish", "namespace": "default"}, "spec": spec})
    world.untouched(dead, *world.flows)

    def pods() -> list[str]:
        return [item["status"].get("phase", "") for item in world.lab.api.list("pods", "default", labels="app=wish")["items"]]

    assert pods() == []
    world.start(MASTER, "kube-controller-manager")
    until(lambda: pods() == ["Running", "Running"], "the deployment's pods")
    world.lab.api.delete("deployments", "wish", "default")
    until(lambda: pods() == [], "the end of the deployment's pods")


def a_kubelet_that_dies_takes_no_pod_with_it(world: World) -> None:
    dead = world.kill(NODE, "kubelet")
    world.create("unseen", nodeName=NODE)
    world.untouched(dead, *world.flows)
    assert world.phase("unseen") == "Pending"
    world.start(NODE, "kubelet")
    until(lambda: world.phase("unseen") == "Running", "the pod that came meanwhile")
    world.delete("unseen")
    world.untouched(dead, *world.flows)


def pods_outlive_a_killed_runtime_until_the_next_one_ends_them(world: World) -> None:
    """Nobody knows them any more: the kubelet stops with the runtime. Both started again, the pod is made anew, once."""
    restarts, address = world.restarts("far"), world.lab.pod_object("far").pod_ip
    sleepers = _sleepers(world)
    world.create("hosted", nodeName=FAR_NODE, hostNetwork=True)
    until(lambda: world.phase("hosted") == "Running", "a pod in the node's own network")
    hosted = _sleepers(world) - sleepers
    assert len(hosted) == 1
    dead = world.kill(FAR_NODE, "runtime")
    until(lambda: world.lab.daemon(FAR_NODE, "kubelet").ended() == 1, "the end of the kubelet without its runtime")
    assert "the container runtime has gone" in world.lab.daemon(FAR_NODE, "kubelet").last_words()
    world.create("unheard", nodeName=FAR_NODE, hostNetwork=True)  # far's address is to stay free
    world.untouched(dead, *world.flows)
    begun = world.start(FAR_NODE, "runtime")
    world.far.await_failure(begun)
    world.service.await_failure(begun)
    world.untouched(dead, world.near)
    until(lambda: not re.search(r"\bveth", must(world.lab.node(FAR_NODE).run("ip -br link"))), "the end of the wires of pods that have ended")
    until(lambda: not hosted & _sleepers(world), "the end of the pod in the node's network")
    world.start(FAR_NODE, "kubelet")
    until(lambda: (world.phase("far"), world.phase("unheard")) == ("Running", "Running"), "the pods under the new runtime")
    until(lambda: (world.restarts("far"), world.restarts("hosted")) == (restarts + 1, 1), "the restarts in the pods' status")
    world.delete("unheard")
    world.delete("hosted")
    assert world.lab.pod_object("far").pod_ip == address
    world.all_work(time.monotonic())


def _sleepers(world: World) -> set[str]:
    """The processes of all pods whose image is ubuntu, in the whole lab."""
    return set(must(world.lab.master.run("pgrep -x sleep")).split())


def a_workload_that_dies_is_started_again(world: World) -> None:
    """So fast that perhaps no connection is refused."""
    restarts, dead = world.restarts("far"), time.monotonic()
    must(world.lab.pod("far").run("pkill -KILL -o nginx"))
    until(lambda: world.restarts("far") == restarts + 1, "the restart in the pod's status")
    world.untouched(dead, world.near)
    world.all_work(time.monotonic())


def all_of_them_together(world: World) -> None:
    victims = [(machine, daemon) for machine, daemons in world.lab.daemons.items() for daemon in daemons if daemon not in ("runtime", "cloud")]
    dead = time.monotonic()
    for machine, daemon in victims:
        world.kill(machine, daemon)
    world.far.await_failure(dead)
    world.untouched(dead, world.near)
    for machine, daemon in sorted(victims, key=lambda one: ORDER.index(one[1])):
        world.start(machine, daemon)
    world.all_work(time.monotonic())
    until(partial(writable, world, "risen"), "a write")
    world.runs_a_new_pod("after-all")


CHECKS = (
    flanneld_carries_every_packet_and_only_those_between_nodes,
    kube_proxy_leaves_its_rules_and_follows_what_it_missed,
    without_the_apiserver_packets_flow_and_nothing_can_be_changed,
    without_etcd_packets_flow_and_a_write_is_refused_with_words,
    without_the_scheduler_a_new_pod_waits,
    without_the_controllers_a_deployment_is_only_a_wish,
    a_kubelet_that_dies_takes_no_pod_with_it,
    pods_outlive_a_killed_runtime_until_the_next_one_ends_them,
    a_workload_that_dies_is_started_again,
    all_of_them_together,
)


_results = stories("daemons", World, CHECKS)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_daemons_killed_under_traffic(results: dict[str, str], check: str) -> None:
    assert not results[check], results[check]
