"""A throw-away network for flannel's end-to-end tests: etcd, nodes on one switch, pods behind bridges, in namespaces of their own.

The first process is PID 1 of a PID namespace: when it is killed, everything else is gone, and when this process dies, it is killed.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from lab.cluster import standstill
from lab.flannel.lease import reservation
from lab.flannel.subnetfile import SubnetFile, parse
from lab.plan.build import mac_of
from tests.waiting import PATIENCE, until

ROOT = Path(__file__).resolve().parents[2]
MASTER = "192.168.1.254"
ETCD = f"http://{MASTER}:2379"
SWITCH_MAC = "02:73:00:00:00:fe"
"""Given by hand: a bridge without one takes its lowest port's, and a port that joins later would change it under the nodes' ARP entries."""

_AS_ROOT = os.geteuid() == 0
_ENTER = ["nsenter", "--net", "--mount", f"--wd={ROOT}"] + ([] if _AS_ROOT else ["--user", "--preserve-credentials"])


def etcd_command(listen: str, data: str) -> list[str]:
    """A single etcd that elects itself at once and syncs nothing to the disk."""
    command = ["etcd", "--data-dir", data, "--listen-client-urls", listen, "--advertise-client-urls", listen, "--logger", "zap"]
    command += ["--listen-peer-urls", "http://127.0.0.1:0", "--initial-advertise-peer-urls", "http://127.0.0.1:0"]
    return [
        *command,
        "--initial-cluster",
        "default=http://127.0.0.1:0",
        "--heartbeat-interval",
        "10",
        "--election-timeout",
        "100",
    ]


@dataclass
class Process:
    """A process in the sandbox: `pid` as the host sees it; `log` what it says."""

    popen: subprocess.Popen[str]
    pid: int
    log: Path

    def said(self, text: str) -> bool:
        return text in self.log.read_text()

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def stand_still(self) -> None:
        """SIGSTOP. nsenter, which has started it, stops then, too."""
        self.signal(signal.SIGSTOP)
        until(lambda: standstill.state(self.popen.pid) == "T", "the stop")

    def go_on(self) -> None:
        """SIGCONT, which nsenter passes on."""
        self.popen.send_signal(signal.SIGCONT)

    def wait(self) -> int:
        return self.popen.wait(PATIENCE)


@dataclass
class Node:
    """A machine: `pid` holds its network namespace."""

    sandbox: Sandbox
    name: str
    address: str
    pid: int
    daemons: list[Process] = field(default_factory=list)
    pods: list[int] = field(default_factory=list)

    @property
    def flanneld(self) -> Process:
        """The one that was started last."""
        return self.daemons[-1]

    @property
    def subnet_file(self) -> Path:
        return self.sandbox.directory / f"{self.name}.env"

    @property
    def given(self) -> SubnetFile:
        return parse(self.subnet_file.read_text())

    @property
    def subnet(self) -> IPv4Network:
        return self.given.subnet

    @property
    def gateway(self) -> str:
        return str(self.given.bridge.ip)

    def run(self, command: str | Sequence[str], check: bool = True) -> str:
        return self.sandbox.run(command, self.pid, check)

    def start_flanneld(self, *flags: str) -> Process:
        """Start flanneld anew, without waiting for anything."""
        command = [sys.executable, "-m", "lab.flannel", "--etcd-endpoints", ETCD, "--subnet-file", str(self.subnet_file), *flags]
        self.daemons.append(self.sandbox.start(command, f"{self.name}-flanneld-{len(self.daemons)}", self.pid))
        return self.flanneld

    def ready(self) -> None:
        """Wait until flanneld runs and follows the leases."""
        flanneld = self.flanneld
        until(lambda: flanneld.said("Finished starting backend.") or flanneld.popen.poll() is not None, "the start of flanneld")
        assert flanneld.popen.poll() is None, flanneld.log.read_text()

    def knows(self, other: Node) -> None:
        """Wait until flanneld has learnt of another node's subnet."""
        flanneld = self.flanneld
        until(lambda: flanneld.said(f"Subnet added: {other.subnet}"), f"{self.name}'s learning of {other.name}")

    def stats(self) -> str:
        """The last line of counters after asking for one."""
        flanneld = self.flanneld
        before = flanneld.log.read_text().count("stats: ")
        flanneld.signal(signal.SIGUSR1)
        until(lambda: flanneld.log.read_text().count("stats: ") > before, "the line of counters")
        return flanneld.log.read_text().rsplit("stats: ", 1)[1].splitlines()[0]

    def add_bridge(self) -> None:
        """docker0 as docker would make it from subnet.env."""
        given, mac = self.given, mac_of(self.given.bridge.ip)
        self.run(
            f"ip link add docker0 address {mac} mtu {given.mtu} type bridge && ip address add {given.bridge} dev docker0 && ip link set docker0 up"
        )
        self.run("echo 1 > /proc/sys/net/ipv4/ip_forward")

    def add_pod(self) -> tuple[int, str]:
        """A pod on the bridge; returns the process that holds it and its address."""
        given = self.given
        pid = self.sandbox.namespace(f"{self.name}-pod{len(self.pods)}")
        address = given.subnet.network_address + 2 + len(self.pods)
        port = f"veth{len(self.pods)}"
        self.pods.append(pid)
        self.run(f"ip link add {port} mtu {given.mtu} type veth peer name eth0 mtu {given.mtu} netns {pid}")
        self.run(f"ip link set {port} master docker0 up")
        inside = f"ip address add {address}/{given.subnet.prefixlen} dev eth0 && ip link set eth0 up && ip route add default via {given.bridge.ip}"
        self.sandbox.run(inside, pid)
        return pid, str(address)


