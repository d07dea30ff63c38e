"""What a machine of the lab costs, beside Mininet's own and beside what the kernel takes for it: namespaces wired to one bridge.

    python bench/namespaces.py [--counts 10,100,1000] [--mininet-most N] [--json]

Each host is a network namespace with an address and a default route, and a veth pair to a bridge. Three ways to make them, in one run on one
machine, so that their ratio means something on a busy one, too:

    kernel    `ip -batch`: the floor. Namespaces only of the network, made by one process
    lab       what a boot of the lab does for each machine, and a kubelet's runtime for each pod: also a hostname, a /run and a /sys of its own
    mininet   Mininet's own Host and Link with a bash in each host, as `net.addHost`, `net.addLink` make them; its links' other ends stay
              in the first namespace, on the same kind of bridge. It is asked for no more than N hosts, since 1,000 take minutes

    make      seconds until all are wired, and milliseconds a host
    CPU       milliseconds of computing a host, of all processes; the kernel's own workers are not in it
    processes KiB of memory a host that processes take, where what several share is divided between them
    kernel    KiB of memory a host that the kernel takes: the whole machine's, so that what others do meanwhile is in it
    away      seconds until all have been taken away: for the lab, until its sandbox has ended

Each runs in a sandbox of its own. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import sizes
from bench.apart import apart

NETWORK = IPv4Network("10.0.0.0/16")
MACS = 0x020000000000
Stop = Callable[[], None]

REST, REST_EACH = 2.0, 0.01
"""Seconds between two rows, at least and for each host: the kernel takes namespaces away some time after their last user, and holds the lock of
all network settings meanwhile. Whoever came next would wait for what was before it."""


def kernel(count: int) -> Stop:
    """Everything by two runs of `ip -batch`."""
    names = [f"h{number}" for number in range(count)]
    Path("/run/netns").mkdir(parents=True, exist_ok=True)
    _batch(["link add br0 type bridge", "link set br0 up", *(f"netns add {name}" for name in names)])
    lines = []
    for name in names:
        lines += [f"link add {name}e type veth peer name eth0 netns {name}", f"link set {name}e up master br0"]
    _batch(lines)
    for number, name in enumerate(names):
        inside = [f"addr add {_address(number)} dev eth0", "link set eth0 up", f"route add default via {NETWORK[1]}"]
        subprocess.run(["ip", "-n", name, "-batch", "-"], input="\n".join(inside), text=True, check=True)
    return lambda: _batch([f"netns del {name}" for name in names])


def _batch(lines: list[str]) -> None:
    subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)


def lab(count: int) -> Stop:
    """The lab's builder, with the operations of a plan."""
    from lab.fabric.apply import Builder
    from lab.fabric.mininet import Network
    from lab.plan import operations as op

    builder = Builder(Network())
    bridge = op.Interface("switch", "br0")
    plan: list[op.Operation] = [op.AddNamespace("", "switch", "switch"), op.AddBridge("", bridge)]
    for number in range(count):
        name = f"h{number}"
        card, port = op.Interface(name, "eth0", _mac(number)), op.Interface("switch", f"port{number}")
        plan += [op.AddNamespace("", name, "client"), op.AddWire("", card, port, 1500), op.AddPort("", port, "br0")]
        plan += [op.SetAddress("", card, _address(number)), op.AddRoute("", name, IPv4Network("0.0.0.0/0"), NETWORK[1], "eth0")]
    builder.apply(plan)
    builder.close()
    return lambda: None  # it goes with its sandbox


def mininet(count: int) -> Stop:
    """Mininet as it comes: addHost, addLink and build. Its switches would be Open vSwitch or brctl's, so that the bridge is by hand."""
    from lab.fabric import oldpython

    with oldpython.distutils():
        from mininet.link import Link
        from mininet.net import Mininet
        from mininet.node import Host

    Mininet.inited = True  # it would raise the machine's limits and mount cgroups
    net = Mininet(build=False, host=Host, link=Link, controller=None)
    switch = net.addHost("s1", inNamespace=False, ip=None)
    switch.cmd("ip link add br0 type bridge; ip link set br0 up")
    for number in range(count):
        host = net.addHost(f"h{number}", ip=str(_address(number)), defaultRoute=f"via {NETWORK[1]}")
        link = net.addLink(host, switch)
        switch.cmd(f"ip link set {link.intf2} up master br0")
    net.build()
    return net.stop  # type: ignore[no-any-return]


