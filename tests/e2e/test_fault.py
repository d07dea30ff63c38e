"""Faults that people inject: what they do to packets and processes, that they are told of, and that nothing of them is left. One lab."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.cluster import standstill
from lab.cluster.wanted import wanted
from lab.errors import UsageError
from lab.fabric.process import must
from lab.model import catalog, load
from lab.model.manifests import load_manifests
from lab.model.statistics import binomial_bounds
from tests.e2e.lab import lab, lab_up
from tests.sandboxed import together
from tests.waiting import until

pytestmark = pytest.mark.e2e

MANIFEST = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {nodeName: zenlinnode1, containers: [{name: web, image: nginx, ports: [{containerPort: 80}]}]}
"""
MASTER, NODE, OTHER = "zenlin", "zenlinnode1", "zenlinnode2"
FALSE_ALARM = 1e-7
"""How often the count of lost packets may be called wrong although each was lost with the right chance."""

SEND = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); [s.sendto(b'.', ('{}', 9)) for _ in range({})]"
STREAM = """
import socket, sys, threading, time
server = socket.create_server(('', 7000))
def read():
    taken, connection = 0, server.accept()[0]
    connection.sendall(b'!')
    while data := connection.recv(65536):
        taken += len(data)
    print(taken, time.monotonic(), flush=True)
read()
"""


class World:
    """A lab of three nodes on a router, with an nginx on one."""

    def __init__(self) -> None:
        from lab.cluster.boot import boot

        self.lab = boot(wanted(load.read_topology(catalog.find_topology("zenlin")), load_manifests(MANIFEST, "test.yaml")))
        self.router, self.node, self.master = self.lab.host("router"), self.lab.node(NODE), self.lab.node(MASTER)
        self.address = {host.name: next(card.ip for card in host.intfList() if card.name == "eth0") for host in self.lab.nodes}
        self.card = {name: must(self.router.run(f"ip -o route get {ip}")).split("dev ")[1].split()[0] for name, ip in self.address.items()}

    def arrived(self, sender: Any, receiver: Any, count: int) -> int:
        """How many of so many datagrams from one node to another reached the router: it counts them in its rules, where no buffer is full."""
        rule = f"FORWARD -s {self.address[sender.name]} -d {self.address[receiver.name]} -p udp --dport 9 -j DROP"
        must(self.router.run(f"iptables -I {rule}"))
        must(sender.run(["python3", "-c", SEND.format(self.address[receiver.name], count)], timeout=60))
        until(lambda: not _backlog(sender, self.router), "the end of what is on its way")
        shown = must(self.router.run("iptables -L FORWARD 1 -v -x -n"))
        must(self.router.run(f"iptables -D {rule}"))
        return int(shown.split()[0])

    def pings(self, times: int = 5) -> list[float]:
        """Round trips in milliseconds between the node and the master."""
        said = must(self.node.run(f"ping -c {times} -i 0.02 -W 30 {self.address[MASTER]}", timeout=60))
        return [float(line.split("time=")[1].split()[0]) for line in said.splitlines() if "time=" in line]

    def as_it_was(self) -> None:
        """Nothing is broken, and nothing that broke it is left."""
        self.lab.clear_faults()
        assert self.lab.faults.rows() == []
        for host in self.lab.network.hosts:
            found = must(host.run("ip -o link; tc qdisc show"))
            assert not [word for word in ("lab-", "netem", "clsact", "tbf") if word in found], (host.name, found)
        assert len(self.pings()) == 5


def _backlog(*hosts: Any) -> int:
    return sum(one.get("backlog", 0) for host in hosts for one in json.loads(must(host.run("tc -s -j qdisc show"))))


def a_link_loses_as_many_as_it_is_told(world: World) -> None:
    """2000 datagrams, 30 %: the exact binomial bounds for a false alarm in ten million runs. The other way loses none."""
    world.lab.fault(NODE, "loss 30", way="out")
    low, high = binomial_bounds(2000, 0.7, FALSE_ALARM)
    assert low <= world.arrived(world.node, world.master, 2000) <= high
    world.lab.fault(MASTER, "loss 0")
    assert world.arrived(world.master, world.lab.node(OTHER), 500) == 500
    (row,) = world.lab.faults.rows()
    assert (row["machine"], row["interface"], row["out"]["loss"], row["in"]["loss"]) == (NODE, "eth0", 30, 0)
    assert row["text"] == f"link eth0 - router {world.card[NODE]}: loss 30 % out"
    world.as_it_was()


