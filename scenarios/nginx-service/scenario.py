"""The article's walkthrough on real parts: three networks, eight rules, and what they do to packets.

Names, addresses and expected lines are the article's (article.py). Where the article and the real systems part, a step says so.
"""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import networks, service, traffic
from .article import CLIENTS, IP1, IP2, POD1, POD2
from .backends import BACKENDS

scenario = Scenario(
    title=Text("one service, two pods, three nodes", "一个 Service、两个 Pod、三个节点"),
    topology="zenlin",
    backends=list(BACKENDS),
    manifests=["nginx.yaml", "clients.yaml"],
    pins=[
        Pin(POD1, owner="nginx-deployment", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="nginx-deployment", node="zenlinnode2", address=IP2),
        *(Pin(name, node=node, address=address) for name, (node, address) in CLIENTS.items()),
    ],
    intro=Text(
        "Two nginx pods run on two nodes, and a service gives them one address. That address is on no network card: on every node, "
        "kube-proxy has turned the service into iptables rules, and flannel carries the packets between the nodes. Every command "
        "below runs for real, and what it prints is checked.",
        "两个 nginx Pod 分别跑在两个节点上，一个 Service 给了它们同一个入口地址。这个地址不在任何一块网卡上："
        "kube-proxy 在每个节点上把 Service 变成了 iptables 规则，节点之间的包则由 flannel 运送。"
        "下面的每条命令都是真实执行的，输出也都经过检查。",
    ),
    steps=[*networks.chapter.steps, *service.chapter.steps, *traffic.chapter.steps],
)
