"""What kube-proxy costs with few services and with many, each with two back ends: the real daemon, the real kernel.

    python bench/kubeproxy.py [--sizes 100,1000,10000] [--ways WAY,...] [--rounds N] [--quick] [--json]

Ways: 1.7/nft, 1.7/legacy, 1.33/nft, 1.33/legacy (iptables mode: layout of the rules and variant of iptables), nftables, userspace/nft,
userspace/legacy. Userspace is measured up to 1000 services, unless it is named: it has a socket and two portals for each.

    generate     from services and endpoints in memory to the text that the kernel's tool is given, in this process
    first sync   from the start of `python -m lab.kubeproxy` until its rules are in an empty kernel, with Python's own start and the lists
    CPU          seconds of CPU that it took, kube-proxy and the tools it ran together: on a busy machine this is the figure to look at
    restart      the same as first sync for a kube-proxy that is started again and finds all its rules
    change       from the moment the apiserver tells of a service's other back end until the kernel has it; the median of --changes
    first, last  microseconds of a new TCP connection up to its first byte, through the first service of the rules and through the last
    direct       the same without a service

The apiserver is a stand-in that has its answers ready, so that only kube-proxy is measured. --quick: 100 and 1000 services, one round.
Everything lives in a sandbox that ends with the run. Run it as root. Judges nothing.
"""

from __future__ import annotations

import argparse
import functools
import http.client
import json
import os
import platform
import shutil
import socket
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.canned_apiserver import PORT, post, serve
from bench.flannel_datapath import Work, await_word, ip
from lab.fabric import daemon, kernel, process, sandbox
from lab.fabric.namespace import Namespace
from lab.kubeproxy import iptables, modes, nft_rules, nft_text, portals
from lab.kubeproxy.backends import view
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.model import fromapi

