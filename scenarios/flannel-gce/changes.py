"""Third chapter: routes that go or lead elsewhere, instances that may not forward, a node that joins and leaves."""

from __future__ import annotations

import json

from lab.model.topology import Node
from lab.scenario import Chapter, Text, checks

from .cluster import INSTANCES, IP2, NODE1, NODE2, POD1, PROJECT, ROUTE2, ROUTES, begin_ping, change, end_ping, pings

chapter = Chapter()
NEWCOMER = Node(name="zenlinnode3", address="10.229.47.12/23", gateway="10.229.46.1", pod_cidr="10.244.3.0/24")
SUBNET, ROUTE3 = "10.244.3.0/24", "flannel-10-244-3-0-24"
TO_NODE2 = f"{INSTANCES}/{NODE2}"


def restart(lab):
    """Start node 2's flanneld anew; what it logs from then on."""
    log = lab.daemon(NODE2, "flanneld").log
    before = len(log.read_text())
    lab.stop_flanneld(NODE2)
    lab.start_flanneld(NODE2)
    return log.read_text()[before:]


@chapter.step(
    en="flanneld is started anew, and finds its route right",
    zh="flanneld 重新启动，发现路由没错",
    why_en="""The route's name tells flanneld what to look for. If it is there and leads to this instance, it stays, and the traffic
        notices nothing. (flannel 0.8 means to do the same at Amazon, but there it always deletes and creates.)""",
    why_zh="""路由的名字告诉 flanneld 该找哪一条。如果它在，而且指向本实例，就留着，流量毫无察觉。
        （在亚马逊那里 flannel 0.8 也想这样做，实际上却总是先删再建。）""",
)
def kept(lab):
    ping = begin_ping(lab)
    told = restart(lab)
    lab.check(
        checks.contains(Text("flanneld's log says that it keeps the route", "flanneld 的日志说：路由保留"), "Exact pre-existing route found"), told
    )
    lab.check(checks.lacks(Text("and inserts none", "没有插入新的"), "Inserting route"), told)
    end_ping(lab, ping, Text("a ping that ran all the while lost nothing", "一直在跑的 ping 没有丢包"))


@chapter.step(
    en="A route is deleted, and nobody puts it back",
    zh="删掉一条路由，没有人补回来",
    why_en="""flanneld writes at its start only. What somebody deletes in Google's console stays deleted until then.""",
    why_zh="""flanneld 只在启动时写。谁在谷歌控制台里删掉这条路由，它就一直没了，直到 flanneld 重新启动。""",
)
def deleted(lab):
    router = lab.host("router")
    change(lab, "DELETE", f"{ROUTES}/{ROUTE2}")
    try:
        router.run("ip route show 10.244.2.0/24").expect_lines([], Text("the router has followed", "路由器已照做"))
        lab.pod(POD1).run(f"ping -c 1 -W 1 {IP2}").expect(
            "From 10.229.52.1 icmp_seq=1 Destination Net Unreachable", Text("the router does not know the way any more", "路由器不认识路了")
        )
        lab.hold(
            checks.equal(Text("for half a second, no flanneld puts it back", "半秒之内，没有哪个 flanneld 把它补回来"), 0),
            lambda: lab.cluster.host("router").run("ip route show 10.244.2.0/24").stdout.count("via"),
            0.5,
        )
    finally:
        told = restart(lab)
    lab.check(
        checks.contains(Text("started anew, flanneld inserts it", "flanneld 重新启动后把它插回来"), "Inserting route for subnet: 10.244.2.0/24"), told
    )
    pings(lab)


@chapter.step(
    en="A route of that name leads to the wrong instance",
    zh="同名路由指向了别的实例",
    why_en="""A name can be there only once. If a route of flannel's name leads elsewhere, perhaps because a new instance has got the subnet of
        an old one, flanneld deletes it before it inserts its own.""",
    why_zh="""同一个名字只能有一条。如果 flannel 用的名字指向了别处，比如新实例拿到了旧实例的子网，
        flanneld 就先删掉它，再插入自己的。""",
)
def conflict(lab):
    wrong = {"name": ROUTE2, "destRange": "10.244.2.0/24", "network": f"{PROJECT}/global/networks/default", "nextHopInstance": f"{INSTANCES}/zenlin"}
    change(lab, "DELETE", f"{ROUTES}/{ROUTE2}")
    change(lab, "POST", ROUTES, json.dumps(wrong))
    try:
        lab.host("router").run("ip route show 10.244.2.0/24").expect(
            "via 10.229.43.65", Text("node 2's pods are looked for on the master", "路由器到 master 上去找节点 2 的 Pod")
        )
    finally:
        told = restart(lab)
    lab.check(
        checks.matches(
            Text("flanneld deletes the wrong one and inserts its own", "flanneld 删掉错的，插入自己的"), "Deleting conflicting route(?s:.*)Inserting"
        ),
        told,
    )
    pings(lab)


