"""How a lab grows: many nodes, pods and services, with what each stage costs, and which kind of process it costs.

    python bench/scale.py [--nodes N] [--pods N] [--services N] [--pairs N] [--backend B] [--mode M] [--seed S] [--json]

The cluster is a master without pods and N nodes on one switch, with so many pods a node. First the nodes boot without anything on them, then
the pods are declared, as deployments of five; then a sample of pairs of pods is asked to reach each other, each by one ping; then the
services are declared, which five pods stand behind each. A stage ends when the lab says that it has: all leases taken, all pods ready,
the newest rules on every node.

    seconds   the clock's
    CPU       seconds of all processes during a stage, with the names of those that used most; in the second table of all stages by name
    PSS       memory, where what several processes share is divided between them; asked before the lab is taken down
    down      from the lab's last word until the process that was waited for has ended

Judges nothing but that the pairs are answered: a lab whose packets do not arrive makes the exit status 1.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import pings, sizes
from bench.apart import apart
from lab.cluster.wanted import wanted

MIB = 1 << 20
MOST = 6
"""Kinds of processes that a stage names in the table: those that it cost most."""


class Meter:
    """Notes stages. Their CPU is what all processes have used more than before: of those that have ended, what their parents know."""

    def __init__(self) -> None:
        self.stages: list[dict[str, Any]] = []
        self._used = sizes.used()

    def stage(self, what: str, seconds: float | None) -> None:
        """A Progress of lab.cluster.progress."""
        if seconds is None:
            print(f"  {what} ...", file=sys.stderr, flush=True)
            return
        now = sizes.used()
        none = sizes.Used(0, 0.0)
        kinds = {name: round(one.cpu - self._used.get(name, none).cpu, 2) for name, one in now.items()}
        kinds = dict(sorted(((name, cpu) for name, cpu in kinds.items() if cpu), key=lambda pair: -pair[1]))
        self.stages.append({"what": what, "seconds": round(seconds, 3), "cpu": round(sum(kinds.values()), 2), "kinds": kinds})
        self._used = now

    def timed(self, what: str, work: Callable[[], Any]) -> Any:
        """Do something as a stage of its own."""
        self.stage(what, None)
        begun = time.monotonic()
        done = work()
        self.stage(what, time.monotonic() - begun)
        return done


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """The figures; to be called in a sandbox."""
    from lab.cluster.boot import boot

    meter = Meter()
    begun = time.monotonic()
    cluster = boot(wanted(sizes.topology(args.nodes, args.backend, args.mode)), meter.stage)
    count = args.nodes * args.pods
    meter.timed(f"{count} pods", lambda: cluster.apply(sizes.deployments(count)))
    up = time.monotonic() - begun
    pods = meter.timed("the bench finds the pods", lambda: {str(host.IP()): host.namespace for host in cluster.pods})
    pairs = sample(sorted(pods), args.pairs, random.Random(args.seed))
    silent = meter.timed(f"{len(pairs)} pairs of pods", lambda: pings.silent(pods, pairs))
    if args.services:
        meter.timed(f"{args.services} services", lambda: cluster.apply(sizes.services(args.services, count)))
    kinds = {
        name: {"processes": one.processes, "cpu": round(one.cpu, 2), "pss_mib": round(one.pss / MIB, 1)}
        for name, one in sorted(sizes.used(with_memory=True).items(), key=lambda pair: -pair[1].cpu)
    }
    return {
        "nodes": args.nodes, "pods": len(pods), "services": args.services, "backend": args.backend, "mode": args.mode,
        "up_seconds": round(up, 2), "stages": meter.stages, "kinds": kinds,
        "cpu": round(sum(one["cpu"] for one in kinds.values()), 1), "pss_mib": round(sum(one["pss_mib"] for one in kinds.values()), 1),
        "pairs": len(pairs), "silent": silent,
    }  # fmt: skip


def sample(addresses: list[str], count: int, dice: random.Random) -> list[pings.Pair]:
    """So many pairs of different pods; fewer when there are no two."""
    return [(one, other) for one, other in (dice.sample(addresses, 2) for _ in range(count if len(addresses) > 1 else 0))]


def table(found: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    yield "{nodes} nodes, {pods} pods, {services} services, {backend}, {mode}: up in {up_seconds} s".format(**found)
    yield f"{'':40} {'seconds':>8} {'CPU':>8}"
    for stage in found["stages"]:
        most = ", ".join(f"{name} {cpu:.2f}" for name, cpu in list(stage["kinds"].items())[:MOST])
        yield f"{stage['what']:40} {stage['seconds']:8.2f} {stage['cpu']:8.2f}  {most if stage['cpu'] >= 1 else ''}".rstrip()
    yield f"{'down':40} {found['down_seconds']:8.2f}"
    yield f"\n{'':24} {'processes':>9} {'CPU':>8} {'PSS MiB':>9} {'each':>7}"
    for name, one in found["kinds"].items():
        if one["cpu"] >= 0.05 or one["pss_mib"] >= 1:
            yield f"{name:24} {one['processes']:9} {one['cpu']:8.2f} {one['pss_mib']:9.1f} {one['pss_mib'] / one['processes']:7.1f}"
    yield f"{'together':24} {sum(one['processes'] for one in found['kinds'].values()):9} {found['cpu']:8.2f} {found['pss_mib']:9.1f}"
    yield f"\n{found['pairs']} pairs of pods, {len(found['silent'])} without an answer"
    yield from (f"    {source} -> {target}" for source, target in found["silent"][:10])


def run(args: argparse.Namespace) -> dict[str, Any]:
    """A lab in a sandbox, and its figures. Raises SystemExit when the lab fails."""
    found, ended = apart(lambda: measured(args) | {"ended": time.monotonic()})
    return found | {"down_seconds": round(ended - found.pop("ended"), 3)}


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--pods", type=int, default=10, help="a node")
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--backend", default="vxlan", choices=("udp", "vxlan", "host-gw"))
    parser.add_argument("--mode", default="iptables", choices=("iptables", "nftables", "userspace"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    return parser.parse_args(words)


def main() -> int:
    """Measure and print."""
    args = arguments()
    found = run(args)
    print(json.dumps(found, indent=2) if args.json else "\n".join(table(found)))
    return 1 if found["silent"] else 0


if __name__ == "__main__":
    sys.exit(main())