class Sandbox:
    """The switch, the machine of etcd (the sandbox's own network namespace) and all nodes. A context manager."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.etcd: Process | None = None
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Sandbox:
        setup = (
            f"mount -t tmpfs tmpfs /run && ip link set lo up && ip link add br0 address {SWITCH_MAC} type bridge && ip link set br0 up "
            f"&& ip address add {MASTER}/24 dev br0 && echo ready && exec sleep infinity"
        )
        user = [] if _AS_ROOT else ["--user", "--map-root-user"]
        flags = [*user, "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        self._popen = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", *flags, "sh", "-c", setup], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        assert self._popen.stdout is not None
        assert self._popen.stdout.readline() == "ready\n"
        self.pid = _child(self._popen.pid)
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._popen.communicate()
        for process in self._processes:
            process.send_signal(signal.SIGCONT)  # nsenter stops with what it has started
            process.wait()

    def run(self, command: str | Sequence[str], where: int = 0, check: bool = True) -> str:
        """Run a command in a network namespace and return all that it said; a str goes to sh."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        done = subprocess.run(
            [*_ENTER, "--target", str(where or self.pid), *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=ROOT,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def start(self, argv: Sequence[str], name: str, where: int = 0) -> Process:
        """Start a process that ends with the sandbox."""
        log = self.directory / f"{name}.log"
        with log.open("w") as file:
            popen = subprocess.Popen(
                [*_ENTER, "--pid", "--target", str(where or self.pid), *argv], stdout=file, stderr=file, text=True, cwd=ROOT
            )
        self._processes.append(popen)
        return Process(popen, _child(popen.pid), log)

    def namespace(self, name: str) -> int:
        """A new network namespace; returns the process that holds it."""
        holder = self.start(["unshare", "--net", "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"], name)
        until(lambda: holder.said("ready"), f"the namespace {name}")
        return holder.pid

    def start_etcd(self) -> None:
        """etcd on its old data, if it has any; returns when it answers."""
        count = len(list(self.directory.glob("etcd-*.log")))
        self.etcd = self.start(etcd_command(ETCD, "/run/etcd"), f"etcd-{count}")
        until(lambda: "is healthy" in self.etcdctl("endpoint health", check=False), "etcd's start")

    def stop_etcd(self) -> None:
        assert self.etcd is not None
        self.etcd.signal(signal.SIGKILL)
        self.etcd.wait()

    def etcdctl(self, arguments: str, check: bool = True) -> str:
        return self.run(f"ETCDCTL_API=3 etcdctl --endpoints {ETCD} {arguments}", check=check)

    def configure(self, config: str) -> None:
        self.etcdctl(f"put /coreos.com/network/config '{config}'")

    def add_segment(self) -> None:
        """A second switch with 192.168.2.0/24; the machine of etcd is the router between the two."""
        self.run("ip link add br1 type bridge && ip link set br1 up && ip address add 192.168.2.254/24 dev br1")
        self.run("echo 1 > /proc/sys/net/ipv4/ip_forward")

    def add_node(self, number: int, segment: int = 1) -> Node:
        """A machine at 192.168.<segment>.<number>, its default route by the master's machine."""
        name, address = f"node{number}", str(IPv4Address(f"192.168.{segment}.{number}"))
        pid = self.namespace(name)
        self.run(f"ip link add {name} type veth peer name eth0 netns {pid} && ip link set {name} master br{segment - 1} up")
        self.run(f"ip address add {address}/24 dev eth0 && ip link set eth0 up && ip route add default via 192.168.{segment}.254", pid)
        return Node(self, name, address, pid)

    def start_nodes(self, config: str, nodes: Sequence[Node], *flags: str) -> None:
        """Reserve 10.244.<its number>.0/24 for each of these nodes, start them all, and wait until each knows each."""
        self.configure(config)
        kind = json.loads(config)["Backend"]["Type"]
        for node in nodes:
            key, value = reservation(IPv4Network(f"10.244.{node.name.removeprefix('node')}.0/24"), IPv4Address(node.address), kind)
            self.etcdctl(f"put {key} '{value}'")
        for node in nodes:
            node.start_flanneld(*flags)
        for node in nodes:
            node.ready()
            node.add_bridge()
        for one, two in itertools.permutations(nodes, 2):
            one.knows(two)

    def add_pair(self, *datapaths: str) -> tuple[Node, Node]:
        """Two nodes with 10.244.1.0/24 and 10.244.2.0/24 reserved, flanneld running, each knowing the other."""
        one, two = nodes = (self.add_node(1), self.add_node(2))
        for number, (node, datapath) in enumerate(zip(nodes, datapaths, strict=True), 1):
            key, value = reservation(IPv4Network(f"10.244.{number}.0/24"), IPv4Address(node.address))
            self.etcdctl(f"put {key} '{value}'")
            node.start_flanneld("--datapath", datapath)
        for node in nodes:
            node.ready()
            node.add_bridge()
        one.knows(two)
        two.knows(one)
        return nodes


def _child(parent: int) -> int:
    """The first child of a process, once there is one."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    until(lambda: children.read_text().split(), "the start of a process")
    return int(children.read_text().split()[0])
