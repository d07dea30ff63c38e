"""What breaks when flanneld dies, when etcd dies, and when a node's address changes: the udp backend. flannel-faults-vxlan has the contrast."""

from __future__ import annotations

from lab.scenario import Scenario, Text

from . import daemons, renumbered

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flanneld dies, etcd dies, a node is renumbered (udp)", "flanneld 挂了、etcd 挂了、节点换地址（udp）"),
    topology="zenlin",
    backend="udp",
    backends=["udp"],
    manifests=["pods.yaml"],
    intro=Text(
        "A network is understood when one can say what still works while a part of it is broken. Three parts break here, one after the "
        "other: the daemon that carries the packets, the store that knows who has which subnet, and the address that all the others know "
        "a node by. The backend is udp; the scenario flannel-faults-vxlan breaks the same daemon with vxlan.",
        "能说清某个部件坏了之后还有什么能用，才算懂了一个网络。这里依次弄坏三样东西：搬运包的守护进程，记录子网归属的存储，"
        "以及其他节点用来找到某个节点的地址。后端是 udp；场景 flannel-faults-vxlan 用 vxlan 弄坏同一个守护进程，可以对照着看。",
    ),
    steps=[*daemons.chapter.steps, *renumbered.chapter.steps],
)
