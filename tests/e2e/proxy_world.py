"""A small world for kube-proxy's modes: three nodes and an outside client on one switch, pods behind bridges, a proxy on every node.

         192.168.50.0/24                    10.244.N.0/24 on cbr0 of node N, routed by the nodes' addresses (as host-gw does)
client .100, .101 to .131 ── n1 .11 ── pods a .2, b .3
                          ── n2 .12 ── pod c .2
                          ── n3 .13    no pod
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.fabric import daemon, kernel, process
from lab.fabric.namespace import Namespace
from lab.kubeproxy import leftovers
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.modes import ModeConfig, Proxier, make
from lab.kubeproxy.userspace import UserspaceProxy
from lab.master.endpoints import endpoints_for
from lab.model.objects import Container, ContainerPort, Endpoints, Pod, Service
from lab.workloads import echo
from tests.waiting import until

NODES = {name: f"192.168.50.1{number}" for number, name in enumerate(("n1", "n2", "n3"), 1)}
CLIENT = "192.168.50.100"
MORE_CLIENTS = [f"192.168.50.{number}" for number in range(101, 132)]
EXTERNAL_IP, BALANCER_IP = "203.0.113.10", "203.0.113.20"
CIDR = IPv4Network("10.244.0.0/16")
SERVICE_CIDR = IPv4Network("10.96.0.0/12")
AFFINITY = 2
"""Seconds of session affinity where a mode lets one choose."""

PATIENT, SHORT = 8.0, 0.4
"""Seconds to wait for an answer that is to come, and for one that is not."""


@dataclass(frozen=True)
class Answer:
    """Who answered, and from which address it saw the client come."""

    pod: str
    source: str


def _pod(name: str, node: str, ip: str, web: int, half_port: int, **labels: str) -> Pod:
    ports = (ContainerPort(web, "web"), ContainerPort(9090, "admin"), ContainerPort(half_port, "half"), ContainerPort(5353, "dns", "UDP"))
    container = Container("echo", "echo", ports=ports)
    return Pod(name, "default", (container,), tuple(labels.items()), node, IPv4Address(ip))


NOBODYS = 7777
"""A port on which no pod listens."""

PODS = (
    _pod("a", "n1", "10.244.1.2", 8080, 8080, app="echo", one="a", half="yes"),
    _pod("b", "n1", "10.244.1.3", 8080, NOBODYS, app="client", half="yes"),
    _pod("c", "n2", "10.244.2.2", 9090, 9090, app="echo"),
)


class Machine:
    """A namespace of the world, from which connections are made."""

    def __init__(self, name: str) -> None:
        self.namespace = Namespace.create(name)
        self.run("ip link set lo up")

    def run(self, command: str | Sequence[str], stdin: str = "") -> str:
        """A command that has to succeed; of a str for bash, every part."""
        whole = f"set -e; {command}" if isinstance(command, str) else command
        return process.must(process.run(self.namespace, whole, stdin=stdin))

    def socket(self, kind: socket.SocketKind, source: str = "") -> socket.socket:
        with self.namespace.entered():
            made = socket.socket(socket.AF_INET, kind)
        if source:
            made.bind((source, 0))
        return made

    def ask(self, ip: str, port: int, patience: float = PATIENT, source: str = "") -> Answer | str:
        """One TCP connection: who answered, or `refused`, `closed` (accepted, then closed without a word), `unreachable` or `timeout`."""
        with self.socket(socket.SOCK_STREAM, source) as made:
            made.settimeout(patience)
            try:
                made.connect((ip, port))
                made.sendall(b"GET / HTTP/1.1\r\n\r\n")
                said = b""
                while piece := made.recv(4096):
                    said += piece
            except OSError as error:
                return _outcome(error)
        return _answer(said.split(b"\r\n\r\n", 1)[-1]) if said else "closed"

    def ask_udp(self, ip: str, port: int, patience: float = PATIENT, using: socket.socket | None = None) -> Answer | str:
        """One datagram and its answer, from a socket of its own unless one is given."""
        with contextlib.nullcontext(using) if using else self.socket(socket.SOCK_DGRAM) as made:
            made.settimeout(patience)
            try:
                made.connect((ip, port))
                made.send(b"hello")
                return _answer(made.recv(4096))
            except OSError as error:
                return _outcome(error)


def _outcome(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    names = {ConnectionRefusedError: "refused", ConnectionResetError: "closed", BrokenPipeError: "closed"}
    return names.get(type(error), "unreachable")


def _answer(said: bytes) -> Answer:
    words = dict(line.split(": ", 1) for line in said.decode().splitlines()[:2])
    return Answer(words["pod"], words["client"].rpartition(":")[0])


class Node(Machine):
    """A node with its bridge and its proxy."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name, self.ip = name, NODES[name]
        self.bridge = f"10.244.{name[1:]}.1"
        self.proxy: Any = None

    def run_argv(self, argv: Sequence[str], stdin: str) -> str:
        return self.run(list(argv), stdin)

    def start(self, make: Callable[[Node, ProxyConfig], Proxier]) -> None:
        config = ProxyConfig(CIDR, node_ips=(IPv4Address(self.ip), IPv4Address(self.bridge)), hostname=self.name)
        self.proxy = make(self, config)


def _userspace(node: Node, config: ProxyConfig) -> Proxier:
    def enter() -> None:
        kernel.unshare(kernel.CLONE_FS)
        node.namespace.join()

    return UserspaceProxy(node.run_argv, config, dice=random.Random(4), enter=enter)


