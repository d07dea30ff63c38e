"""flanneld --kube-subnet-mgr: subnets from Node objects, every backend that needs no cloud, real packets between the nodes' pods."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from tests.e2e.flannel_sandbox import MASTER, Node, Sandbox
from tests.e2e.pod_traffic import all_pairs_talk
from tests.waiting import until

pytestmark = pytest.mark.e2e

API = f"http://{MASTER}:8080"


class Cluster:
    """The sandbox with an apiserver at the master's address."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        sandbox.start([sys.executable, "-m", "tests.fakeapi", "8080"], "apiserver")
        until(lambda: '"items"' in self.curl("", check=False), "the apiserver's start")

    def curl(self, path: str, *more: str, check: bool = True) -> str:
        return self.sandbox.run(["curl", "-sS", f"{API}/api/v1/nodes{path}", *more], check=check)

    def put(self, name: str, cidr: str) -> None:
        node = {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"podCIDR": cidr} if cidr else {}}
        self.curl(f"/{name}", "-X", "PUT", "-H", "Content-Type: application/json", "-d", json.dumps(node))

    def annotations(self, node: Node) -> dict[str, str]:
        found: dict[str, str] = json.loads(self.curl(f"/{node.name}"))["metadata"].get("annotations", {})
        return {key.removeprefix("flannel.alpha.coreos.com/"): value for key, value in found.items()}

    def start(self, node: Node, backend: str) -> None:
        """Start flanneld, without waiting for anything. No etcd is named, and it needs none."""
        config = self.sandbox.directory / "net-conf.json"
        config.write_text(json.dumps({"Network": "10.244.0.0/16", "Backend": {"Type": backend}}))
        flags = ["--kube-subnet-mgr", "--kube-api-url", API, "--net-config-path", str(config), "--subnet-file", str(node.subnet_file)]
        command = ["env", f"NODE_NAME={node.name}", sys.executable, "-m", "lab.flannel", *flags]
        node.daemons.append(self.sandbox.start(command, f"{node.name}-flanneld-{len(node.daemons)}", node.pid))


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    return Cluster(sandbox)


def routes(node: Node) -> list[str]:
    return [line for line in node.run("ip route").splitlines() if line.startswith("10.244.") and "docker0" not in line]


@pytest.mark.parametrize("backend", ["udp", "vxlan", "host-gw"])
def test_nodes_find_each_other_through_their_annotations(sandbox: Sandbox, cluster: Cluster, backend: str) -> None:
    nodes = [sandbox.add_node(number) for number in (1, 2)]
    for number, node in enumerate(nodes):
        cluster.put(node.name, f"10.244.{number}.0/24")  # 10.244.0.0/24 too, which flannel would never lease from etcd
        cluster.start(node, backend)
    one, two = nodes
    for node in nodes:
        node.ready()
        node.add_bridge()
    one.knows(two)
    two.knows(one)
    assert (str(one.subnet), str(two.subnet)) == ("10.244.0.0/24", "10.244.1.0/24")
    said = cluster.annotations(one)
    data = said.pop("backend-data")
    kind = "" if backend == "udp" else backend
    assert said == {"backend-type": kind, "public-ip": "192.168.1.1", "kube-subnet-manager": "true"}
    mac = one.run("ip -o link show flannel.1").split("link/ether ")[1].split()[0] if backend == "vxlan" else ""
    assert json.loads(data) == ({"VtepMAC": mac} if mac else None)
    all_pairs_talk(sandbox, nodes, ttl=60 if backend == "udp" else 62)


def test_a_node_that_is_deleted_takes_its_route_along_and_the_own_node_does_not_matter(sandbox: Sandbox, cluster: Cluster) -> None:
    one, two = nodes = [sandbox.add_node(number) for number in (1, 2)]
    for node in nodes:
        cluster.put(node.name, f"10.244.{node.name[-1]}.0/24")
        cluster.start(node, "host-gw")
    until(lambda: len(routes(one)) == len(routes(two)) == 1, "both routes")
    cluster.curl("/node2", "-X", "DELETE")
    until(lambda: not routes(one), "the route's end")
    cluster.put("node3", "10.244.3.0/24")
    assert two.flanneld.popen.poll() is None, "flannel with etcd would end: lease revoked"
    for node in nodes:
        node.flanneld.signal(signal.SIGTERM)
        assert node.flanneld.wait() == 0
        assert node.flanneld.said("Starting shutdown...") and not node.flanneld.said("Traceback")


def test_no_pod_cidr_is_the_end_and_no_apiserver_is_not(sandbox: Sandbox, cluster: Cluster) -> None:
    one, two = sandbox.add_node(1), sandbox.add_node(2)
    cluster.put("node1", "")
    cluster.start(one, "alloc")
    assert one.flanneld.wait() == 1
    assert one.flanneld.said('node "node1" pod cidr not assigned') and not one.flanneld.said("Traceback")
    two.run("ip route add blackhole 192.168.1.254")
    cluster.start(two, "alloc")
    until(lambda: two.flanneld.said("nodes: the apiserver at"), "the line about the lost apiserver")
    cluster.put("node2", "10.244.2.0/24")
    two.run("ip route del blackhole 192.168.1.254")
    two.ready()
    assert str(two.subnet) == "10.244.2.0/24"
    os.kill(two.flanneld.pid, signal.SIGTERM)
    assert two.flanneld.wait() == 0
