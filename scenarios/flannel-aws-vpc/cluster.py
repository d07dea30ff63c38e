"""The article's pods and nodes, the commands that ask the cloud, and small helpers."""

from __future__ import annotations

import re

from lab.scenario import Text, checks

POD1, IP1 = "ubuntu-k8s-deployment-623915768-fnssv", "10.244.1.145"
POD2, IP2 = "ubuntu-k8s-deployment-623915768-nwzk9", "10.244.2.246"
WEB1, WEB1_IP = "web-zenlinnode1", "10.244.1.80"
WEB2, WEB2_IP = "web-zenlinnode2", "10.244.2.80"
NODE1, NODE2 = "zenlinnode1", "zenlinnode2"
NODES = {  # name: (address, network, gateway, pod subnet, the router's interface to it)
    "zenlin": ("10.229.43.65", "10.229.42.0/23", "10.229.42.1", "10.244.0.0/24", "eth0"),
    NODE1: ("10.229.53.146", "10.229.52.0/23", "10.229.52.1", "10.244.1.0/24", "eth1"),
    NODE2: ("10.229.45.161", "10.229.44.0/23", "10.229.44.1", "10.244.2.0/24", "eth2"),
}
CLIENT = "192.168.88.10"
ARRIVES = Text("it arrives again", "又能到达了")

API = "http://169.254.169.254/"
TABLE = f"curl -s '{API}?Action=DescribeRouteTables' | grep -oP '<(destinationCidrBlock|networkInterfaceId|gatewayId)>\\K[^<]+' | paste - -"
CARDS = (
    f"curl -s '{API}?Action=DescribeNetworkInterfaces' | grep -oP '<(networkInterfaceId|privateIpAddress|sourceDestCheck)>\\K[^<]+' | paste - - - -"
)


def call(lab, action, **parameters):
    """Call the EC2 API by hand, on the router."""
    words = "&".join([f"Action={action}", *(f"{name.replace('__', '.')}={value}" for name, value in parameters.items())])
    return lab.host("router").run(f"curl -s '{API}?{words}'")


def table_id(lab):
    """The id of the route table."""
    found = lab.host("router").run(f"curl -s '{API}?Action=DescribeRouteTables' | grep -oP '<routeTableId>\\K[^<]+' | sort -u")
    return found.stdout.strip()


def card_of(lab, address):
    """The id of the network interface with that address."""
    shown = lab.host("router").run(f"{CARDS} | grep {re.escape(address)}").stdout.split()
    return shown[0] if shown else ""


def pings(lab, name=ARRIVES):
    """Pod 1 reaches pod 2."""
    lab.pod(POD1).until(f"ping -c 1 -W 1 {IP2}", checks.contains(name, "ttl=61"))


def lost(lab, name):
    """Pod 1 does not reach pod 2."""
    lab.pod(POD1).run(f"ping -c 2 -i 0.05 -W 0.3 {IP2}").expect("100% packet loss", name)


def begin_ping(lab):
    """Start a ping from pod 1 to pod 2 that goes on in the background; the number of its process."""
    return lab.pod(POD1).run(f"ping -i 0.02 {IP2} > /run/ping.txt 2>&1 & echo $!").stdout.strip()


def end_ping(lab, process, name):
    """Stop it: every number up to that of the last reply has come back."""
    pod = lab.pod(POD1)
    pod.run(f"kill -INT {process}").expect_status(name=Text("the ping was still running", "ping 一直在运行"))
    pod.until("tail -n 2 /run/ping.txt", checks.contains(Text("it has ended", "ping 已结束"), "packets transmitted"))
    last = pod.run("grep 'bytes from' /run/ping.txt | tail -n 1").stdout
    count = pod.run("grep -c 'bytes from' /run/ping.txt").stdout.strip()
    lab.expect_equal(name, re.findall(r"icmp_seq=(\d+) ", last), [count])
