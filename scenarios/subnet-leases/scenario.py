"""Who gets which subnet, why no two nodes get the same, and what becomes of a subnet when its node goes away."""

from __future__ import annotations

from lab.scenario import Scenario, Text

from . import getting, keeping, losing

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("who gets which subnet, and for how long", "哪个子网归谁，归多久"),
    topology="flat",
    backends=["udp"],
    manifests=["pods.yaml"],
    intro=Text(
        "Every node needs a subnet of the pod network for itself alone, and nobody hands them out: the flanneld of each node looks into "
        "etcd, picks a free one and writes a key. Three nodes have just done so, all at the same moment. Here you see why that goes well, "
        "and what happens to a subnet when its node stops, comes back, or never comes back.",
        "每个节点都要从 Pod 网络里分到一个独占的子网，但并没有谁来统一分配：各节点的 flanneld 自己查看 etcd，挑一个空闲的，写下一个键。"
        "三个节点刚刚就在同一时刻这样做了。下面会看到为什么不会撞车，以及节点停止、回来、或者再也不回来时，它的子网会怎样。",
    ),
    steps=[*getting.chapter.steps, *keeping.chapter.steps, *losing.chapter.steps],
)
