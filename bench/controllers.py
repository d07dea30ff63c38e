"""How quickly controllers and scheduler react, with the real etcd and the lab's apiserver; pods are only said to run.

    python bench/controllers.py [--changes N] [--pods N] [--json]

    endpoints    milliseconds from asking for a change of a pod's readiness, and from the apiserver's answer to that, until a watch tells of
                 the changed Endpoints: median, 90th percentile, worst
    twelve pods  seconds from a new deployment of twelve replicas until all are bound to nodes; then the same for --pods more (100)
    CPU          seconds of CPU that each process took for the latter

Everything lives in a sandbox that ends with the run. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.e2e.flannel_sandbox import Sandbox
from tests.e2e.master_sandbox import Kubelets, Master
from tests.unit.small_cluster import a_deployment, a_service
from tests.waiting import until

FIRST = 12


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description="How quickly controllers and scheduler react.")
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--pods", type=int, default=100)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Sandbox(Path(directory)) as sandbox:
        sandbox.start_etcd()
        master = Master(sandbox).start("--node-monitor-grace-period", "1h")
        master.client.create(a_service(clusterIP=None))
        with Kubelets(master, "n1", "n2"):
            until(lambda: all(node.get("status") for node in master.client.list("nodes")["items"]), "the nodes")
            start = time.monotonic()
            master.client.create(a_deployment(replicas=FIRST))
            first = _bound(master, FIRST) - start
            until(lambda: len(master.ready_ips("web")) == FIRST, "the endpoints")
        endpoints = _endpoints(master, given.changes)
        before, start = _cpu(master), time.monotonic()
        master.client.patch("deployments", "web", "default", {"spec": {"replicas": FIRST + given.pods}})
        more = _bound(master, FIRST + given.pods) - start
        cpu = {name: round(spent - before[name], 2) for name, spent in _cpu(master).items()}
    found = {"first_seconds": first, "more_pods": given.pods, "more_seconds": more, "cpu_seconds": cpu, "endpoints_ms": endpoints}
    print(json.dumps(found, indent=2) if given.json else "\n".join(_table(found)))
    return 0


def _table(found: dict[str, Any]) -> Iterator[str]:
    yield f"twelve pods  {found['first_seconds']:.2f} s"
    for name, one in found["endpoints_ms"].items():
        yield f"endpoints    {one['median']:.1f}  {one['90th']:.1f}  {one['worst']:.1f} ms from {name}"
    yield f"{found['more_pods']} more     {found['more_seconds']:.2f} s"
    yield "CPU          " + ", ".join(f"{name} {spent:.2f} s" for name, spent in found["cpu_seconds"].items())


def _bound(master: Master, count: int) -> float:
    until(lambda: sum(bool(pod["spec"].get("nodeName")) for pod in master.client.list("pods")["items"]) == count, f"{count} bound pods")
    return time.monotonic()


def _endpoints(master: Master, changes: int) -> dict[str, dict[str, float]]:
    """Milliseconds until a watch tells of changed endpoints: from asking for the change behind it, and from the answer to that."""
    told: queue.SimpleQueue[float] = queue.SimpleQueue()
    version = master.client.list("endpoints")["metadata"]["resourceVersion"]

    def watch() -> None:
        for _, item in master.client.watch("endpoints", version):
            if item["metadata"]["name"] == "web":
                told.put(time.monotonic())

    threading.Thread(target=watch, daemon=True).start()
    pods: list[dict[str, Any]] = master.client.list("pods")["items"]
    asked, answered = [], []
    for number in range(changes):
        ready = "False" if number // len(pods) % 2 == 0 else "True"
        status = {"status": {"conditions": [{"type": "Ready", "status": ready}]}}
        start = time.monotonic()
        master.client.patch("pods", pods[number % len(pods)]["metadata"]["name"], "default", status, subresource="status")
        answer = time.monotonic()
        end = told.get(timeout=10)
        asked.append(end - start)
        answered.append(end - answer)
        time.sleep(0.03)  # what the change brings about elsewhere is over before the next
    return {"asking": _summary(asked), "the answer": _summary(answered)}


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(1000 * one for one in times)
    return {"median": statistics.median(ordered), "90th": ordered[len(ordered) * 9 // 10], "worst": ordered[-1]}


def _cpu(master: Master) -> dict[str, float]:
    spent = {}
    for name, process in master.daemons.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent[name] = (int(fields[11]) + int(fields[12])) / 100
    return spent


if __name__ == "__main__":
    sys.exit(main())
