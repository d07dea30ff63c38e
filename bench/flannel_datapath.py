"""How fast pods of two nodes talk over each way of carrying their packets, measured in one run on one machine.

    python bench/flannel_datapath.py [--seconds S] [--rounds N] [--json] [WAY ...]

Ways: plain (flanneld's loop of one packet at a time), fast (flanneld's default), vxlan (the kernel's own tunnel), routing (no tunnel).
Each round measures every way once, one after the other; the table shows medians, and the ratios are to the plain loop of the same run.

    one stream, four streams   Mbit/s of TCP payload, pod to pod
    round trip                 microseconds, median and 99th percentile, of a UDP datagram of 16 bytes and its echo, nothing else going on
    64-byte packets            packets a second that arrive when a pod sends UDP in IP packets of 64 bytes as fast as it can
    CPU                        seconds of CPU a gigabyte (10^9 bytes) of one stream: sender, receiver and both flanneld, with what the kernel
                               does in their names

Needs root or an ordinary user who may make namespaces. Everything lives in a sandbox that ends with the run. Judges nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import platform
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lab.fabric import daemon, netlink, process, sandbox
from lab.fabric.namespace import Namespace
from lab.flannel.backends.udp import UdpBackend
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.plan import operations as op
from lab.plan.operations import Interface

WAYS = ("plain", "fast", "vxlan", "routing")
NETWORK = IPv4Network("10.244.0.0/16")
MTU = {"plain": 1472, "fast": 1472, "vxlan": 1450, "routing": 1500}
WARM_UP = 1.0
"""Seconds of a stream before its measurement begins."""
PATIENCE = 60.0
PORT = 5001
NODES = (1, 2)


def ip(namespace: Namespace, *commands: str) -> None:
    """Run ip commands in a namespace."""
    process.must(process.run(namespace, ["ip", "-batch", "-"], stdin="\n".join(commands) + "\n"))


def await_word(started: daemon.Daemon, word: str) -> None:
    """Wait until a daemon has printed a word."""
    started.wait_until(lambda: started.log.exists() and word in started.log.read_text(), word, 10)


class Work:
    """A function that runs in a process of its own in a pod, and prints what it found as JSON."""

    _number = 0

    def __init__(self, pod: Namespace, work: Callable[[], Any]) -> None:
        Work._number += 1
        self._daemon = daemon.fork(pod, f"work{Work._number}", lambda: print(json.dumps(work())) or 0)

    def said(self, word: str) -> None:
        """Wait until it has printed a word."""
        await_word(self._daemon, word)

    def result(self) -> Any:
        """Wait for its end."""
        deadline = time.monotonic() + PATIENCE
        while self._daemon.ended() is None:
            if time.monotonic() > deadline:
                raise SystemExit(f"a measurement does not end:\n{self._daemon.last_words()}")
            time.sleep(0.01)
        text = self._daemon.log.read_text()
        if self._daemon.ended() != 0:
            raise SystemExit(f"a measurement failed:\n{text}")
        return json.loads(text.splitlines()[-1])


class World:
    """Two nodes on a switch, a pod behind each, and one way between them. A context manager."""

    _number = 0

    def __init__(self, way: str) -> None:
        World._number += 1
        self.way = way
        self.flanneld: list[daemon.Daemon] = []
        self.names = {name: Namespace.create(name) for name in ("switch", "node1", "node2", "pod1", "pod2")}
        self._sockets = netlink.Sockets()

    def __enter__(self) -> World:
        ip(self.names["switch"], "link add br0 type bridge", "link set br0 up")
        for number in NODES:
            self._node(number)
        for number in NODES:
            self._way(number)
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.flanneld:
            one.kill()
        self._sockets.close()
        for namespace in self.names.values():
            namespace.close()

    def _wire(self, a: str, port: str, b: str, mtu: int) -> None:
        gso = 62900 if self.way in ("plain", "fast") and b.startswith("pod") else 0  # as lab.plan.build has it for pods of the udp backend
        wire = op.AddWire("", Interface(b, "eth0"), Interface(a, port), mtu, gso)
        netlink.add_wire(self._sockets, wire, self.names[b], self.names[a])

    def _node(self, number: int) -> None:
        node, pod, mtu = self.names[f"node{number}"], self.names[f"pod{number}"], MTU[self.way]
        self._wire("switch", f"port{number}", f"node{number}", 1500)
        ip(self.names["switch"], f"link set port{number} master br0")
        ip(node, "link set lo up", f"address add 192.168.1.{number}/24 dev eth0")
        ip(node, f"link add docker0 address 02:00:00:00:00:0{number} mtu {mtu} type bridge", "link set docker0 up")
        ip(node, f"address add 10.244.{number}.1/24 dev docker0")
        self._wire(f"node{number}", "veth0", f"pod{number}", mtu)
        ip(node, "link set veth0 master docker0")
        ip(pod, f"address add 10.244.{number}.2/24 dev eth0", f"route add default via 10.244.{number}.1")
        with node.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _way(self, number: int) -> None:
        node, other = self.names[f"node{number}"], 3 - number
        if self.way == "routing":
            ip(node, f"route add 10.244.{other}.0/24 via 192.168.1.{other}")
        elif self.way == "vxlan":
            mac, local = "02:00:00:00:01:0", f"local 192.168.1.{number} dstport 8472 nolearning"
            ip(
                node,
                f"link add flannel.1 address {mac}{number} mtu 1450 type vxlan id 1 dev eth0 {local}",
                f"address add 10.244.{number}.0/32 dev flannel.1",
                "link set flannel.1 up",
                f"neighbor add 10.244.{other}.0 lladdr {mac}{other} dev flannel.1 nud permanent",
                f"route add 10.244.{other}.0/24 via 10.244.{other}.0 dev flannel.1 onlink",
            )
            entry = f"bridge fdb append {mac}{other} dev flannel.1 dst 192.168.1.{other} self permanent"
            process.must(process.run(node, entry.split()))
        else:
            started = daemon.fork(node, f"flanneld-{self.way}{World._number}", lambda: flanneld(number, self.way))
            self.flanneld.append(started)
            await_word(started, "ready")

    def cpu(self) -> float:
        """Seconds of CPU that the flanneld have used."""
        ticks = [Path(f"/proc/{one.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13] for one in self.flanneld]
        return sum(int(user) + int(system) for user, system in ticks) / os.sysconf("SC_CLK_TCK")

    def in_pod(self, number: int, work: Callable[[], Any]) -> Work:
        """Run a function in a pod."""
        return Work(self.names[f"pod{number}"], work)


def flanneld(number: int, way: str) -> int:
    """The udp backend without etcd: its lease and its peer's are given."""
    address, peer = IPv4Address(f"192.168.1.{number}"), IPv4Address(f"192.168.1.{3 - number}")
    lease = Lease(IPv4Network(f"10.244.{number}.0/24"), Attrs(address))
    other = Lease(IPv4Network(f"10.244.{3 - number}.0/24"), Attrs(peer))
    config = Config(NETWORK, 24, IPv4Address("10.244.1.0"), IPv4Address("10.244.255.0"))
    backend = UdpBackend(External("eth0", 1500, address, address), lambda _, __: lease, print, datapath=way)
    network = backend.register_network(config)
    network.handle([LeaseEvent("added", other)])
    print("ready", flush=True)
    network.run()
    return 0


