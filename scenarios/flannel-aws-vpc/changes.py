"""Third chapter: rows that go, checks that come back, a node that joins and leaves, and how the backends differ."""

from __future__ import annotations

from lab.model.topology import Node
from lab.scenario import Chapter, Text, checks

from .cluster import ARRIVES, NODE1, NODE2, POD1, TABLE, begin_ping, call, card_of, end_ping, lost, pings, table_id

chapter = Chapter()
NEWCOMER = Node(name="zenlinnode3", address="10.229.47.12/23", gateway="10.229.46.1", pod_cidr="10.244.3.0/24")
SUBNET = "10.244.3.0/24"


@chapter.step(
    en="flanneld stops, and nothing else does",
    zh="flanneld 停了，其他一切照旧",
    why_en="""flanneld has written its row and has nothing left to do. It is not on the way of any packet, and it does not take the row away when
        it ends.""",
    why_zh="""flanneld 写完自己那一行，就没有别的事了。它不在任何包的路上，退出时也不会把那一行删掉。""",
)
def stopped(lab):
    lab.stop_flanneld(NODE2)
    try:
        pings(lab, Text("pods talk without node 2's flanneld", "节点 2 没有 flanneld，Pod 照样通信"))
        lab.host("router").run(TABLE).expect("10.244.2.0/24", Text("its row is still there", "它那一行还在"))
    finally:
        lab.start_flanneld(NODE2)
    pings(lab)


@chapter.step(
    en="A row is deleted, and nobody puts it back",
    zh="删掉一行，没有人补回来",
    why_en="""flannel's host-gw looks every ten seconds whether its routes are still there. aws-vpc writes at its start and never looks again. What
        somebody deletes in Amazon's console stays deleted until flanneld is started anew.""",
    why_zh="""host-gw 后端每十秒检查一次自己的路由还在不在。aws-vpc 只在启动时写一次，之后再也不看。
        谁在亚马逊控制台里删掉这一行，它就一直没了，直到 flanneld 重新启动。""",
)
def deleted(lab):
    router = lab.host("router")
    call(lab, "DeleteRoute", RouteTableId=table_id(lab), DestinationCidrBlock="10.244.2.0/24").expect(
        "<DeleteRouteResponse", Text("the API has deleted the row", "API 已删除这一行")
    )
    try:
        router.run("ip route show 10.244.2.0/24").expect_lines([], Text("the router has followed", "路由器已照做"))
        lab.pod(POD1).run("ping -c 1 -W 1 10.244.2.246").expect(
            "From 10.229.52.1 icmp_seq=1 Destination Net Unreachable", Text("the router does not know the way any more", "路由器不认识路了")
        )
        lab.hold(
            checks.equal(Text("for half a second, no flanneld puts it back", "半秒之内，没有哪个 flanneld 把它补回来"), 0),
            lambda: lab.cluster.host("router").run("ip route show 10.244.2.0/24").stdout.count("via"),
            0.5,
        )
    finally:
        lab.stop_flanneld(NODE2)
        lab.start_flanneld(NODE2)
    router.run(TABLE).expect("10.244.2.0/24", Text("flanneld was started anew: the row is back", "flanneld 重新启动后，这一行回来了"))
    pings(lab)
    lab.say(
        en="At every start flannel 0.8 deletes its row and creates it again, even when it is right: it compares two pointers where it means to "
        "compare the two ids behind them. A restart of flanneld therefore interrupts the traffic for a moment.",
        zh="flannel 0.8 每次启动都会先删掉自己那一行再重建，哪怕它本来就是对的：代码想比较的是两个 ID，比较的却是两个指针。"
        "所以重启 flanneld 会让流量中断一瞬间。",
    )


@chapter.step(
    en="The source/destination check is switched on again",
    zh="重新打开源/目标检查",
    why_en="""Amazon assumes that an instance sends from its own address and receives for it, and drops the rest. A node does neither:
        its pods' packets have addresses of their own. That is why flanneld switches the check off. If that is not allowed to it, it
        only logs a warning, and the traffic does not arrive.""",
    why_zh="""亚马逊默认认为：实例只用自己的地址发包，也只收发给自己的包，其余一律丢弃。节点两样都不符合：它的 Pod 有自己的地址。
        所以 flanneld 要关掉这个检查。如果它没有权限，只会在日志里警告一句，流量就不通了。""",
)
def check(lab):
    card = card_of(lab, "10.229.45.161")
    change = "ModifyNetworkInterfaceAttribute"
    call(lab, change, NetworkInterfaceId=card, SourceDestCheck__Value="true").expect(f"<{change}Response", Text("switched on", "已打开"))
    try:
        lab.host("router").run("iptables -S SOURCE-DEST-CHECK").expect_lines(
            [
                "-N SOURCE-DEST-CHECK",
                "-A SOURCE-DEST-CHECK ! -s 10.229.45.161/32 -m mac --mac-source 02:42:0a:e5:2d:a1 -j DROP",
                "-A SOURCE-DEST-CHECK -d 10.244.2.0/24 -j DROP",
            ],
            Text("how the lab's router does it: one rule for what comes, one for what goes", "本实验的路由器这样实现：来去各一条规则"),
        )
        lost(lab, Text("pods on node 2 are out of reach, without any error", "节点 2 上的 Pod 不通，也没有任何报错"))
        lab.node(NODE1).run("ping -c 1 -W 1 10.229.45.161").expect("ttl=63", Text("node 2 itself is not", "节点 2 本身是通的"))
    finally:
        call(lab, change, NetworkInterfaceId=card, SourceDestCheck__Value="false")
    pings(lab)


