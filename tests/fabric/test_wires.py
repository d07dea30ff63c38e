"""A pod's wire, as the container runtime makes it and takes it away."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Interface

import pytest

from lab.fabric import netlink, process
from lab.fabric.namespace import Namespace
from lab.kubelet import wires
from lab.kubelet.records import Sandbox
from lab.plan import operations as op
from lab.plan.build import mac_of

Sandboxed = Callable[[Callable[[], object]], None]
pytestmark = pytest.mark.e2e

GATEWAY = IPv4Interface("10.244.1.1/24")


def _neighbours(where: Namespace) -> set[str]:
    return {" ".join(line.split()) for line in process.run(where, ["ip", "neigh", "show", "nud", "permanent"]).stdout.splitlines()}


@pytest.mark.parametrize("neighbours", [True, False], ids=["large lab", "ordinary lab"])
def test_a_pod_and_its_node_reach_each_other(neighbours: bool, sandboxed: Sandboxed) -> None:
    """In a large lab without a question by ARP, and the pod's neighbour goes with it; in an ordinary one the kernel asks, as it always does."""

    def body() -> None:
        node, sockets = Namespace.create("node"), netlink.Sockets()
        bridge = op.Interface("node", "docker0", mac_of(GATEWAY.ip))
        netlink.add_bridge(sockets, op.AddBridge("", bridge, 1450), node)
        netlink.set_address(sockets, op.SetAddress("", bridge, GATEWAY), node)
        pod = Sandbox("uid", "default", "p", "p", "docker0", "10.244.1.2/24", str(GATEWAY.ip), 1450, neighbours=neighbours)
        made = wires.make(pod, node, sockets)
        assert _neighbours(made) == ({"10.244.1.1 dev eth0 lladdr 02:42:0a:f4:01:01 PERMANENT"} if neighbours else set())
        assert _neighbours(node) == ({"10.244.1.2 dev docker0 lladdr 02:42:0a:f4:01:02 PERMANENT"} if neighbours else set())
        assert process.run(made, ["ping", "-c", "1", "-W", "2", str(GATEWAY.ip)]).status == 0
        wires.unmake(pod, made, node, sockets)
        assert _neighbours(node) == set()
        assert "veth" not in process.run(node, ["ip", "link"]).stdout

    sandboxed(body)
