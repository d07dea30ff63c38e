"""The article's pods on a switch, and small helpers. No node has a reserved subnet here, so each run reads which ones flannel chose."""

from __future__ import annotations

import re
from ipaddress import IPv4Network

from lab.scenario import Text, checks

POD1, POD2 = "ubuntu-k8s-deployment-623915768-fnssv", "ubuntu-k8s-deployment-623915768-nwzk9"
WEB1, WEB2 = "web-node2", "web-node3"
NODES = {"node1": "192.168.1.11", "node2": "192.168.1.12", "node3": "192.168.1.13"}
GATEWAY, CLIENT = "192.168.1.1", "192.168.88.10"
LEASES = "/coreos.com/network/subnets"
NOTHING_LOST = Text("nothing is lost", "没有丢包")


def subnet(lab, node):
    """The subnet that flanneld leased for a node, from its file."""
    text = lab.node(node).run("cat /run/flannel/subnet.env").stdout
    return IPv4Network(re.search(r"FLANNEL_SUBNET=(\S+)", text)[1], strict=False)


def address(lab, pod):
    """A pod's address."""
    return str(lab.pod_object(pod).pod_ip)


def begin_ping(machine, target):
    """Start a ping that goes on in the background; the number of its process."""
    return machine.run(f"ping -i 0.02 {target} > /run/ping.txt 2>&1 & echo $!").stdout.strip()


def end_ping(lab, machine, process, name):
    """Stop it: as many replies must have come as the last one's number says. One that is on its way at that moment does not count."""
    machine.run(f"kill -INT {process}").expect_status(name=Text("the ping was still running", "ping 一直在运行"))
    machine.until("tail -n 2 /run/ping.txt", checks.contains(Text("it has ended", "ping 已结束"), "packets transmitted"))
    last = machine.run("grep 'bytes from' /run/ping.txt | tail -n 1").stdout
    count = machine.run("grep -c 'bytes from' /run/ping.txt").stdout.strip()
    number = last.partition("icmp_seq=")[2].split()[:1]
    lab.expect_equal(name, number, [count])
