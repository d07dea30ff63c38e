"""The modes of kube-proxy side by side: what a sync costs, and a connection, with few and with many services. Run as root.

python -m bench.proxy_modes [SERVICES]
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab.fabric import sandbox
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


def _measure(mode: str, count: int) -> int:
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
    print(f"{mode:14} {one:9.2f} ms {last:9.2f} ms {all_of_them:9.2f} s {change * 1000:9.0f} ms {len(world.rules('n1').splitlines()):9}")
    return 0


def main() -> None:
    """Every mode in a sandbox of its own."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(f"{'':14} {'1 service':>12} {f'{count} services':>12} {'first sync':>11} {'1 change':>12} {'lines':>9}", flush=True)
    for mode in MODES:
        sandbox.run(lambda mode=mode: _measure(mode, count))


if __name__ == "__main__":
    main()
