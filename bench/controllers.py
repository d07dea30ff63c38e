"""How quickly controllers and scheduler react, with the real etcd and the lab's apiserver; pods are only said to run.

    python bench/controllers.py [--changes N] [--pods N]

    endpoints    milliseconds from asking for a change of a pod's readiness, and from the apiserver's answer to that, until a watch tells of
                 the changed Endpoints: median, 90th percentile, worst
    twelve pods  seconds from a new deployment of twelve replicas until all are bound to nodes; then the same for --pods more (100)
    CPU          seconds of CPU that each process took for the latter

Everything lives in a sandbox that ends with the run. Judges nothing.
"""

from __future__ import annotations

import argparse
import queue
import statistics
import sys
import tempfile
import threading
import time
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
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Sandbox(Path(directory)) as sandbox:
        sandbox.start_etcd()
        master = Master(sandbox).start("--node-monitor-grace-period", "1h")
        master.client.create(a_service(clusterIP=None))
        with Kubelets(master, "n1", "n2"):
            until(lambda: all(node.get("status") for node in master.client.list("nodes")["items"]), "the nodes")
            start = time.monotonic()
            master.client.create(a_deployment(replicas=FIRST))
            print(f"twelve pods  {_bound(master, FIRST) - start:.2f} s")
            until(lambda: len(master.ready_ips("web")) == FIRST, "the endpoints")
        _endpoints(master, given.changes)
        before, start = _cpu(master), time.monotonic()
        master.client.patch("deployments", "web", "default", {"spec": {"replicas": FIRST + given.pods}})
        print(f"{given.pods} more     {_bound(master, FIRST + given.pods) - start:.2f} s")
        print("CPU          " + ", ".join(f"{name} {spent - before[name]:.2f} s" for name, spent in _cpu(master).items()))
    return 0


def _bound(master: Master, count: int) -> float:
    until(lambda: sum(bool(pod["spec"].get("nodeName")) for pod in master.client.list("pods")["items"]) == count, f"{count} bound pods")
    return time.monotonic()


def _endpoints(master: Master, changes: int) -> None:
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
    for name, times in (("from asking", asked), ("from the answer", answered)):
        ordered = sorted(1000 * one for one in times)
        print(f"endpoints    {statistics.median(ordered):.1f}  {ordered[len(ordered) * 9 // 10]:.1f}  {ordered[-1]:.1f} ms {name}")


def _cpu(master: Master) -> dict[str, float]:
    spent = {}
    for name, process in master.daemons.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        spent[name] = (int(fields[11]) + int(fields[12])) / 100
    return spent


if __name__ == "__main__":
    sys.exit(main())
