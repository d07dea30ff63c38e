"""The cluster's DNS server in a namespace of its own: followed objects, real packets, and the machine's own resolver as client."""

from __future__ import annotations

import json
import sys

import pytest

from lab.model.objects import Container, Pod
from lab.workloads import images
from tests.e2e.flannel_sandbox import MASTER, Sandbox
from tests.waiting import until

pytestmark = pytest.mark.e2e

API = f"http://{MASTER}:8080"
CLIENT = """
import sys, dns.message, dns.query
query = dns.message.make_query(sys.argv[3], sys.argv[4])
answer = getattr(dns.query, sys.argv[1])(query, sys.argv[2], 5)
print(answer.rcode().to_text(answer.rcode()), *(record for rrset in answer.answer for record in rrset), sep="\\n")
"""


def put(sandbox: Sandbox, plural: str, name: str, **more: object) -> None:
    item = {"metadata": {"name": name, "namespace": "default"}, **more}
    sandbox.run(["curl", "-sS", "-X", "PUT", f"{API}/api/v1/namespaces/default/{plural}/{name}", "-d", json.dumps(item)])


def test_pods_find_services_by_name(sandbox: Sandbox) -> None:
    sandbox.start([sys.executable, "-m", "tests.fakeapi", "8080"], "apiserver")
    until(lambda: '"items"' in sandbox.run(["curl", "-sS", f"{API}/api/v1/nodes"], check=False), "the apiserver's start")
    put(sandbox, "services", "nginx-service", spec={"clusterIP": "10.105.211.16", "ports": [{"name": "http", "port": 8000}]})
    node, client = sandbox.add_node(1), sandbox.add_node(2)
    container = Container("dns", "kube-dns", args=("--kube-master-url", API))
    server = sandbox.start(images.workload(Pod("kube-dns", "kube-system", (container,)), container).argv, "dns", node.pid)
    until(lambda: server.said("serving DNS"), "the DNS server's start")

    def ask(name: str, kind: str, how: str = "udp") -> list[str]:
        return client.run([sys.executable, "-c", CLIENT, how, node.address, name, kind]).splitlines()

    resolver = sandbox.directory / "resolv.conf"
    resolver.write_text(f"nameserver {node.address}\nsearch default.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n")
    found = client.run(f"unshare --mount sh -c 'mount --bind {resolver} /etc/resolv.conf && getent ahostsv4 nginx-service'")
    assert found.split()[0] == "10.105.211.16"
    assert "nginx-service.default.svc.cluster.local" in found
    for how in ("udp", "tcp"):
        wanted = ["NOERROR", "0 100 8000 nginx-service.default.svc.cluster.local."]
        assert ask("_http._tcp.nginx-service.default.svc.cluster.local", "SRV", how) == wanted
    assert ask("www.example.com", "A") == ["REFUSED"]
    pods = [{"ip": f"10.244.1.{number}"} for number in range(1, 101)]
    put(sandbox, "services", "many", spec={"clusterIP": "None"})
    put(sandbox, "endpoints", "many", subsets=[{"addresses": pods, "ports": [{"port": 80}]}])
    until(lambda: len(ask("many.default.svc.cluster.local", "A", "tcp")) == 101, "the headless service's pods")
    assert ask("many.default.svc.cluster.local", "A") == ["NOERROR"], "cut off: a client goes on with TCP"
    sandbox.run(["curl", "-sS", "-X", "DELETE", f"{API}/api/v1/namespaces/default/services/many"])
    until(lambda: ask("many.default.svc.cluster.local", "A") == ["NXDOMAIN"], "its end")
    assert server.popen.poll() is None and not server.said("Traceback")
