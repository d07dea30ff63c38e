"""flannel's keys in etcd, and what the steps ask about them."""

from __future__ import annotations

from ipaddress import IPv4Network

from lab.flannel import subnetfile
from lab.scenario import Text, checks

ETCDCTL = "ETCDCTL_API=3 etcdctl"
CONFIG = "/coreos.com/network/config"
SUBNETS = "/coreos.com/network/subnets/"
NODES = {"node1": "192.168.1.11", "node2": "192.168.1.12", "node3": "192.168.1.13"}
POOL = [IPv4Network(f"10.244.{number}.0/24") for number in range(1, 103)]
"""What three nodes can get of 10.244.0.0/16: flannel throws its dice over the hundred lowest free subnets, without the very first one, and
for the last of the three two are taken."""


def subnet_of(lab, name):
    """The subnet that a node's subnet.env speaks of, read without showing it."""
    return subnetfile.parse(lab.cluster.node(name).namespace.read_text("/run/flannel/subnet.env")).subnet


def key_of(subnet):
    """The etcd key of a subnet: …/10.244.7.0-24."""
    return f"{SUBNETS}{subnet.network_address}-{subnet.prefixlen}"


def value_of(address):
    """What stands under the key: where to send packets for the subnet."""
    return f'{{"PublicIP":"{address}"}}'


def reaches(lab, source, target, name, timeout=5.0):
    """Wait until a pod gets an answer from another one."""
    address = lab.pod_object(target).pod_ip
    lab.pod(source).until(f"ping -c 1 -W 0.5 {address}", checks.contains(name, " 0% packet loss"), timeout)


def loses(lab, source, target, name):
    """A pod gets no answer from another one."""
    lab.pod(source).run(f"ping -c 1 -W 0.3 {lab.pod_object(target).pod_ip}").expect("100% packet loss", name)


BACK = Text("traffic is back", "流量恢复")
