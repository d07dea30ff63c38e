"""Third chapter: a node joins, a node leaves, flanneld dies, and what the traffic of the others notices of it."""

from __future__ import annotations

from pathlib import Path

from lab.model.load import read_manifests
from lab.model.topology import Node
from lab.scenario import Chapter, Text, checks

from .cluster import GATEWAY, LEASES, NODES, NOTHING_LOST, POD1, POD2, address, begin_ping, end_ping, subnet

chapter = Chapter()
NEWCOMER = Node(name="node4", address="192.168.1.14/24", gateway=GATEWAY, pod_cidr="10.244.200.0/24")


def _join(lab):
    """Let the node join, unless it is there: a learner may repeat a step."""
    if NEWCOMER.name not in [node.name for node in lab.nodes]:
        lab.add_node(NEWCOMER)


@chapter.step(
    en="A node joins while the others talk",
    zh="通信进行中，一个节点加入",
    why_en="""The new node is plugged into the switch, and its flanneld publishes a lease; the subnet was reserved this time. etcd tells all
        others, and each adds one route. A ping that runs all the while loses nothing.""",
    why_zh="""新节点接上交换机，它的 flanneld 公布租约（这次子网是预留的）；etcd 通知其他节点，各加一条路由。一直在跑的 ping 一个包也不丢。""",
)
def joins(lab):
    pod = lab.pod(POD1)
    ping = begin_ping(pod, address(lab, POD2))
    _join(lab)
    there = subnet(lab, NEWCOMER.name)
    for name in NODES:
        lab.node(name).until(
            f"ip route show {there}",
            checks.lines(Text(f"{name} has the route", f"{name} 有了路由"), [f"{there} via {NEWCOMER.address.ip} dev eth0"]),
        )
    if "newcomer" not in [one.name for one in lab.pods]:
        lab.apply(read_manifests([Path(__file__).with_name("newcomer.yaml")]))
    pod.run(f"ping -c 1 -W 1 {address(lab, 'newcomer')}").expect(
        "ttl=62", Text("a pod on the new node is reached at once", "新节点上的 Pod 立刻可达")
    )
    end_ping(lab, pod, ping, Text("the ping of the others lost nothing", "其他节点之间的 ping 没有丢包"))


@chapter.step(
    en="It leaves: the route goes with the lease, not with the machine",
    zh="节点离开：路由随租约消失，而不是随机器消失",
    why_en="""The machine is switched off without a word, and the routes of the others go on leading to it. They follow the lease in etcd: an
        ordinary one runs out after 24 hours, a reserved one never. When the key is deleted, by hand here, each flanneld deletes its
        route.""",
    why_zh="""机器直接断电，不打招呼，其他节点的路由仍然通向它。路由跟随的是 etcd 里的租约：普通租约 24 小时后到期，预留的永不到期。
        这里手工删掉那个键，每个 flanneld 就会删掉自己的那条路由。""",
    needs=("joins",),
)
def leaves(lab):
    _join(lab)
    master, there = lab.node("node1"), subnet(lab, NEWCOMER.name)
    lab.remove_node(NEWCOMER.name)
    key = f"{LEASES}/{str(there).replace('/', '-')}"
    master.run(f"ETCDCTL_API=3 etcdctl get --keys-only {key}").expect(key, Text("the machine is gone, its lease is not", "机器没了，租约还在"))
    for name in NODES:
        lab.node(name).until(
            f"ip route show {there}",
            checks.contains(Text(f"{name} would still send packets there", f"{name} 仍会把包发往那里"), str(NEWCOMER.address.ip)),
        )
    master.run(f"ETCDCTL_API=3 etcdctl del {key}").expect("1", Text("one key deleted", "删掉一个键"))
    for name in NODES:
        lab.node(name).until(f"ip route show {there}", checks.equal(Text(f"{name} has deleted the route", f"{name} 已删掉路由"), ""))
    lab.pod(POD1).run(f"ping -c 1 -W 1 {address(lab, POD2)}").expect(" 0% packet loss", Text("the others talk on", "其他节点照常通信"))


@chapter.step(
    en="flanneld is killed, and the traffic goes on",
    zh="杀掉 flanneld，流量照常",
    why_en="""With udp, flanneld is the data path. Here it only wrote routes, and they stay. Only, nobody puts back a deleted one now, and
        nobody learns of new nodes, until it is started again.""",
    why_zh="""在 udp 后端里，flanneld 就是数据通路。在这里它只写过路由，路由都还在。只是在它重新启动之前，没有人补回被删的路由，
        也没有人得知新加入的节点。""",
)
def killed(lab):
    pod, target = lab.pod(POD1), address(lab, POD2)
    lab.stop_flanneld("node2", kill=True)
    try:
        ended = lab.daemon("node2", "flanneld").ended()
        lab.expect_equal(Text("flanneld of node 2 was ended by signal 9 (SIGKILL)", "节点 2 的 flanneld 已被 9 号信号（SIGKILL）杀掉"), ended, -9)
        pod.run(f"ping -c 3 -i 0.1 -W 1 {target}").expect(" 0% packet loss", NOTHING_LOST)
    finally:
        lab.start_flanneld("node2")
    pod.run(f"ping -c 3 -i 0.1 -W 1 {target}").expect(" 0% packet loss", NOTHING_LOST)
