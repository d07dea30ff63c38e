"""The vxlan backend, as flannel has it since v0.9, in the article's cluster: the kernel carries the packets, flanneld fills its tables."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import changes, tables, traffic
from .cluster import IP1, IP2, POD1, POD2, WEB1, WEB1_IP, WEB2, WEB2_IP

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's vxlan backend: three tables in the kernel", "flannel 的 vxlan 后端：内核里的三张表"),
    topology="zenlin",
    backend="vxlan",
    backends=["vxlan"],
    manifests=["ubuntu.yaml", "web.yaml"],
    pins=[
        Pin(POD1, owner="ubuntu-k8s-deployment", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="ubuntu-k8s-deployment", node="zenlinnode2", address=IP2),
        Pin(WEB1, address=WEB1_IP),
        Pin(WEB2, address=WEB2_IP),
    ],
    intro=Text(
        "The article's cluster carries pod packets with flannel's udp backend: each one goes through the flanneld process of two nodes. "
        "Here are the same nodes and the same two pods, with the vxlan backend. The kernel wraps and unwraps by itself, and flanneld "
        "only tells it where the other nodes are. The device is called flannel.1, the name that the article's route table shows.",
        "文章的集群用的是 flannel 的 udp 后端：每个 Pod 包都要经过两个节点上的 flanneld 进程。"
        "这里是同样的节点、同样的两个 Pod，换成 vxlan 后端：封装和解封由内核自己完成，flanneld 只负责告诉内核其他节点在哪里。"
        "设备名是 flannel.1，正是文章的路由表里出现的名字。",
    ),
    steps=[*tables.chapter.steps, *traffic.chapter.steps, *changes.chapter.steps],
)