def the_sender_is_not_told(world: World) -> None:
    """A packet that is lost on a cable is no error of the socket: every sendto returns well, and only the answers are missing."""
    world.lab.fault(NODE, "loss 100")
    assert world.arrived(world.node, world.master, 20) == 0
    assert world.lab.trace(NODE, MASTER, patience=0.2).loss.kind == "fault"
    world.as_it_was()


def a_link_delays_both_ways_and_keeps_the_order(world: World) -> None:
    world.lab.fault(NODE, "delay 20")
    pings = world.pings(10)
    assert len(pings) == 10 and min(pings) >= 40
    found = world.lab.trace(NODE, MASTER, patience=5.0)
    assert found.arrived and not [place for place in found.places_of("there") if "lab-" in place]
    world.lab.fault(NODE, "loss 10")
    (row,) = world.lab.faults.rows()
    assert row["text"].endswith(": loss 10 %, delay 20 ms, both ways")
    world.lab.fault(NODE, "loss 0 delay 30", way="in")
    world.lab.fault(NODE, "loss 0 delay 0", way="out")
    assert min(world.pings()) >= 30
    world.as_it_was()


def a_link_lets_pass_as_much_as_it_is_told(world: World) -> None:
    """40 kB over 1 Mbit/s are 320 ms; the bucket is let through at once, and what else happens only makes it slower."""
    world.lab.fault(NODE, "rate 1mbit")
    server = world.node.popen(["python3", "-c", STREAM], stdout=-1)
    until(lambda: ":7000" in must(world.node.run("ss -ltn")), "the server")
    client = f"import socket; s = socket.create_connection(('{world.address[NODE]}', 7000)); s.recv(1); s.sendall(bytes(40000))"
    begun = time.monotonic()
    must(world.master.run(["python3", "-c", client], timeout=60))
    taken, ended = server.communicate(timeout=60)[0].split()
    assert int(taken) == 40_000 and float(ended) - begun >= (40_000 - 8_000) * 8 / 1_000_000
    world.as_it_was()


def a_pulled_cable_leaves_everyone_the_routes(world: World) -> None:
    must(world.router.run(f"ip route add 10.99.0.0/24 via {world.address[NODE]}"))
    before = [must(host.run("ip -4 route")) for host in (world.node, world.router)]
    world.lab.fault(NODE, "down")
    assert "NO-CARRIER" in must(world.node.run("ip -o link show eth0"))
    assert world.node.run(f"ping -c 1 -W 1 {world.address[MASTER]}").status != 0
    assert world.lab.trace(NODE, MASTER, patience=0.2).loss.kind == "fault"
    assert world.lab.trace(MASTER, NODE, patience=0.2).loss.kind == "fault"
    world.lab.fault(NODE, "down")
    world.lab.fault(NODE, "up")
    until(lambda: world.node.run(f"ping -c 1 -W 1 {world.address[MASTER]}").status == 0, "the link's return")
    assert [must(host.run("ip -4 route")) for host in (world.node, world.router)] == before
    must(world.router.run("ip route del 10.99.0.0/24"))
    world.as_it_was()


def a_paused_node_stands_still_with_its_pods(world: World) -> None:
    web = world.lab.pod("web")
    ask = f"curl -s -o /dev/null -m 20 http://{world.lab.pod_object('web').pod_ip}/"
    mine = world.node.popen(["sleep", "1000"])
    world.lab.fault(NODE, "pause")
    still = {name: standstill.state(one.pid) for name, one in world.lab.daemons[NODE].items()}
    assert {name for name, state in still.items() if state == "T"} == {"flanneld", "kubelet", "kube-proxy"}, still
    assert standstill.state(mine.pid) == "T"
    assert must(web.run("hostname")) == "web\n", "commands in its pods still run"
    assert world.lab.client().run("true").status == 0
    asking = world.node.popen(["bash", "-c", ask])
    with pytest.raises(UsageError, match="paused already"):
        world.lab.fault(NODE, "pause")
    assert asking.poll() is None, "nginx stands still"
    world.lab.fault(NODE, "resume")
    assert asking.wait(60) == 0
    assert all(standstill.state(one.pid) != "T" for one in world.lab.daemons[NODE].values())
    mine.kill()
    mine.wait()
    world.as_it_was()


