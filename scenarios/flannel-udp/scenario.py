"""The second half of the article: flannel's udp backend, and the journey of one packet, seen at every interface it passes."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import edges, pods, stages
from .article import FNSSV, IP1, IP2, NODE1, NODE2, NWZK9

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's udp backend: the journey of one packet", "flannel 的 udp 后端：一个包的旅程"),
    topology="zenlin",
    backends=["udp"],
    manifests=["ubuntu.yaml"],
    pins=[
        Pin(FNSSV, owner="ubuntu-k8s-deployment", node=NODE1, address=IP1),
        Pin(NWZK9, owner="ubuntu-k8s-deployment", node=NODE2, address=IP2),
    ],
    intro=Text(
        "Two pods on two nodes, and between the nodes a router that has never heard of pods. flannel gives every node a subnet of its own "
        "and carries the pods' packets inside packets of the nodes. Below, one ping is caught at every interface on its way, "
        "decoded and checked.",
        "两个 Pod 在两个节点上，节点之间是一台对 Pod 一无所知的路由器。flannel 给每个节点一个单独的子网，"
        "并把 Pod 的包装进节点的包里运送。下面在沿途的每个接口上抓取同一个 ping 包，逐层解码，并逐项检查。",
    ),
    steps=[*pods.chapter.steps, *stages.chapter.steps, *edges.chapter.steps],
)