def _made(mode: str, version: str = "1.7") -> Callable[[Node, ProxyConfig], Proxier]:
    """As the daemon makes it. Ports are not held: this process is not on the node."""
    more: dict[str, Any] = {"rules_version": version, "hold_ports": False, "service_cidr": SERVICE_CIDR}
    return lambda node, config: make(mode, node.run_argv, ModeConfig(config, **more))


MODES: dict[str, Callable[[Node, ProxyConfig], Proxier]] = {
    "iptables-1.7": _made("iptables"),
    "iptables-1.33": _made("iptables", "1.33"),
    "userspace": _userspace,
    "nftables": _made("nftables"),
}


class World:
    """All machines, and the services that the proxies are told of."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.switch = Machine("switch")
        self.switch.run("echo 0 > /proc/sys/net/bridge/bridge-nf-call-iptables; ip link add br0 type bridge; ip link set br0 up")
        self.client = Machine("client")
        self._plug(self.client, CLIENT)
        self.client.run(
            "; ".join(f"ip address add {address}/24 dev eth0" for address in MORE_CLIENTS)
            + f"; ip route add {EXTERNAL_IP} via {NODES['n1']}; ip route add {BALANCER_IP} via {NODES['n1']}"
        )
        self.nodes = {name: Node(name) for name in NODES}
        for node in self.nodes.values():
            self._wire_node(node)
        self.pods = {pod.name: self._wire_pod(pod) for pod in PODS}
        self.echoes = [daemon.fork(self.pods[pod.name].namespace, "echo", partial(echo.serve, pod.name, _ports())) for pod in PODS]
        for pod in PODS:
            until(partial(self._answers, pod), f"the echo server of {pod.name}")
        self.services: dict[str, tuple[Service, Endpoints]] = {}
        for node in self.nodes.values():
            node.start(MODES[mode])

    def _plug(self, machine: Machine, ip: str) -> None:
        port = f"to-{machine.namespace.name}"
        self.switch.run(f"ip link add {port} type veth peer name eth0 netns {_path(machine)}; ip link set {port} master br0 up")
        machine.run(f"ip address add {ip}/24 dev eth0; ip link set eth0 up")

    def _wire_node(self, node: Node) -> None:
        self._plug(node, node.ip)
        others = [f"ip route add 10.244.{name[1:]}.0/24 via {ip}" for name, ip in NODES.items() if name != node.name]
        # The client is nobody's router: what no proxy takes is lost there, as a cluster IP's packet is in the internet.
        node.run(
            f"ip link add cbr0 type bridge; ip address add {node.bridge}/24 dev cbr0; ip link set cbr0 up; "
            f"echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; "
            f"ip route add default via {CLIENT}; " + "; ".join(others)
        )

    def _wire_pod(self, pod: Pod) -> Machine:
        machine, node = Machine(pod.name), self.nodes[pod.node_name]
        port = f"veth-{pod.name}"
        node.run(
            f"ip link add {port} type veth peer name eth0 netns {_path(machine)}; "
            f"ip link set {port} master cbr0 up; ip link set {port} type bridge_slave hairpin on"
        )
        machine.run(f"ip address add {pod.pod_ip}/24 dev eth0; ip link set eth0 up; ip route add default via {node.bridge}")
        return machine

    def _answers(self, pod: Pod) -> bool:
        return isinstance(self.nodes[pod.node_name].ask(str(pod.pod_ip), 8080, SHORT), Answer)

    def serve(self, *services: Service, pods: Iterable[str] = ("a", "b", "c")) -> None:
        """These services and no others from now on, with those of `pods` as back ends that they select."""
        chosen = [pod for pod in PODS if pod.name in set(pods)]
        self.services = {service.name: (service, endpoints_for(service, chosen)) for service in services}
        self.sync()

    def set_pods(self, name: str, *pods: str) -> None:
        """Other back ends for one service."""
        service, _ = self.services[name]
        self.services[name] = service, endpoints_for(service, [pod for pod in PODS if pod.name in pods])
        self.sync()

    def sync(self) -> None:
        for node in self.nodes.values():
            node.proxy.sync([one for one, _ in self.services.values()], [two for _, two in self.services.values()])

    def rules(self, node: str) -> str:
        """Everything that the kernel has on a node."""
        if self.mode == "nftables":
            return self.nodes[node].run("nft list ruleset")
        return self.nodes[node].run("iptables-save")

    def forget_clients(self, last_use: float) -> None:
        """Session affinity's time is over. v1.7's three hours in iptables mode are not waited for: the kernel's lists are emptied."""
        if self.mode == "iptables-1.7":
            for node in self.nodes.values():
                node.run("for list in /proc/net/xt_recent/KUBE-SEP-*; do [ ! -e $list ] || echo / > $list; done")
            return
        until(lambda: time.monotonic() > last_use + AFFINITY + 0.1, "the end of the affinity's time")

    def close(self) -> None:
        """Undo every proxy. The rest goes with the sandbox."""
        for node in self.nodes.values():
            leftovers.remove(node.run_argv)
            node.proxy.close()


def _ports() -> list[tuple[Any, int]]:
    return [("TCP", 8080), ("TCP", 9090), ("UDP", 5353)]


def _path(machine: Machine) -> str:
    """The machine's network namespace as a path, for `ip` in another machine."""
    return f"/proc/{os.getpid()}/fd/{machine.namespace.fds['net']}"
