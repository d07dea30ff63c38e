"""A full disk, a cable that is pulled, a node that stands still: what breaks meanwhile, the words that are said, and that it heals. One lab."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

import pytest

from lab.fabric.mininet import Host
from lab.fabric.process import must
from lab.master.client import ApiError
from tests.sandboxed import together
from tests.survival.test_daemons import MASTER, NODE, World, _timed, _writable
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
    until(partial(_writable, world, "room-again"), "a write with room again")
    world.create("after-full", nodeName=NODE)
    until(lambda: world.phase("after-full") == "Running", "a new pod with room again")
    world.delete("after-full")


def _shrunk(master: Host) -> bool:
    """Make the disk hardly larger than what is on it. The kernel refuses when etcd has written more since the look."""
    used = int(must(master.run("df -k --output=used /run")).split()[1])
    return master.run(f"mount -o remount,size={used + 8}k /run").status == 0


def _refusal(world: World, name: str) -> str:
    """Write a large object; what the apiserver says against it."""
    data: dict[str, Any] = {"x": "y" * 200_000}
    item = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}
    try:
        world.lab.api.create(item)
    except ApiError as error:
        return str(error)
    return ""


CHECKS = (
    a_pulled_cable_cuts_one_node_off_until_it_is_back,
    a_node_that_stands_still_goes_on_where_it_was,
    a_full_disk_stops_etcd_and_nothing_that_flows,
)


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("faults")
    return together(place / "results.json", lambda: World(place), [_timed(check) for check in CHECKS])


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_faults_under_traffic(results: dict[str, str], check: str) -> None:
    assert not results[check], results[check]