ROOT = Path(__file__).resolve().parent.parent
WAYS = ("1.7/nft", "1.7/legacy", "1.33/nft", "1.33/legacy", "nftables", "userspace/nft", "userspace/legacy")
USERSPACE_MOST = 1000
MOST = 40000
"""Services that the benchmark has addresses for."""
CIDR = IPv4Network("10.128.0.0/9")
NODE, POD, SPARE = "10.128.0.1", "10.128.0.2", "10.128.0.3"
HEALTH = 10256
PATIENCE = 300.0
"""Seconds until a sync counts as never ending."""
ASKED = 300
"""Connections of which the median is told."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Figures:
    """What one run of one way with so many services gave: seconds, and microseconds for connections."""

    generate: float
    first: float
    cpu: float
    restart: float
    change: float
    first_service: float
    last_service: float
    direct: float


def objects(count: int) -> tuple[list[Object], list[Object]]:
    """`count` services, and their endpoints: two back ends each. Of the first and the last service the pod's, of others nobody's."""
    services, endpoints = [], []
    for number in range(count):
        meta = {"name": f"s{number:05d}", "namespace": "default", "resourceVersion": str(number + 1)}
        vip = str(IPv4Address("10.96.0.0") + 256 + number)
        services.append({"metadata": meta, "spec": {"clusterIP": vip, "selector": {"app": meta["name"]}, "ports": [{"port": 80}]}})
        ends = [POD, SPARE] if number in (0, count - 1) else [str(CIDR[1024 + 2 * number]), str(CIDR[1025 + 2 * number])]
        endpoints.append(endpoints_of(number, *ends))
    return services, endpoints


def endpoints_of(number: int, *ips: str, version: int = 1) -> Object:
    """The endpoints of one service."""
    meta = {"name": f"s{number:05d}", "namespace": "default", "resourceVersion": str(version)}
    return {"metadata": meta, "subsets": [{"addresses": [{"ip": one, "nodeName": "n1"} for one in ips], "ports": [{"port": 8080}]}]}


def generated(way: str, services: list[Object], endpoints: list[Object]) -> float:
    """Seconds from data to text."""
    some, ends = [fromapi.service_of(one) for one in services], [fromapi.endpoints_of(one) for one in endpoints]
    config = ProxyConfig(CIDR, node_ips=(IPv4Address(NODE),), hostname="n1")
    begun = time.perf_counter()
    if way == "nftables":
        nft_text.whole(nft_rules.generate(some, ends, config))
    elif way.startswith("userspace"):
        views = view(some, ends)
        portals.generate(views, {(one.name, one.protocol): 40000 for one in views}, config.node_ips[0])
    else:
        mode = modes.ModeConfig(config, rules_version=way.split("/")[0], hold_ports=False)
        iptables.IptablesProxy(lambda argv, stdin: "", mode).sync(some, ends)
    return time.perf_counter() - begun


class World:
    """A node with a pod, an apiserver on the node, and iptables of one variant. A context manager."""

    def __init__(self, way: str, services: list[Object], endpoints: list[Object]) -> None:
        self.way, self.lists = way, {"services": services, "endpoints": endpoints}
        self.node, self.pod = Namespace.create("node"), Namespace.create("pod")
        self.started: list[daemon.Daemon] = []

    def __enter__(self) -> World:
        self._choose_iptables(self.way.partition("/")[2] or "nft")
        ip(self.node, "link set lo up", "link add veth0 type veth peer name eth0", f"address add {NODE}/24 dev veth0", "link set veth0 up")
        process.must(process.run(self.node, ["ip", "link", "set", "eth0", "netns", f"/proc/{os.getpid()}/fd/{self.pod.fds['net']}"]))
        addresses = [f"address add {address}/24 dev eth0" for address in (POD, SPARE)]
        ip(self.pod, *addresses, "link set eth0 up", "link set lo up", f"route add default via {NODE}")
        ip(self.node, f"route add 10.96.0.0/12 via {POD}")  # a cluster IP's packet needs a route before rules change where it goes
        self._fork(self.pod, "server", answer)
        self._fork(self.node, "apiserver", functools.partial(serve, self.lists))
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.started:
            one.kill()
        self.pod.close()
        self.node.close()

    def _choose_iptables(self, variant: str) -> None:
        """Let the node's iptables be that variant: one binary has all programs of it, and covers the other's where the system's is."""
        path = process.environment()["PATH"]
        wanted, usual = (shutil.which(name, path=path) for name in (f"iptables-{variant}-restore", "iptables-restore"))
        if wanted is None or usual is None:
            raise SystemExit(f"this machine has no iptables-{variant}-restore; leave the ways of {variant} out, or install iptables")
        if os.path.realpath(wanted) != os.path.realpath(usual):
            with self.node.entered():
                kernel.mount(os.path.realpath(wanted), os.path.realpath(usual), flags=kernel.MS_BIND)

    def _fork(self, where: Namespace, name: str, main: Callable[[], int]) -> None:
        self.started.append(daemon.fork(where, name, main))
        await_word(self.started[-1], "ready")

    def start_proxy(self) -> tuple[daemon.Daemon, float]:
        """A kube-proxy, and the seconds that it took until its first sync was done."""
        mode, _, version = ("iptables", "", self.way.split("/")[0]) if self.way[0] == "1" else (self.way.partition("/")[0], "", "1.7")
        argv = [sys.executable, "-m", "lab.kubeproxy", "--master", f"http://127.0.0.1:{PORT}", "--proxy-mode", mode, "--rules-version", version]
        argv += ["--cluster-cidr", str(CIDR), "--hostname-override", "n1", "--iptables-sync-period", "10h"]
        env = {"PYTHONPATH": str(ROOT)}
        begun = time.time()
        started = daemon.execute(self.node, f"kube-proxy-{len(self.started)}", argv, env)
        self.started.append(started)
        return started, self.synced(started, begun) - begun

    def synced(self, proxy: daemon.Daemon, since: float) -> float:
        """Wait for a sync that ended after `since`; when it ended."""
        deadline = time.monotonic() + PATIENCE
        while proxy.ended() is None and time.monotonic() < deadline:
            ended = self._last_sync()
            if ended > since:
                return ended
            time.sleep(0.05)  # asking takes kube-proxy's time
        raise SystemExit(f"{self.way}: kube-proxy does not sync\n{proxy.last_words()}")

    def _last_sync(self) -> float:
        """When kube-proxy's health check says that rules were written last; 0 while it does not answer."""
        with self.node.entered():
            try:
                connection = http.client.HTTPConnection("127.0.0.1", HEALTH, timeout=PATIENCE)
                connection.request("GET", "/healthz")
                told = json.loads(connection.getresponse().read())["lastUpdated"]
            except OSError:
                return 0.0
        return datetime.strptime(told.removesuffix(" +0000 UTC"), "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=timezone.utc).timestamp()

    def changes(self, proxy: daemon.Daemon, count: int, times: int) -> float:
        """The median seconds of a change: every time another service gets another back end."""
        taken = []
        for number in range(times):
            which = (number * 7919 + count // 2) % max(1, count - 2) + 1 if count > 2 else 0
            item = endpoints_of(which, str(CIDR[1024 + 2 * which]), str(CIDR[4 * MOST + number]), version=1000000 + number)
            with self.node.entered():
                told = post(item)
            taken.append(self.synced(proxy, told) - told)
        return statistics.median(taken)

    def connection(self, address: str, port: int) -> float:
        """Microseconds of a new connection from the node."""
        return float(Work(self.node, functools.partial(connect, address, port)).result())


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process and the children that it has waited for."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def answer() -> int:
    """The pod: one byte for everyone who comes."""
    with socket.create_server(("", 8080), backlog=1024) as server:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                connection.send(b".")


def connect(address: str, port: int) -> float:
    """The median microseconds from nothing to a connection's first byte."""
    taken = []
    for _ in range(ASKED):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
            made.settimeout(10)
            begun = time.perf_counter()
            made.connect((address, port))
            if made.recv(1) != b".":
                raise SystemExit(f"{address}:{port} gave no answer")
            taken.append((time.perf_counter() - begun) * 1e6)
    return statistics.median(taken)


def measure(way: str, count: int, changes: int) -> Figures:
    """Everything about one way with so many services, in a world of its own."""
    services, endpoints = objects(count)
    seconds = generated(way, services, endpoints)
    with World(way, services, endpoints) as world:
        proxy, first = world.start_proxy()
        cpu = cpu_of(proxy.pid)
        vips = [one["spec"]["clusterIP"] for one in (services[0], services[-1])]
        connections = [world.connection(vips[0], 80), world.connection(vips[-1], 80), world.connection(POD, 8080)]
        change = world.changes(proxy, count, changes)
        proxy.stop()
        _, restart = world.start_proxy()
    return Figures(seconds, first, cpu, restart, change, *connections)


COLUMNS: dict[str, tuple[str, str, float]] = {
    "generate": ("generate", "s", 1),
    "first": ("first sync", "s", 1),
    "cpu": ("CPU", "s", 1),
    "restart": ("restart", "s", 1),
    "change": ("change", "ms", 1e3),
    "first_service": ("first", "us", 1),
    "last_service": ("last", "us", 1),
    "direct": ("direct", "us", 1),
}


def row(way: str, count: int, runs: list[Figures]) -> str:
    """A line of the table: medians."""
    medians = {key: statistics.median(getattr(run, key) for run in runs) for key in COLUMNS}
    cells = (f"{medians[key] * factor:>11.2f}" if unit == "s" else f"{medians[key] * factor:>11.0f}" for key, (_, unit, factor) in COLUMNS.items())
    return f"{way:17}{count:>9}" + "".join(cells)


def numbers(text: str) -> list[int]:
    """`100,1000`. Raises ArgumentTypeError."""
    found = text.split(",")
    if not all(one.isdecimal() and 0 < int(one) <= MOST for one in found):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers from 1 to {MOST}; write it as 100,1000")
    return [int(one) for one in found]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=numbers, default=[], help="numbers of services (100,1000,10000)")
    parser.add_argument("--ways", default="", help="(all)")
    parser.add_argument("--rounds", type=int, default=0, help="of which the medians are told (3)")
    parser.add_argument("--changes", type=int, default=9, help="of a service's endpoints, a round (9)")
    parser.add_argument("--quick", action="store_true", help="100 and 1000 services, one round")
    parser.add_argument("--json", action="store_true", help="every figure of every round as one JSON document")
    args = parser.parse_args()
    sizes = args.sizes or ([100, 1000] if args.quick else [100, 1000, 10000])
    ways = (args.ways or ",".join(WAYS)).split(",")
    if set(ways) - set(WAYS):
        parser.error(f"the ways are {', '.join(WAYS)}")
    rounds = args.rounds or (1 if args.quick else 3)
    machine = {"cpus": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version(), "rounds": rounds}
    if not args.json:
        print(f"{machine['cpus']} CPUs, Linux {machine['kernel']}, Python {machine['python']}, medians of {rounds}")
        print(f"{'':17}{'services':>9}" + "".join(f"{name:>11}" for name, _, _ in COLUMNS.values()))
        print(f"{'':17}{'':>9}" + "".join(f"{unit:>11}" for _, unit, _ in COLUMNS.values()), flush=True)

    def body() -> int:
        results = []
        for count in sizes:
            for way in ways:
                if way.startswith("userspace") and count > USERSPACE_MOST and not args.ways:
                    continue
                runs = [measure(way, count, args.changes) for _ in range(rounds)]
                results.append({"way": way, "services": count, "runs": [asdict(run) for run in runs]})
                if not args.json:
                    print(row(way, count, runs), flush=True)
        if args.json:
            print(json.dumps({"machine": machine, "results": results}, indent=2), flush=True)
        return 0

    return sandbox.run(body)


if __name__ == "__main__":
    sys.exit(main())