@chapter.step(
    en="An instance that may not forward",
    zh="不允许转发的实例",
    why_en="""What Amazon calls source/destination check is canIpForward here, the other way round, and off unless it is asked for when the
        instance is made. flanneld cannot switch it on; flannel's documentation tells people to create instances with --can-ip-forward.""",
    why_zh="""亚马逊叫作源/目标检查的，在这里叫 canIpForward，意思正好相反，创建实例时不要求就是关的。flanneld 自己打不开它；
        flannel 的文档要求用户创建实例时加上 --can-ip-forward。""",
)
def forward(lab):
    change(lab, "PUT", TO_NODE2, '{"canIpForward": false}')
    try:
        lab.host("router").run("iptables -S CAN-IP-FORWARD").expect_lines(
            [
                "-N CAN-IP-FORWARD",
                "-A CAN-IP-FORWARD ! -s 10.229.45.161/32 -m mac --mac-source 02:42:0a:e5:2d:a1 -j DROP",
                "-A CAN-IP-FORWARD -d 10.244.2.0/24 -j DROP",
            ],
            Text("how the lab's router does it: one rule for what comes, one for what goes", "本实验的路由器这样实现：来去各一条规则"),
        )
        lab.pod(POD1).run(f"ping -c 2 -i 0.05 -W 0.3 {IP2}").expect(
            "100% packet loss", Text("pods on node 2 are out of reach, without any error", "节点 2 上的 Pod 不通，也没有任何报错")
        )
        lab.node(NODE1).run("ping -c 1 -W 1 10.229.45.161").expect("ttl=63", Text("node 2 itself is not", "节点 2 本身是通的"))
    finally:
        change(lab, "PUT", TO_NODE2, '{"canIpForward": true}')
    pings(lab)


@chapter.step(
    en="A node joins and leaves while the others talk",
    zh="通信进行中，一个节点加入又离开",
    why_en="""Nothing happens on the other nodes, and nothing happens to the route when its instance is deleted: no flanneld of the gce
        backend looks for such routes, as the one of aws-vpc does. An operator has to clean up, or a new node that gets the same subnet.""",
    why_zh="""其他节点上什么也不会发生。实例被删除时，它的路由也不会有任何变化：gce 后端的 flanneld 不像 aws-vpc 的那样去清理这种路由。
        要么由运维来删，要么等下一个拿到同一子网的节点来换掉。""",
)
def membership(lab):
    router = lab.host("router")
    ping = begin_ping(lab)
    lab.add_node(NEWCOMER)
    router.run(f"ip route show {SUBNET}").expect_match(
        r"^10\.244\.3\.0/24 via 10\.229\.47\.12 dev eth\d+ *$", Text("the router has one route more", "路由器多了一条路由")
    )
    lab.pod(POD1).run("ping -c 1 -W 1 10.244.3.1").expect("ttl=62", Text("pods reach the new node's bridge", "Pod 能到新节点的网桥"))
    lab.remove_node(NEWCOMER.name)
    router.run(f"ip route show {SUBNET}").expect("blackhole", Text("the instance is gone: a blackhole", "实例没了：黑洞"))
    router.run(f"curl -s {ROUTES}/{ROUTE3}").expect_json({"name": ROUTE3}, Text("the route is still there", "路由还在"))
    restart(lab)
    router.run(f"curl -s {ROUTES}/{ROUTE3}").expect_json(
        {"name": ROUTE3}, Text("a flanneld that starts does not mind it", "新启动的 flanneld 不去管它")
    )
    change(lab, "DELETE", f"{ROUTES}/{ROUTE3}")
    router.run(f"ip route show {SUBNET}").expect_lines([], Text("deleted by hand", "手工删除"))
    end_ping(lab, ping, Text("the ping of the others lost nothing", "其他节点之间的 ping 没有丢包"))


@chapter.step(
    en="Side by side with aws-vpc",
    zh="和 aws-vpc 并排比较",
    why_en="""To the pods both clouds are the same. The differences are the operator's.""",
    why_zh="""对 Pod 来说，两个云没有区别；区别都在运维这边。""",
)
def side_by_side(lab):
    lab.say(
        en="what: aws-vpc | gce\n"
        "a route belongs to: a route table of the VPC, 50 each | the project, 100 in all\n"
        "it is called: nothing, its destination is its key | flannel-10-244-2-0-24\n"
        "it leads to: a network interface | an instance\n"
        "a change: is done when the API answers | is an operation, done some time later\n"
        "forwarding: flanneld switches source/dest check off | canIpForward, at the instance's creation\n"
        "flanneld starts again: deletes and creates its route | keeps it if it is right\n"
        "a machine is gone: the next flanneld deletes the blackhole | the route stays",
        zh="项目：aws-vpc | gce\n"
        "路由属于：VPC 的一张路由表，每张 50 条 | 整个项目，共 100 条\n"
        "名字：没有，以目的网段为键 | flannel-10-244-2-0-24\n"
        "指向：一块网卡 | 一个实例\n"
        "修改：API 回答时已完成 | 是一项操作，稍后完成\n"
        "转发许可：flanneld 关掉源/目标检查 | canIpForward，创建实例时指定\n"
        "flanneld 重启：删掉路由再建 | 路由没错就保留\n"
        "机器没了：下一个启动的 flanneld 删除黑洞 | 路由一直在",
    )
    lab.node(NODE1).run("ip route | grep -c 10.244").expect_lines(
        ["1"], Text("the same here: only the route to the own pods", "这里一样：只有通往本节点 Pod 的路由")
    )
    pings(lab, Text("and TTL 61", "TTL 也是 61"))
