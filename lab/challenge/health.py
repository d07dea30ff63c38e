"""What must hold in a whole cluster: the checks of every challenge, so that their list tells nothing of what is broken.

They only look; the one thing that they make, a service that goes nowhere, they take away again.
"""

from __future__ import annotations

import time
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.model.text import Text
from lab.scenario import checks
from lab.scenario.model import Chapter

VISITORS = ("visitor-1", "visitor-2")
ASKS = 24
"""Connections to a service of two pods: that chance alone leaves one of them out happens once in 2^23 rounds."""

CURL = "curl -s --connect-timeout 0.5 -m 3 -H 'Connection: close'"
BIG = "/run/nginx/html/big.txt"
PROBE = "probe-of-check"

chapter = Chapter()


@chapter.step(en="Every visitor gets the page of every pod, by its address", zh="每个访客都能按地址打开每个 Pod 的页面")
def pods_answer(lab: Any) -> None:
    """The pod network, without any service."""
    pods = _addresses(lab)
    for visitor in VISITORS:
        got = lab.pod(visitor).run(f"{CURL} -Z {_urls(pods)} | grep '^pod: ' | sort")
        got.expect_lines([f"pod: {name}" for name, _ in pods], Text(f"{visitor} reaches both pods", f"{visitor} 能访问两个 Pod"))


@chapter.step(en="A big page arrives whole", zh="大页面能完整到达")
def big_pages(lab: Any) -> None:
    """Packets of full size."""
    pods = _addresses(lab)
    for name, _ in pods:
        lab.pod(name).run(f"seq 40000 > {BIG}")
    for visitor in VISITORS:
        got = lab.pod(visitor).run(f"{CURL} -Z {_urls(pods, '/big.txt')} | grep -c '^40000$'")
        got.expect_lines([str(len(pods))], Text(f"{visitor} gets the whole page of both pods", f"{visitor} 从两个 Pod 都收到完整的页面"))


@chapter.step(
    en="The service answers every visitor and every node each time, and gives every pod its share",
    zh="Service 对每个访客和每个节点每次都应答，并且把连接分给每个 Pod",
)
def service_answers(lab: Any) -> None:
    """The rules of every node, and the way back."""
    pods = [name for name, _ in _addresses(lab)]
    for machine in [*(lab.pod(name) for name in VISITORS), *lab.nodes]:
        ask = f"{CURL} --fail-early 'http://{lab.given.cluster_ip}/?[1-{ASKS}]' | grep '^pod: ' | sort | uniq -c"
        counts = {name: int(count) for count, _, name in (line.split() for line in machine.run(ask).lines)}
        lab.expect_equal(Text(f"{machine.name} gets {ASKS} answers", f"{machine.name} 得到 {ASKS} 次应答"), sum(counts.values()), ASKS)
        lab.expect_equal(Text(f"both pods answer {machine.name}", f"两个 Pod 都应答过 {machine.name}"), sorted(counts), pods)


@chapter.step(en="Every pod has an address of its own node's subnet", zh="每个 Pod 的地址都属于本节点的子网")
def own_subnets(lab: Any) -> None:
    """The plan of the pod network."""
    subnets = {item["metadata"]["name"]: IPv4Network(item["spec"]["podCIDR"]) for item in lab.api.list("nodes")["items"]}
    addresses = []
    for item in lab.api.list("pods")["items"]:
        if "deletionTimestamp" in item["metadata"] or item["spec"].get("hostNetwork"):
            continue
        address, node = item["status"].get("podIP", ""), item["spec"].get("nodeName", "")
        addresses.append(address)
        inside = bool(address) and node in subnets and IPv4Address(address) in subnets[node]
        name = item["metadata"]["name"]
        lab.expect_equal(Text(f"{name}'s {address or 'address'} is {node}'s", f"{name} 的 {address or '地址'} 属于 {node}"), inside, True)
    lab.expect_equal(Text("no address twice", "没有重复的地址"), len(set(addresses)), len(addresses))


@chapter.step(en="A new service reaches every node", zh="新建的 Service 会到达每个节点")
def changes_arrive(lab: Any) -> None:
    """The way from the master to every node's rules."""
    # Each time another name: a node that stands still may still have the rules of the last.
    name = f"{PROBE}-{time.monotonic_ns() % 10**9}"
    ports = [{"port": 80, "protocol": "TCP"}]
    lab.api.request("POST", "/api/v1/namespaces/default/services", {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports},
    })  # fmt: skip
    try:
        lab.api.request("POST", "/api/v1/namespaces/default/endpoints", {
            "apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name},
            "subsets": [{"addresses": [{"ip": "192.0.2.1"}], "ports": ports}],
        })  # fmt: skip
        for node in lab.nodes:
            text = f"default/{name}:"
            node.until("iptables-save -t nat", checks.contains(Text(f"{node.name} knows it", f"{node.name} 已知道"), text), timeout=2.0)
    finally:
        lab.api.delete("services", name, "default")


def _addresses(lab: Any) -> list[tuple[str, str]]:
    """Name and address of the application's pods, sorted by name; one without an address has 0.0.0.0, where nobody answers."""
    found = {name: item["status"].get("podIP") or "0.0.0.0" for name, item in lab.app_pods().items()}
    lab.expect_equal(Text("the application has two pods", "应用有两个 Pod"), len(found), 2)
    return sorted(found.items())


def _urls(pods: list[tuple[str, str]], path: str = "/") -> str:
    return " ".join(f"http://{address}{path}" for _, address in pods)
