"""What the article printed, and small helpers that read what this lab prints."""

from __future__ import annotations

import base64
import hashlib
import re

from lab.scenario import Text

POD1, IP1 = "nginx-deployment-1885164871-dzls7", "10.244.1.53"
POD2, IP2 = "nginx-deployment-1885164871-q37zh", "10.244.2.199"
VIP = "10.105.211.16"
URL = f"http://{VIP}:8000/"

SVC, SEP1, SEP2 = "KUBE-SVC-GKN7Y2BSGW4NJTYL", "KUBE-SEP-RGXD32JDVTBAD2NU", "KUBE-SEP-YEFU7DZX4NWUTRQS"
NAME = '-m comment --comment "default/nginx-service:"'
CLUSTER_IP = f'-d {VIP}/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp --dport 8000'

MARK1 = f"-A {SEP1} -s {IP1}/32 {NAME} -j KUBE-MARK-MASQ"
DNAT1 = f"-A {SEP1} -p tcp {NAME} -m tcp -j DNAT --to-destination {IP1}:80"
MARK2 = f"-A {SEP2} -s {IP2}/32 {NAME} -j KUBE-MARK-MASQ"
DNAT2 = f"-A {SEP2} -p tcp {NAME} -m tcp -j DNAT --to-destination {IP2}:80"
MARK_OUTSIDE = f"-A KUBE-SERVICES ! -s 10.244.0.0/16 {CLUSTER_IP} -j KUBE-MARK-MASQ"
CATCH = f"-A KUBE-SERVICES {CLUSTER_IP} -j {SVC}"
DICE = f"-A {SVC} {NAME} -m statistic --mode random --probability 0.50000000000 -j {SEP1}"
REST = f"-A {SVC} {NAME} -j {SEP2}"
RULES = [MARK1, DNAT1, MARK2, DNAT2, MARK_OUTSIDE, CATCH, DICE, REST]

NODES = {  # name: (address, network, gateway, the first three numbers of its pod subnet)
    "zenlin": ("10.229.43.65", "10.229.42.0", "10.229.42.1", "10.244.0"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.0", "10.229.52.1", "10.244.1"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.0", "10.229.44.1", "10.244.2"),
}
CLIENTS = {  # name: (node, address)
    "ubuntu-zenlin": ("zenlin", "10.244.0.20"),
    "ubuntu-zenlinnode1": ("zenlinnode1", "10.244.1.145"),
    "ubuntu-zenlinnode2": ("zenlinnode2", "10.244.2.246"),
}
LAB_NETWORK = Text("it is about flannel's devices and the tables of the lab's nodes", "讲的是 flannel 的设备和实验节点上的各种表")
LAB_RULES = Text("it reads the rules of v1.7's kube-proxy letter for letter", "要逐字对照 v1.7 的 kube-proxy 规则")
LAB_REFUSAL = Text("it needs iptables and the right to use it inside a pod", "需要在 Pod 里使用 iptables 的权限")
"""Why a step cannot be shown on a cluster elsewhere."""
ANSWER = Text("an nginx pod answers", "有一个 nginx Pod 应答")
"""The name of the check that comes up most."""


def route_table(*rows):
    """What `route -n` prints, for rows of (destination, gateway, mask, flags, interface)."""
    head = ["Kernel IP routing table", "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"]
    return head + [f"{to:<15} {via:<15} {mask:<15} {flags:<5} 0      0        0 {dev}" for to, via, mask, flags, dev in rows]


def counters(node):
    """How many packets each of the eight rules has matched on this node so far: {rule: packets}."""
    shown = node.run("iptables-save -c -t nat | grep nginx")
    found = re.findall(r"^\[(\d+):\d+\] (.*)$", shown.stdout, re.MULTILINE)
    return {rule.rstrip(): int(packets) for packets, rule in found}


def tally(outcome):
    """The output of `… | sort | uniq -c` as {line: count}."""
    pairs = (line.split(None, 1) for line in outcome.lines)
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2}


def knock(machine, tag, times):
    """So many connections to the service, each with the tag in its URL, so that nginx's log tells them apart."""
    machine.run(f"curl -s -m 5 -H 'Connection: close' -o /dev/null '{URL}?{tag}-[1-{times}]'", timeout=10).expect_status()


def logged_sources(lab, pod, tag, expected, name):
    """The client addresses that one nginx logged for requests with that tag."""
    lab.pod(pod).run(f"grep '?{tag}-' /var/log/nginx/access.log | cut -d' ' -f1 | sort -u").expect_lines([expected], name)


def chain_hash(text):
    """kube-proxy's name for a chain: the first 16 characters of base32(sha256(text))."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