def used() -> float:
    """Seconds of CPU of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def receive(port: int, seconds: float) -> dict[str, float]:
    """Take one stream; Mbit/s after the warm-up."""
    with socket.create_server(("", port)) as server:
        print("ready", flush=True)
        connection, _ = server.accept()
    buffer = bytearray(1 << 20)
    with connection:
        begun, total, measured, since = time.monotonic(), 0, 0, 0.0
        while got := connection.recv_into(buffer):
            total += got
            now = time.monotonic()
            if not since and now - begun > WARM_UP:
                since, measured = now, total
            if since and now - since > seconds:
                break
        return {"mbit": (total - measured) * 8 / 1e6 / (time.monotonic() - since), "bytes": total, "cpu": used()}


def send(port: int) -> dict[str, float]:
    """Send until the other end has enough."""
    data = bytes(1 << 18)
    with socket.create_connection(("10.244.2.2", port), timeout=30) as connection:
        try:
            while True:
                connection.sendall(data)
        except OSError:
            return {"cpu": used()}


def streams(world: World, count: int, seconds: float) -> tuple[float, float]:
    """Mbit/s of `count` streams together, and CPU seconds a gigabyte."""
    before = world.cpu()
    receivers = [world.in_pod(2, functools.partial(receive, PORT + number, seconds)) for number in range(count)]
    for one in receivers:
        one.said("ready")
    senders = [world.in_pod(1, functools.partial(send, PORT + number)) for number in range(count)]
    taken, given = [one.result() for one in receivers], [one.result() for one in senders]
    cpu = world.cpu() - before + sum(one["cpu"] for one in [*taken, *given])
    return sum(one["mbit"] for one in taken), cpu / (sum(one["bytes"] for one in taken) / 1e9)


def echo() -> int:
    """Send every datagram back until one is empty."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("", PORT))
        print("ready", flush=True)
        while True:
            data, sender = udp.recvfrom(2048)
            udp.sendto(data, sender)
            if not data:
                return 0


