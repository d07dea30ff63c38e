"""The kube-proxy daemon in a namespace, against a small stand-in for the apiserver's list and watch."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE
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


@pytest.mark.parametrize("version, other_mode, cleanup", [("1.7", "userspace", "--cleanup-iptables"), ("1.33", "nftables", "--cleanup")])
def test_it_watches_repairs_leaves_its_rules_and_another_mode_takes_over(version: str, other_mode: str, cleanup: str) -> None:
    def check() -> None:
        node = Namespace.create("node")

        def rules() -> str:
            return process.must(process.run(node, ["iptables-save"]))

        def led() -> bool:
            """Whether the other mode leads to the service."""
            if other_mode == "userspace":
                return "-d 10.96.0.9/32 -p tcp" in rules() and "KUBE-PORTALS-CONTAINER" in rules()
            return "10.96.0.9 . tcp . 80 : goto service-" in process.run(node, ["nft", "list", "ruleset"]).stdout

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
            silent = process.must(process.run(node, "cat /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established"))
            assert silent == ("86400\n" if version == "1.7" else "432000\n"), "v1.7 sets it, today's only raises it"
            timed = "latency_microseconds" if version == "1.7" else "duration_seconds"
            assert f"kubeproxy_sync_proxy_rules_{timed}_count " in process.must(process.run(node, "curl -s 127.0.0.1:10249/metrics"))
            assert "lastUpdated" in process.must(process.run(node, "curl -s 127.0.0.1:10256/healthz"))
            daemon.terminate()
            assert daemon.wait(20) == 0
            assert "10.244.1.7:80" in rules()
            other = process.spawn(node, [sys.executable, "-m", "lab.kubeproxy", *argv, "--proxy-mode", other_mode], cwd=os.getcwd(), stderr=PIPE)
            try:
                until(lambda: led() and "KUBE-SVC-" not in rules(), f"{other_mode} in place of iptables")
            finally:
                other.terminate()
                said = other.communicate(timeout=5)[1].decode()
            assert ("Tearing down pure-iptables proxy rules." in said) == (other_mode == "userspace")
            assert led(), "the rules outlive it"
            process.must(process.run(node, f"cd {os.getcwd()} && {sys.executable} -m lab.kubeproxy {cleanup}", timeout=20))
            left = [line for line in rules().splitlines() if "KUBE" in line and "KUBE-FIREWALL" not in line and "KUBE-MARK-DROP" not in line]
            assert left == [] and process.must(process.run(node, ["nft", "list", "tables"])).count("table ip kube-proxy") == 0
        finally:
            daemon.kill()
            daemon.wait()

    sandboxed(check)