@chapter.step(
    en="A node joins while the others talk",
    zh="通信进行中，一个节点加入",
    why_en="""Its flanneld asks who it is, switches the check off and adds one row. No other node does anything, not even its flanneld: there is
        nothing to tell them.""",
    why_zh="""它的 flanneld 问清自己是谁，关掉检查，加一行。其他节点什么也不用做，连它们的 flanneld 也不用：没有什么要告诉它们的。""",
)
def joins(lab):
    ping = begin_ping(lab)
    lab.add_node(NEWCOMER)
    lab.host("router").run(f"ip route show {SUBNET}").expect_match(
        r"^10\.244\.3\.0/24 via 10\.229\.47\.12 dev eth\d+ *$", Text("the router has one route more", "路由器多了一条路由")
    )
    lab.node(NODE1).run("ip route").lacks("10.244.3.", Text("node 1 has not", "节点 1 没有"))
    lab.pod(POD1).run("ping -c 1 -W 1 10.244.3.1").expect("ttl=62", Text("and reaches its pods' gateway all the same", "却照样能到新节点的网桥"))
    end_ping(lab, ping, Text("the ping of the others lost nothing", "其他节点之间的 ping 没有丢包"))


@chapter.step(
    en="It is terminated: its row becomes a blackhole",
    zh="实例被终止：它那一行变成黑洞",
    why_en="""Rows stay when their machine goes. The cloud calls such a row a blackhole and swallows what is sent along it. The
        next flanneld that starts, on whatever node, deletes all blackholes inside the pod network.""",
    why_zh="""机器没了，行还在。云把这样的行叫作黑洞（blackhole），沿着它发的包都被吞掉。
        此后不管哪个节点启动 flanneld，都会把 Pod 网络里的黑洞全部删掉。""",
    needs=("joins",),
)
def leaves(lab):
    router = lab.host("router")
    ping = begin_ping(lab)
    lab.remove_node(NEWCOMER.name)
    states = "curl -s 'http://169.254.169.254/?Action=DescribeRouteTables' | grep -oP '<(destinationCidrBlock|state)>\\K[^<]+' | grep -A1 10.244.3"
    router.run(states).expect_lines([SUBNET, "blackhole"], Text("the row's state is blackhole", "这一行的状态是 blackhole"))
    router.run(f"ip route show {SUBNET}").expect("blackhole", Text("and so is the router's route", "路由器的路由也是"))
    end_ping(lab, ping, Text("the ping of the others lost nothing", "其他节点之间的 ping 没有丢包"))
    lab.stop_flanneld("zenlin")
    lab.start_flanneld("zenlin")
    router.run(TABLE).lacks(SUBNET, Text("the master's flanneld, started anew, has deleted it", "master 的 flanneld 重新启动后删掉了它"))
    lab.check(
        checks.contains(Text("and says so in its log", "日志里也写着"), f"Removing blackhole route: {SUBNET}"),
        lab.daemon("zenlin", "flanneld").log.read_text(),
    )
    pings(lab, ARRIVES)


@chapter.step(
    en="Side by side",
    zh="并排比较",
    why_en="""A VPC route table takes 50 routes unless Amazon grants more, so a cluster of this kind ends at some 50 nodes. udp and vxlan have no
        such limit and work where nobody lets you touch the network; they pay for it with bytes, and udp with two processes on the way.""",
    why_zh="""一张 VPC 路由表默认最多 50 条路由，除非向亚马逊申请提高，所以这种集群大约到 50 个节点为止。udp 和 vxlan 没有这个限制，
        在没有权限动网络的地方也能用；代价是每个包多带的字节，udp 还要多经过两个进程。""",
)
def side_by_side(lab):
    lab.say(
        en="backend: route on a node to other pods | bytes taken | reply's TTL | who forwards | when flanneld stops\n"
        "udp: 10.244.0.0/16 dev flannel0 | 28 | 60 | flanneld | traffic stops\n"
        "vxlan: one a node, dev flannel.1 onlink | 50 | 62 | the nodes' kernels | goes on\n"
        "host-gw: one a node, via its address | 0 | 62 | the nodes' kernels, one layer 2 | goes on\n"
        "aws-vpc: none | 0 | 61 | the VPC, 50 routes a table | goes on\n"
        "gce: none | 0 | 61 | the GCE network, 100 routes a project | goes on",
        zh="后端：节点上通往其他 Pod 的路由 | 占用字节 | 应答的 TTL | 由谁转发 | flanneld 停止后\n"
        "udp：10.244.0.0/16 dev flannel0 | 28 | 60 | flanneld | 流量中断\n"
        "vxlan：每个节点一条，dev flannel.1 onlink | 50 | 62 | 节点的内核 | 照常\n"
        "host-gw：每个节点一条，网关是对方的地址 | 0 | 62 | 节点的内核，须在同一个二层 | 照常\n"
        "aws-vpc：没有 | 0 | 61 | VPC，每张表 50 条路由 | 照常\n"
        "gce：没有 | 0 | 61 | GCE 网络，每个项目 100 条路由 | 照常",
    )
    lab.node(NODE1).run("ip route | grep -c 10.244").expect_lines(
        ["1"], Text("here: only the route to the own pods", "这里：只有通往本节点 Pod 的路由")
    )
    pings(lab, Text("and TTL 61", "TTL 是 61"))
