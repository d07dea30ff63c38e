"""The kube-proxy daemon in a namespace, against a small stand-in for the apiserver's list and watch."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from lab.fabric import process
from lab.fabric.daemon import fork
from lab.fabric.namespace import Namespace
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e
META = {"name": "web", "namespace": "default", "resourceVersion": "1"}
SERVICE = {"metadata": META, "spec": {"type": "NodePort", "clusterIP": "10.96.0.9", "ports": [{"port": 80, "nodePort": 30080}]}}


def _endpoints(ip: str) -> dict[str, Any]:
    return {"metadata": META | {"resourceVersion": "2"}, "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]}


class Master:
    """Lists one service and its endpoints; `events` go to whoever watches the endpoints."""

    def __init__(self) -> None:
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        master = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                ends = "/endpoints" in self.path
                if "watch=1" not in self.path:
                    items = [_endpoints("10.244.1.2") if ends else SERVICE]
                    self.wfile.write(json.dumps({"kind": "List", "metadata": {"resourceVersion": "2"}, "items": items}).encode())
                    return
                while ends:
                    event = {"type": "MODIFIED", "object": master.events.get()}
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                threading.Event().wait(60)

            def do_POST(self) -> None:
                master.events.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 8080), Handler)
        self.server.daemon_threads = True

    def main(self) -> int:
        self.server.serve_forever()
        return 0


@pytest.mark.parametrize("version", ["1.7", "1.33"])
def test_it_watches_repairs_nothing_it_need_not_and_leaves_its_rules(version: str) -> None:
    def check() -> None:
        node = Namespace.create("node")

        def rules() -> str:
            return process.must(process.run(node, ["iptables-save"]))

        process.must(process.run(node, "ip link set lo up"))
        fork(node, "master", lambda: Master().main())
        argv = ["--master", "http://127.0.0.1:8080", "--cluster-cidr", "10.244.0.0/16", "--rules-version", version, "--iptables-sync-period", "2s"]
        daemon = process.spawn(node, [sys.executable, "-m", "lab.kubeproxy", *argv], cwd=os.getcwd(), stderr=subprocess.DEVNULL)
        try:
            until(lambda: "10.244.1.2:80" in rules(), "the first rules")
            taken = process.run(node, [sys.executable, "-c", "import socket; socket.create_server(('', 30080))"])
            assert (taken.status != 0) == (version == "1.7")
            process.must(process.run(node, ["curl", "-s", "-d", json.dumps(_endpoints("10.244.1.7")), "127.0.0.1:8080"]))
            until(lambda: "10.244.1.7:80" in rules() and "10.244.1.2:80" not in rules(), "the change")
            process.must(process.run(node, "iptables -t nat -F KUBE-SERVICES"))
            until(lambda: "10.96.0.9/32" in rules(), "the repair")
            assert process.must(process.run(node, "curl -s 127.0.0.1:10249/proxyMode")) == "iptables"
            assert "_seconds_count" in process.must(process.run(node, "curl -s 127.0.0.1:10249/metrics"))
            assert "lastUpdated" in process.must(process.run(node, "curl -s 127.0.0.1:10256/healthz"))
            daemon.terminate()
            assert daemon.wait(20) == 0
            assert "10.244.1.7:80" in rules()
            process.must(process.run(node, f"cd {os.getcwd()} && {sys.executable} -m lab.kubeproxy --cleanup-iptables", timeout=20))
            assert "KUBE-SVC-" not in rules()
        finally:
            daemon.kill()
            daemon.wait()

    sandboxed(check)