def a_pods_link_can_be_broken_and_goes_with_it(world: World) -> None:
    world.lab.apply(load_manifests(MANIFEST.replace("name: web}", "name: short}", 1), "short.yaml"))
    ip = world.lab.pod_object("short").pod_ip
    world.lab.fault("short", "delay 15 loss 5")
    stages = [stage for link in world.lab.faults._links.values() for stage in link.stages.values()]
    world.lab.fault("short", "loss 0")
    said = must(world.node.run(f"ping -c 3 -i 0.02 -W 30 {ip}", timeout=60))
    assert said.count("time=") == 3
    world.lab.delete_pod("short")
    world.lab.pod_hosts.refresh()
    assert world.lab.faults.rows() == []
    assert all(stage.ended() is not None for stage in stages)
    world.as_it_was()


def what_cannot_be_broken_is_said(world: World) -> None:
    for who, words, interface, part in (
        ("router", "down", "", "router has several links, say which"),
        (NODE, "loss 3", "eth7", f"{NODE} has no link at 'eth7'; it has eth0"),
        ("nobody", "down", "", "no machine is named 'nobody'"),
        (NODE, "explode", "", "no fault 'explode'"),
    ):
        with pytest.raises(UsageError) as error:
            world.lab.fault(who, words, interface=interface)
        assert part in str(error.value)
    assert world.lab.faults.rows() == []
    world.lab.fault("router", "loss 100", interface=world.card[NODE])
    assert world.lab.faults.rows()[0]["peer"] == NODE
    world.lab.fault(NODE, "clear")
    world.as_it_was()


CHECKS = (
    a_link_loses_as_many_as_it_is_told,
    the_sender_is_not_told,
    a_link_delays_both_ways_and_keeps_the_order,
    a_link_lets_pass_as_much_as_it_is_told,
    a_pulled_cable_leaves_everyone_the_routes,
    a_paused_node_stands_still_with_its_pods,
    a_pods_link_can_be_broken_and_goes_with_it,
    what_cannot_be_broken_is_said,
)


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return together(tmp_path_factory.mktemp("faults") / "results.json", World, CHECKS)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_faults(results: dict[str, str], check: str) -> None:
    assert not results[check], results[check]


@pytest.fixture(name="up")
def _up() -> Iterator[str]:
    name = f"test-{os.getpid()}-faults"
    with lab_up(name, "flat"):
        yield name


def test_the_command(up: str) -> None:
    """It says what is broken after each change; `lab ps` and `lab inspect` say it too, and the lab goes down with its faults."""
    ran = lab("fault", "-n", up, "node2", "loss", "30", "delay", "5")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("node2  link eth0 - switch") and ran.stdout.endswith(": loss 30 %, delay 5 ms, both ways\n")
    assert lab("fault", "-n", up, "node3", "pause").returncode == 0
    rows = json.loads(lab("fault", "-n", up, "--format", "json").stdout)
    assert sorted(row["machine"] for row in rows) == ["node2", "node3"]
    assert lab("fault", "-n", up, "node3").stdout == "node3  paused: its processes are stopped\n"
    (mine,) = [row for row in json.loads(lab("ps", "--format", "json").stdout) if row["name"] == up]
    assert len(mine["faults"]) == 2
    assert lab("inspect", "-n", up).stdout.count("FAULT") == 2
    assert lab("fault", "-n", up, "node1", "pause").returncode == 0
    ran = lab("inspect", "-n", up)
    assert ran.returncode == 1 and "node1 is paused, and its apiserver with it; `lab fault node1 resume`" in ran.stderr
    assert lab("fault", "-n", up, "node1", "resume").returncode == 0
    ran = lab("fault", "-n", up, "node2", "loss", "lots")
    assert ran.returncode == 2 and ran.stderr.startswith("lab: loss lots: say a number from 0 to 100")
    assert lab("fault", "-n", up, "clear").stdout == "nothing is broken on purpose\n"
    lab("fault", "-n", up, "node2", "delay", "5")
    assert lab("down", up).returncode == 0
