"""How long one pod takes on a node where nothing else happens: real scheduler, kubelet and runtime, one pod after the other.

    python bench/pod.py [--pods N] [--json]

    bound     milliseconds from asking for a pod until a watch tells that the scheduler has bound it to the node
    Running   from then until the watch tells that its phase is Running, and that it is ready: kubelet has seen it, its runtime has made
              namespace, veth pair, address and route and started the container, kubelet has said so
    CPU       milliseconds of CPU a pod, of every process of the lab together; the four that used most are told by name

Of each the least, the median and the most. Everything lives in a sandbox that ends with the run. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import sizes
from bench.apart import apart
from lab.cluster.wanted import wanted
from lab.master.client import ApiClient

PATIENCE = 60.0
STAGES = ("bound", "Running")

Told = queue.SimpleQueue[tuple[float, dict[str, Any]]]


def pod(number: int) -> dict[str, Any]:
    """A pod that waits."""
    spec = {"containers": [{"name": "main", "image": "ubuntu"}], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}", "namespace": "default"}, "spec": spec}


def reached(item: dict[str, Any]) -> str:
    """How far a pod has come: one of STAGES, or nothing. Pure."""
    if item.get("status", {}).get("phase") == "Running":
        return "Running"
    return "bound" if item["spec"].get("nodeName") else ""


def one(client: ApiClient, told: Told, number: int) -> dict[str, float]:
    """Milliseconds that a new pod took for each stage."""
    since = time.monotonic()
    client.create(pod(number))
    taken = dict.fromkeys(STAGES, 0.0)
    while True:
        moment, item = told.get(timeout=PATIENCE)
        stage = reached(item) if item["metadata"]["name"] == f"p{number}" else ""
        if stage and not taken[stage]:
            taken[stage], since = 1000 * (moment - since), moment
        if stage == STAGES[-1]:
            return taken


def measured(count: int) -> dict[str, Any]:
    """The figures; to be called in a sandbox."""
    from lab.cluster.boot import boot

    cluster = boot(wanted(sizes.topology(1, "vxlan", "iptables")), lambda what, seconds: None)
    client, told = cluster.api, Told()
    version = client.list("pods")["metadata"]["resourceVersion"]

    def watch() -> None:
        for _, item in client.watch("pods", version):
            told.put((time.monotonic(), item))

    threading.Thread(target=watch, daemon=True).start()
    one(client, told, 0)
    before = sizes.used()
    runs = [one(client, told, number) for number in range(1, count + 1)]
    cpu = {name: 1000 * (used.cpu - (before[name].cpu if name in before else 0.0)) / count for name, used in sizes.used().items()}
    most = sorted(cpu.items(), key=lambda pair: -pair[1])[:4]
    return {"pods": count, "stages": runs, "cpu_ms": round(sum(cpu.values()), 1), "most": {name: round(spent, 1) for name, spent in most}}


def table(found: dict[str, Any]) -> Iterator[str]:
    """The figures for people."""
    yield f"{'':10} {'least':>8} {'median':>8} {'most':>8}  ms, of {found['pods']} pods"
    for stage in STAGES:
        times = [run[stage] for run in found["stages"]]
        yield f"{stage:10} " + " ".join(f"{of(times):8.1f}" for of in _SUMMARY)
    yield f"{'CPU':10} {found['cpu_ms']:8.1f} ms a pod: " + ", ".join(f"{name} {spent:.1f}" for name, spent in found["most"].items())


_SUMMARY: tuple[Callable[[list[float]], float], ...] = (min, statistics.median, max)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    args = parser.parse_args()
    found, _ = apart(lambda: measured(args.pods))
    print(json.dumps(found, indent=2) if args.json else "\n".join(table(found)))


if __name__ == "__main__":
    main()
