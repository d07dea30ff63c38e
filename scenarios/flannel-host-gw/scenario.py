"""The host-gw backend: no tunnel at all. Every node is a router for its own pods, and the others' next hop to them."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import changes, routes, traffic
from .cluster import POD1, POD2

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's host-gw backend: routes, and nothing else", "flannel 的 host-gw 后端：只有路由"),
    topology="flat",
    backend="host-gw",
    backends=["host-gw"],
    manifests=["ubuntu.yaml", "web.yaml"],
    pins=[Pin(POD1, owner="ubuntu-k8s-deployment", node="node2"), Pin(POD2, owner="ubuntu-k8s-deployment", node="node3")],
    intro=Text(
        "The article's two pods again, this time on three nodes that share one switch. That they share it is all that host-gw asks for: "
        "flanneld writes one route for each other node, with that node itself as the gateway, and the kernel does the rest. No device, no "
        "header around the packets, no process on their way. Subnets are not reserved in this topology: flannel picks them by chance, and "
        "each run shows others.",
        "还是文章里的两个 Pod，这次三个节点接在同一台交换机上。host-gw 只要求这一点：flanneld 为每个其他节点写一条路由，"
        "网关就是那个节点本身，其余都由内核完成。没有隧道设备，没有额外的包头，路上也没有进程。"
        "这个拓扑没有预留子网：由 flannel 随机挑选，每次运行看到的都不一样。",
    ),
    steps=[*routes.chapter.steps, *traffic.chapter.steps, *changes.chapter.steps],
)
