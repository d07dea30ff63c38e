"""The article's pods and nodes, and small helpers."""

from __future__ import annotations

from lab.scenario import Text, checks

POD1, IP1 = "ubuntu-k8s-deployment-623915768-fnssv", "10.244.1.145"
POD2, IP2 = "ubuntu-k8s-deployment-623915768-nwzk9", "10.244.2.246"
WEB1, WEB1_IP = "web-zenlinnode1", "10.244.1.80"
WEB2, WEB2_IP = "web-zenlinnode2", "10.244.2.80"

NODES = {  # name: (address, network, gateway, the first three numbers of its pod subnet)
    "zenlin": ("10.229.43.65", "10.229.42.0/23", "10.229.42.1", "10.244.0"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.0/23", "10.229.52.1", "10.244.1"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.0/23", "10.229.44.1", "10.244.2"),
}
CLIENT = "192.168.88.10"
LEASES = "/coreos.com/network/subnets"
NOTHING_LOST = Text("nothing is lost", "没有丢包")


def mac(lab, node):
    """The MAC address of a node's vxlan device."""
    return lab.node(node).run("cat /sys/class/net/flannel.1/address").stdout.strip()


def begin_ping(machine, address):
    """Start a ping that goes on in the background; the number of its process."""
    return machine.run(f"ping -i 0.02 {address} > /run/ping.txt 2>&1 & echo $!").stdout.strip()


def end_ping(lab, machine, process, name):
    """Stop it: as many replies must have come as the last one's number says. One that is on its way at that moment does not count."""
    machine.run(f"kill -INT {process}").expect_status(name=Text("the ping was still running", "ping 一直在运行"))
    machine.until("tail -n 2 /run/ping.txt", checks.contains(Text("it has ended", "ping 已结束"), "packets transmitted"))
    last = machine.run("grep 'bytes from' /run/ping.txt | tail -n 1").stdout
    count = machine.run("grep -c 'bytes from' /run/ping.txt").stdout.strip()
    number = last.partition("icmp_seq=")[2].split()[:1]
    lab.expect_equal(name, number, [count])
