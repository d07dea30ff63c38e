"""How quick the lab's apiserver is, with the real etcd behind it.

    python bench/apiserver.py [--requests N] [--clients N] [--watchers N] [--changes N] [--json]

    creates, patches   writes a second, by one client and by several that each wait for their answers
    events             the same of Events, which are written in groups
    gets, lists        reads a second; a list has all the objects of the first part
    watch              milliseconds from asking for a change until each of the watchers has the bytes: of the first, the median, the last
    CPU                milliseconds of the apiserver's computing and of etcd's for each request

Everything lives in a sandbox that ends with the run. Judges nothing.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench import sizes
from lab.master.client import ApiClient
from tests.e2e.flannel_sandbox import Sandbox
from tests.e2e.master_sandbox import Master

Work = Callable[[ApiClient, int], Any]


def config_map(number: int) -> dict[str, Any]:
    """A small object."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}", "namespace": "default"}, "data": {"text": "x" * 200}}


def event(number: int) -> dict[str, Any]:
    """Something that happened."""
    about = {"kind": "Pod", "namespace": "default", "name": f"p{number}"}
    return {
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"e{number}", "namespace": "default"}, "involvedObject": about,
        "reason": "Started", "message": "Started container main", "type": "Normal", "count": 1,
    }  # fmt: skip


class Bench:
    """The master, and what its two processes have computed."""

    def __init__(self, master: Master, etcd: int, requests: int, clients: int) -> None:
        self.master, self.requests, self.clients = master, requests, clients
        self._pids = {"apiserver": master.daemons["apiserver"].pid, "etcd": etcd}

    def rate(self, what: str, work: Work, clients: int, base: int = 0) -> dict[str, Any]:
        """Requests a second. work: one request with its number."""
        each = self.requests // clients

        def run(first: int) -> None:
            client = ApiClient(f"unix:{self.master.socket}")
            for number in range(first, first + each):
                work(client, number)

        threads = [threading.Thread(target=run, args=(base + index * each,)) for index in range(clients)]
        before, begun = self._cpu(), time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, count = time.monotonic() - begun, each * clients
        cpu = {f"{name}_ms": round(1000 * (spent - before[name]) / count, 2) for name, spent in self._cpu().items()}
        return {"what": what, "clients": clients, "a_second": round(count / seconds), **cpu}

    def _cpu(self) -> dict[str, float]:
        fields = {name: Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for name, pid in self._pids.items()}
        return {name: sum(map(int, some[11:13])) / sizes.TICK for name, some in fields.items()}

    def watch(self, watchers: int, changes: int) -> dict[str, Any]:
        """How long it takes until everybody knows of a change."""
        version = self.master.client.list("configmaps", "default")["metadata"]["resourceVersion"]
        path = f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={version}"
        times: list[list[float]] = []
        with selectors.DefaultSelector() as selector:
            for _ in range(watchers):
                selector.register(_watching(str(self.master.socket), path), selectors.EVENT_READ)
            _heard(selector, watchers, b"HTTP/1.1 200")
            before = self._cpu()
            for number in range(changes):
                begun = time.monotonic()
                patch = {"data": {"text": f"change {number}."}}
                threading.Thread(target=self.master.client.patch, args=("configmaps", "c0", "default", patch)).start()
                times.append([moment - begun for moment in _heard(selector, watchers, f"change {number}.".encode())])
            spent = self._cpu()
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
        ordered = [sorted(1000 * one for one in some) for some in times]
        places = {"first": 0, "median": watchers // 2, "last": -1}
        found = {f"{name}_ms": round(statistics.median(some[place] for some in ordered), 2) for name, place in places.items()}
        return {"watchers": watchers, **found, "apiserver_ms": round(1000 * (spent["apiserver"] - before["apiserver"]) / changes, 2)}


def _watching(path: str, request: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.connect(path)
    made.sendall(f"GET {request} HTTP/1.1\r\nHost: lab\r\n\r\n".encode())
    made.setblocking(False)
    return made


def _heard(selector: selectors.BaseSelector, count: int, what: bytes) -> list[float]:
    """When each of so many sockets had read `what`."""
    moments: dict[Any, float] = {}
    texts: dict[Any, bytes] = {}
    while len(moments) < count:
        ready = selector.select(10.0)
        if not ready:
            raise SystemExit(f"{count - len(moments)} of {count} watchers were not told")
        for key, _ in ready:
            texts[key.fileobj] = texts.get(key.fileobj, b"") + key.fileobj.recv(65536)  # type: ignore[union-attr]
            if what in texts[key.fileobj]:
                moments.setdefault(key.fileobj, time.monotonic())
    return list(moments.values())


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as directory, Sandbox(Path(directory)) as sandbox:
        sandbox.start_etcd()
        master = Master(sandbox)
        master.start_apiserver()
        bench = Bench(master, sandbox.etcd.pid, args.requests, args.clients)
        many, count = args.clients, args.requests
        change = {"data": {"text": "y" * 200}}
        rates = [
            bench.rate("creates", lambda client, number: client.create(config_map(number)), 1),
            bench.rate("creates", lambda client, number: client.create(config_map(number)), many, count),
            bench.rate("patches", lambda client, number: client.patch("configmaps", f"c{number}", "default", change), many),
            bench.rate("events", lambda client, number: client.create(event(number)), many),
            bench.rate("gets", lambda client, number: client.get("configmaps", f"c{number}", "default"), many),
        ]
        bench.requests = max(many, count // 20)
        rates.append(bench.rate("lists", lambda client, number: client.list("configmaps"), many))
        return {"rates": rates, "watch": [bench.watch(watchers, args.changes) for watchers in (1, args.watchers)]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="the same as one JSON document")
    args = parser.parse_args()
    found = measured(args)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{'':8} {'clients':>8} {'a second':>9} {'apiserver':>10} {'etcd':>8}")
    for one in found["rates"]:
        print("{what:8} {clients:8} {a_second:9} {apiserver_ms:7.2f} ms {etcd_ms:5.2f} ms".format(**one))
    for one in found["watch"]:
        text = "{watchers} watchers: first {first_ms} ms, median {median_ms}, last {last_ms}; apiserver {apiserver_ms} ms a change"
        print(text.format(**one))


if __name__ == "__main__":
    main()