def ping(seconds: float) -> list[float]:
    """Round trips in microseconds, one after the other."""
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(1)
        udp.connect(("10.244.2.2", PORT))
        for number in range(100):
            echoed(udp, number)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            number += 1
            times.append(echoed(udp, number) * 1e6)
        for _ in range(3):
            with contextlib.suppress(OSError):  # the first one has ended it
                udp.send(b"")
    return times


def echoed(udp: socket.socket, number: int) -> float:
    """Seconds until the echo of a datagram is there. One that is lost, as on a very busy machine, is sent again and its time forgotten."""
    datagram, end = number.to_bytes(16, "big"), time.monotonic() + PATIENCE
    while time.monotonic() < end:
        begun = time.perf_counter()
        udp.send(datagram)
        with contextlib.suppress(TimeoutError):
            while udp.recv(100) != datagram:
                pass
            return time.perf_counter() - begun
    raise SystemExit(f"no datagram came back within {PATIENCE:g} s")


def round_trip(world: World, seconds: float) -> tuple[float, float]:
    """Microseconds: the median and the 99th percentile."""
    server = world.in_pod(2, echo)
    server.said("ready")
    times = sorted(world.in_pod(1, lambda: ping(seconds)).result())
    server.result()
    return statistics.median(times), times[len(times) * 99 // 100]


def flood(seconds: float) -> int:
    """Send UDP as fast as one process can; how many packets."""
    sent, end = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect(("10.244.2.2", PORT))
        while time.monotonic() < end:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    udp.send(bytes(36))
            sent += 100
    return sent


def arrived(pod: Namespace) -> int:
    """Packets that the pod's interface has received."""
    line = next(line for line in pod.read_text("/proc/thread-self/net/dev").splitlines() if "eth0:" in line)
    return int(line.split(":")[1].split()[1])


def packet_rate(world: World, seconds: float) -> float:
    """Packets a second."""
    sender = world.in_pod(1, lambda: flood(seconds + WARM_UP))
    time.sleep(WARM_UP)
    before, begun = arrived(world.names["pod2"]), time.monotonic()
    sender.result()
    return (arrived(world.names["pod2"]) - before) / (time.monotonic() - begun)


COLUMNS = {
    "one": ("one stream", "Mbit/s", "{:,.0f}"),
    "four": ("four streams", "Mbit/s", "{:,.0f}"),
    "median": ("round trip", "us", "{:,.0f}"),
    "slow": ("99th percentile", "us", "{:,.0f}"),
    "rate": ("64-byte packets", "1/s", "{:,.0f}"),
    "cpu": ("CPU", "s/GB", "{:.2f}"),
}


def measure(way: str, seconds: float) -> dict[str, float]:
    """Everything about one way, in a world of its own."""
    with World(way) as world:
        one, cpu = streams(world, 1, seconds)
        four, _ = streams(world, 4, seconds)
        median, slow = round_trip(world, seconds)
        rate = packet_rate(world, seconds)
    return {"one": one, "four": four, "median": median, "slow": slow, "rate": rate, "cpu": cpu}


def table(results: dict[str, list[dict[str, float]]]) -> None:
    """Print medians, and ratios to the plain loop."""
    medians = {way: {key: statistics.median(run[key] for run in runs) for key in COLUMNS} for way, runs in results.items()}
    print(f"{'':10}" + "".join(f"{name:>18}" for name, _, _ in COLUMNS.values()))
    print(f"{'':10}" + "".join(f"{unit:>18}" for _, unit, _ in COLUMNS.values()))
    for way, values in medians.items():
        print(f"{way:10}" + "".join(f"{form.format(values[key]):>18}" for key, (_, _, form) in COLUMNS.items()))
    for way, values in medians.items():
        if way != "plain" and "plain" in medians:
            ratios = "".join(f"{values[key] / medians['plain'][key]:>17.2f}x" for key in COLUMNS)
            print(f"{way + '/plain':10}"[:14] + ratios)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ways", nargs="*", metavar="WAY", default=list(WAYS), help="of plain, fast, vxlan, routing")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement (2)")
    parser.add_argument("--rounds", type=int, default=3, help="(3)")
    parser.add_argument("--json", action="store_true", help="every round's figures as one JSON document")
    args = parser.parse_args()
    if set(args.ways) - set(WAYS):
        parser.error(f"the ways are {', '.join(WAYS)}")
    if not args.json:
        print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, Python {platform.python_version()}, {args.rounds} rounds of {args.seconds:g} s")

    def body() -> int:
        results: dict[str, list[dict[str, float]]] = {way: [] for way in args.ways}
        for _ in range(args.rounds):
            for way in args.ways:
                results[way].append(measure(way, args.seconds))
        if args.json:
            print(json.dumps({"seconds": args.seconds, "ways": results}, indent=2))
        else:
            table(results)
        return 0

    return sandbox.run(body)


if __name__ == "__main__":
    sys.exit(main())
