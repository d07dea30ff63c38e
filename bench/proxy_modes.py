"""The modes of kube-proxy side by side: what a sync costs, and a connection, with few and with many services. Run as root.

python -m bench.proxy_modes [SERVICES] [--json]
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.apart import apart
from lab.model.objects import Service, ServicePort
from tests.e2e.proxy_world import MODES, Answer, World

ASKED = 200


def _service(number: int) -> Service:
    ip = IPv4Address("10.96.0.0") + 256 + number
    return Service(f"s{number:05d}", "default", (ServicePort(80, target_port="web"),), ip, (("app", "echo"),))


def _connection(world: World, service: Service) -> float:
    """Milliseconds of a connection with its answer, from a pod to one service."""
    taken = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        answer = world.pods["b"].ask(str(service.cluster_ip), 80)
        taken.append(time.perf_counter() - begun)
        assert isinstance(answer, Answer), answer
    return median(taken) * 1000


def _measure(mode: str, count: int) -> dict[str, Any]:
    world = World(mode)
    node = world.nodes["n1"]
    world.nodes = {"n1": node}
    few = [_service(0)]
    world.serve(*few)
    one = _connection(world, few[0])
    many = [_service(number) for number in range(count)]
    begun = time.perf_counter()
    world.serve(*many)
    all_of_them = time.perf_counter() - begun
    begun = time.perf_counter()
    world.set_pods(many[count // 2].name, "a")
    change = time.perf_counter() - begun
    last = _connection(world, replace(many[-1]))
    lines = len(world.rules("n1").splitlines())
    return {"mode": mode, "one_ms": one, "last_ms": last, "first_sync_seconds": all_of_them, "change_ms": change * 1000, "lines": lines}


def main() -> None:
    """Every mode in a sandbox of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("services", nargs="?", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    args = parser.parse_args()
    count, rows = args.services, []
    if not args.json:
        print(f"{'':14} {'1 service':>12} {f'{count} services':>12} {'first sync':>11} {'1 change':>12} {'lines':>9}", flush=True)
    for mode in MODES:
        rows.append(apart(functools.partial(_measure, mode, count))[0])
        if not args.json:
            text = "{mode:14} {one_ms:9.2f} ms {last_ms:9.2f} ms {first_sync_seconds:9.2f} s {change_ms:9.0f} ms {lines:9}"
            print(text.format(**rows[-1]), flush=True)
    if args.json:
        print(json.dumps({"services": count, "modes": rows}, indent=2))


if __name__ == "__main__":
    main()
