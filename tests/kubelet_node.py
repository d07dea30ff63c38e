"""A node in a sandbox with a pod bridge, a runtime, a kubelet, and an apiserver in the sandbox's own network, for tests."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv4Interface

from lab.fabric import daemon, kernel, netlink
from lab.fabric.namespace import Namespace
from lab.kubelet import daemon as kubelet
from lab.kubelet import protocol, runtime
from lab.kubelet.runtimeclient import RuntimeClient
from lab.plan import operations as op
from tests.kubelet_apiserver import Apiserver

MASTER, NODE = "10.9.0.254", "10.9.0.1"
BRIDGE = IPv4Interface("10.244.1.1/24")


class Node:
    """The namespaces, and what runs in them. Everything that forks is forked before the apiserver's threads begin."""

    def __init__(self, by_hand: bool = False) -> None:
        kernel.loopback_up()
        self.master = Namespace.current("master")
        self.namespace = Namespace.create("node1")
        sockets = netlink.Sockets()
        ends = op.Interface("node1", "eth0"), op.Interface("master", "node1")
        netlink.add_wire(sockets, op.AddWire("", *ends, 1500), self.namespace, self.master)
        netlink.set_address(sockets, op.SetAddress("", ends[0], IPv4Interface(f"{NODE}/24")), self.namespace)
        netlink.set_address(sockets, op.SetAddress("", ends[1], IPv4Interface(f"{MASTER}/24")), self.master)
        bridge = op.Interface("node1", "cni0", "0a:58:0a:f4:01:01")
        netlink.add_bridge(sockets, op.AddBridge("", bridge, 1450), self.namespace)
        netlink.set_address(sockets, op.SetAddress("", bridge, BRIDGE), self.namespace)
        sockets.close()
        if by_hand:
            return
        with protocol.listen(self.namespace) as server:
            self.runtime = daemon.fork(self.namespace, "runtime", partial(runtime.serve, server.fileno()), keep=[server.fileno()])
        self.pods = RuntimeClient(self.namespace)

    def start_kubelet(self, *flags: str) -> daemon.Daemon:
        argv = ["--hostname-override", "node1", "--api-servers", f"http://{MASTER}:8080", "--node-ip", NODE, *flags]
        return daemon.fork(self.namespace, "kubelet", partial(kubelet.main, argv))

    def start_apiserver(self) -> Apiserver:
        return Apiserver()
