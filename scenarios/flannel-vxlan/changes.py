"""Third chapter: a node joins, a node leaves, flanneld dies, and what the traffic of the others notices of it."""

from __future__ import annotations

from pathlib import Path

from lab.model.load import read_manifests
from lab.model.topology import Node
from lab.scenario import Chapter, Text, checks

from .cluster import IP2, LEASES, NODES, NOTHING_LOST, POD1, begin_ping, end_ping, mac

chapter = Chapter()
NEWCOMER = Node(name="zenlinnode3", address="10.229.47.12/23", gateway="10.229.46.1", pod_cidr="10.244.3.0/24")
SUBNET, GATEWAY = "10.244.3.0/24", "10.244.3.0"


def _join(lab):
    """Let the node join, unless it is there: a learner may repeat a step."""
    if NEWCOMER.name not in [node.name for node in lab.nodes]:
        lab.add_node(NEWCOMER)


@chapter.step(
    en="A node joins while the others talk",
    zh="通信进行中，一个节点加入",
    why_en="""The new node's flanneld makes its device and publishes a lease. etcd tells the flanneld of every other node, and each adds one
        line to each of its three tables. Nothing that was there is touched, so a ping that runs all the while loses nothing.""",
    why_zh="""新节点的 flanneld 创建设备、公布租约；etcd 通知其他每个节点的 flanneld，它们各自在三张表里加一行。
        原有的条目都不动，所以一直在跑的 ping 一个包也不丢。""",
)
def joins(lab):
    pod = lab.pod(POD1)
    ping = begin_ping(pod, IP2)
    _join(lab)
    there = mac(lab, NEWCOMER.name)
    for name in NODES:
        node = lab.node(name)
        node.until(
            f"ip route show {SUBNET}",
            checks.lines(Text(f"{name} has the route", f"{name} 有了路由"), [f"{SUBNET} via {GATEWAY} dev flannel.1 onlink"]),
        )
        node.run(f"ip neigh show {GATEWAY} dev flannel.1").expect_lines(
            [f"{GATEWAY} lladdr {there} PERMANENT"], Text("the neighbour", "邻居条目")
        )
        node.run(f"bridge fdb show dev flannel.1 | grep {there}").expect_lines(
            [f"{there} dst {NEWCOMER.address.ip} self permanent"], Text("and the machine", "和转发条目")
        )
    if "newcomer" not in [one.name for one in lab.pods]:
        lab.apply(read_manifests([Path(__file__).with_name("newcomer.yaml")]))
    pod.run(f"ping -c 1 -W 1 {lab.pod_object('newcomer').pod_ip}").expect(
        "ttl=62", Text("a pod on the new node is reached at once", "新节点上的 Pod 立刻可达")
    )
    end_ping(lab, pod, ping, Text("the ping of the others lost nothing", "其他节点之间的 ping 没有丢包"))


@chapter.step(
    en="It leaves: entries go with the lease, not with the machine",
    zh="节点离开：条目随租约消失，而不是随机器消失",
    why_en="""The machine is switched off, and nobody says goodbye: the tables of the others go on leading to it. What they follow is the
        lease in etcd. An ordinary one runs out after 24 hours; this node's was reserved and stays for ever. When the key is deleted,
        by hand here, every flanneld takes its three lines away.""",
    why_zh="""机器直接断电，没有谁来告别：其他节点的表里仍然有通向它的条目。它们跟随的是 etcd 里的租约。普通租约 24 小时后到期；
        这个节点的子网是预留的，租约永远不会到期。这里手工删掉那个键，每个 flanneld 就会撤掉各自的三行。""",
    needs=("joins",),
)
def leaves(lab):
    _join(lab)
    master, there = lab.node("zenlin"), mac(lab, NEWCOMER.name)
    lab.remove_node(NEWCOMER.name)
    key = f"{LEASES}/10.244.3.0-24"
    master.run(f"ETCDCTL_API=3 etcdctl get --keys-only {key}").expect(key, Text("the machine is gone, its lease is not", "机器没了，租约还在"))
    for name in NODES:
        lab.node(name).until(
            f"ip route show {SUBNET}", checks.contains(Text(f"{name} would still send packets there", f"{name} 仍会把包发往那里"), GATEWAY)
        )
    master.run(f"ETCDCTL_API=3 etcdctl del {key}").expect("1", Text("one key deleted", "删掉一个键"))
    for name in NODES:
        lab.node(name).until(
            f"ip route show {SUBNET}; ip neigh show {GATEWAY} dev flannel.1; bridge fdb show dev flannel.1 | grep {there}",
            checks.equal(Text(f"{name} has forgotten it in all three tables", f"{name} 的三张表里都没有它了"), ""),
        )
    lab.pod(POD1).run(f"ping -c 1 -W 1 {IP2}").expect(" 0% packet loss", Text("the others talk on", "其他节点照常通信"))


@chapter.step(
    en="flanneld is killed, and the traffic goes on",
    zh="杀掉 flanneld，流量照常",
    why_en="""With udp, flanneld is the data path: without it no packet leaves the node. With vxlan it only keeps tables. They stay in the
        kernel as it left them; what is missing is somebody who follows the changes. A new flanneld finds the device as it was and takes
        it over, with its MAC address, so that the others need not learn anything.""",
    why_zh="""在 udp 后端里，flanneld 就是数据通路，没有它包就出不了节点。在 vxlan 后端里它只是维护表格，表格留在内核里；
        缺的只是跟踪变化的人。重新启动的 flanneld 会找到原来的设备直接接手，MAC 地址不变，其他节点什么都不用重新学。""",
)
def killed(lab):
    node, pod = lab.node("zenlinnode1"), lab.pod(POD1)
    before = mac(lab, "zenlinnode1")
    lab.stop_flanneld("zenlinnode1", kill=True)
    try:
        ended = lab.daemon("zenlinnode1", "flanneld").ended()
        lab.expect_equal(Text("flanneld of node 1 was ended by signal 9 (SIGKILL)", "节点 1 的 flanneld 已被 9 号信号（SIGKILL）杀掉"), ended, -9)
        pod.run(f"ping -c 3 -i 0.1 -W 1 {IP2}").expect(" 0% packet loss", NOTHING_LOST)
    finally:
        lab.start_flanneld("zenlinnode1")
    node.run("cat /sys/class/net/flannel.1/address").expect_lines([before], Text("started again: the same device", "重新启动后：还是原来的设备"))
    pod.run(f"ping -c 3 -i 0.1 -W 1 {IP2}").expect(" 0% packet loss", NOTHING_LOST)