WAYS = {"kernel": kernel, "lab": lab, "mininet": mininet}


def _address(number: int) -> IPv4Interface:
    return IPv4Interface(f"{IPv4Address(int(NETWORK[2]) + number)}/{NETWORK.prefixlen}")


def _mac(number: int) -> str:
    return ":".join(f"{byte:02x}" for byte in (MACS + number + 1).to_bytes(6, "big"))


KERNELS = ("Slab", "KernelStack", "PageTables", "Percpu")
"""Lines of /proc/meminfo with memory that namespaces, links and processes make the kernel take."""


def _kernel_kib() -> int:
    found = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return sum(int(found[name].split()[0]) for name in KERNELS if name in found)


def _processes_kib() -> int:
    return sum(one.pss for one in sizes.used(with_memory=True).values()) // 1024


def _cpu() -> float:
    """Seconds of computing of every process in the sandbox, also of those that were waited for."""
    return sum(one.cpu for one in sizes.used().values())


def measure(way: str, count: int) -> dict[str, Any]:
    """The figures of one way with so many hosts. Raises SystemExit when it fails."""

    def body() -> dict[str, Any]:
        from lab.fabric import apply  # noqa: F401 (it brings Mininet: importing that is not what is measured)

        kernel_kib, processes_kib = _kernel_kib(), _processes_kib()
        begun, spent = time.monotonic(), _cpu()
        stop = WAYS[way](count)
        seconds, spent = time.monotonic() - begun, _cpu() - spent
        kernel_kib, processes_kib = _kernel_kib() - kernel_kib, _processes_kib() - processes_kib
        end = time.monotonic()
        stop()
        return {"make": seconds, "cpu": spent, "kernel": kernel_kib, "processes": processes_kib, "end": end}

    found, ended = apart(body)
    return {
        "way": way, "hosts": count, "make_seconds": round(found["make"], 3), "ms_a_host": round(1000 * found["make"] / count, 2),
        "cpu_ms_a_host": round(1000 * found["cpu"] / count, 2),
        "processes_kib_a_host": round(found["processes"] / count), "kernel_kib_a_host": round(found["kernel"] / count),
        "away_seconds": round(ended - found["end"], 3),
    }  # fmt: skip


def rows(counts: list[int], most: int) -> Iterator[dict[str, Any]]:
    """Every way with every count, side by side."""
    rest = REST  # whoever was before this program has left something to clear up, too
    for count in counts:
        for way in WAYS:
            if way == "mininet" and (count > most or shutil.which("mnexec") is None):
                continue
            time.sleep(rest)
            rest = max(REST, count * REST_EACH)
            yield measure(way, count)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="10,100,1000", help="numbers of hosts, with commas")
    parser.add_argument("--mininet-most", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    args = parser.parse_args()
    found = []
    if not args.json:
        print(f"{'way':8} {'hosts':>6} {'make':>9} {'a host':>9} {'CPU':>9} {'processes':>11} {'kernel':>9} {'away':>8}")
    for row in rows([int(one) for one in args.counts.split(",")], args.mininet_most):
        found.append(row)
        if not args.json:
            text = "{way:8} {hosts:6} {make_seconds:7.2f} s {ms_a_host:6.2f} ms {cpu_ms_a_host:6.2f} ms"
            text += " {processes_kib_a_host:7} KiB {kernel_kib_a_host:5} KiB {away_seconds:6.2f} s"
            print(text.format(**row), flush=True)
    if shutil.which("mnexec") is None:
        print("stock Mininet needs its program mnexec, which is not on this machine: install the package mininet", file=sys.stderr)
    if args.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
