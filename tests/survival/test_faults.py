"""A full disk, a cable that is pulled, a node that stands still: what breaks meanwhile, the words that are said, and that it heals. One lab."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from lab.cluster import headstart
from lab.fabric.daemon import Daemon
from lab.fabric.mininet import Host
from lab.fabric.process import must
from lab.master.client import ApiClient, ApiError, Unreachable
from tests.survival.world import MASTER, NODE, World, stories, writable
from tests.waiting import until

pytestmark = pytest.mark.e2e


def a_pulled_cable_cuts_one_node_off_until_it_is_back(world: World) -> None:
    node, router = world.lab.node(NODE), world.lab.host(world.lab.topology.router)
    gateway = must(node.run("ip -o route show default")).split()[2]
    card = next(one.name for one in router.intfList() if one.ip == gateway)
    pulled = time.monotonic()
    must(router.run(f"ip link set {card} down"))
    world.far.await_failure(pulled)
    world.untouched(pulled, world.near)
    must(router.run(f"ip link set {card} up"))
    world.all_work(time.monotonic())


def a_node_that_stands_still_goes_on_where_it_was(world: World) -> None:
    """SIGSTOP for every daemon of the node, and SIGCONT: none has to be started anew."""
    daemons = world.lab.daemons[NODE]
    pids = {name: one.pid for name, one in daemons.items()}
    stopped = time.monotonic()
    for pid in pids.values():
        os.kill(pid, signal.SIGSTOP)
    world.far.await_failure(stopped)
    world.untouched(stopped, world.near)
    world.create("patient", nodeName=NODE)
    for pid in pids.values():
        os.kill(pid, signal.SIGCONT)
    world.all_work(time.monotonic())
    until(lambda: world.phase("patient") == "Running", "the pod that came meanwhile")
    world.delete("patient")
    assert {name: one.pid for name, one in daemons.items() if one.ended() is None} == pids


def a_full_disk_stops_etcd_and_nothing_that_flows(world: World) -> None:
    """Writes are refused with words, reads are answered, packets flow; with room again, etcd starts on its data."""
    master, full = world.lab.master, time.monotonic()
    until(partial(_shrunk, master), "a disk with no room left")
    refusal = ""
    for number in range(3000):
        if refusal := _refusal(world, f"filling-{number}"):
            break
    assert "etcd" in refusal, "the disk was full and nobody said so"
    assert world.lab.api.list("pods")["items"]
    world.untouched(full, *world.flows)
    must(master.run("mount -o remount,size=50% /run"))
    if world.lab.daemon(MASTER, "etcd").ended() is not None:
        assert "no space left" in world.lab.daemon(MASTER, "etcd").log.read_text()
        world.start(MASTER, "etcd")
    until(partial(writable, world, "room-again"), "a write with room again")
    world.runs_a_new_pod("after-full")


def _shrunk(master: Host) -> bool:
    """Make the disk hardly larger than what is on it. The kernel refuses when etcd has written more since the look."""
    used = int(must(master.run("df -k --output=used /run")).split()[1])
    return master.run(f"mount -o remount,size={used + 8}k /run").status == 0


def _refusal(world: World, name: str) -> str:
    """Write a large object; what the apiserver says against it. Nothing, when it is too busy to say anything."""
    data: dict[str, Any] = {"x": "y" * 200_000}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
    try:
        world.lab.api.create(item)
    except Unreachable:
        return ""
    except ApiError as error:
        return str(error)
    return ""


def a_link_that_loses_and_delays_breaks_some_connections_of_its_node(world: World) -> None:
    """Each of them passes it twice and more, with 0.3 s of patience: less than TCP's first second."""
    lossy = time.monotonic()
    world.lab.fault(NODE, "loss 50 delay 5")
    until(lambda: any(not one.fine for one in world.far.attempts(lossy)), "a connection that fails")
    world.untouched(lossy, world.near)
    world.lab.fault(NODE, "clear")
    world.all_work(time.monotonic())


def daemons_without_a_free_descriptor_go_on_when_they_have_some(world: World) -> None:
    """Nobody on the node may open a file or socket any more: what is open works on, and nobody ends."""
    starved = list(world.lab.daemons[NODE].values())
    rules = world.lab.daemon(NODE, "kube-proxy").log
    mark = rules.stat().st_size
    with _starving(starved) as begun:
        world.create("hungry", nodeName=NODE)
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "hungry", "namespace": "default"}}
        world.lab.api.create({**service, "spec": {"clusterIP": "10.96.1.3", "selector": {"app": "far"}, "ports": [{"port": 80}]}})
        until(lambda: "Too many open files" in rules.read_text()[mark:], "kube-proxy's words")
        world.untouched(begun, *world.flows)
        assert world.phase("hungry") == "Pending"
    until(lambda: world.phase("hungry") == "Running", "the pod that came meanwhile")
    until(lambda: world.lab.pod("caller").run("curl -s -m 1 10.96.1.3").status == 0, "the service that came meanwhile")
    world.lab.api.delete("services", "hungry", "default")
    world.delete("hungry")


def an_apiserver_without_a_free_descriptor_answers_again_when_it_has_some(world: World) -> None:
    """Whoever comes new is not let in meanwhile; packets flow."""
    with _starving([world.lab.daemon(MASTER, "kube-apiserver")]) as begun:
        with pytest.raises(ApiError):
            ApiClient(f"unix:{headstart.SOCKET}", timeout=1.0).list("nodes")
        world.untouched(begun, *world.flows)
    until(partial(writable, world, "fed-again"), "a write")
    world.runs_a_new_pod("after-hunger")


@contextmanager
def _starving(daemons: Sequence[Daemon]) -> Iterator[float]:
    """Daemons that may not open a descriptor any more, and all live on; since when."""
    before = [resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (3, _hard(one.pid))) for one in daemons]
    try:
        yield time.monotonic()
        assert [one.name for one in daemons if one.ended() is not None] == []
    finally:
        for one, limits in zip(daemons, before, strict=True):
            if one.ended() is None:
                resource.prlimit(one.pid, resource.RLIMIT_NOFILE, limits)


def _hard(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]


CHECKS = (
    a_pulled_cable_cuts_one_node_off_until_it_is_back,
    a_node_that_stands_still_goes_on_where_it_was,
    a_full_disk_stops_etcd_and_nothing_that_flows,
    a_link_that_loses_and_delays_breaks_some_connections_of_its_node,
    daemons_without_a_free_descriptor_go_on_when_they_have_some,
    an_apiserver_without_a_free_descriptor_answers_again_when_it_has_some,
)


_results = stories("faults", World, CHECKS)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_faults_under_traffic(results: dict[str, str], check: str) -> None:
    assert not results[check], results[check]
