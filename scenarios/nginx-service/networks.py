"""First chapter: the three networks of a cluster, and the way of a packet from node to node."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .article import IP1, LAB_NETWORK, NODES, POD1, route_table
from .backends import facts, lease_value

chapter = Chapter()


@chapter.step(
    en="The nodes' network: three segments and a router",
    zh="节点网络：三个网段，中间一台路由器",
    why_en="""Each node has an address in a /23 of its own, so a packet from node to node always crosses the router. Look at the last
        two lines of each table: addresses of pods on this node are behind docker0, all other pod addresses are behind flannel0. The
        more exact route wins. (So it is with udp, the article's backend. vxlan has one line for the pods of each other node; aws-vpc and gce
        have none on the nodes, but write them in the router's table.)""",
    why_zh="""三个节点各在自己的 /23 网段里，节点之间的包必须经过路由器。请看每张路由表的最后两行：
        本节点 Pod 的地址在 docker0 后面，其他所有 Pod 地址都在 flannel0 后面；两条路由都匹配时，更精确的那条生效。
        （以上是文章所用的 udp 后端。vxlan 为其他每个节点的 Pod 各写一行；aws-vpc 和 gce 在节点上一行也不写，而是写进路由器的路由表。）""",
    lab_only=LAB_NETWORK,
)
def nodes(lab):
    for name, (address, network, gateway, pods) in NODES.items():
        node = lab.node(name)
        node.run("ip -4 -o address show dev eth0").expect(f"inet {address}/23", Text(f"{name} has the article's address", f"{name} 的地址与文章一致"))
        own_segment = (network, "0.0.0.0", "255.255.254.0", "U", "eth0")
        node.run("route -n").expect_lines(
            route_table(("0.0.0.0", gateway, "0.0.0.0", "UG", "eth0"), own_segment, *facts(lab).pod_routes(pods)), facts(lab).routes
        )
    lab.say(
        en="The article names the device flannel.1 while its cluster uses the udp backend. flannel makes flannel0, a TUN device, for "
        "udp; flannel.1 belongs to vxlan. The article's docker0 has 172.17.0.0/16 because on that cluster a CNI bridge carried the "
        "pods and docker0 was idle. Here docker0 carries them, as the article's own explanation says.",
        zh="文章的集群用的是 udp 后端，设备却写成 flannel.1。真实的 flannel 用 udp 时创建的是 TUN 设备 flannel0，"
        "flannel.1 是 vxlan 的设备。文章里 docker0 的网段是 172.17.0.0/16，因为那个集群的 Pod 实际接在 CNI 网桥上，docker0 是闲置的。"
        "这里让 docker0 承载 Pod，与文章对转发过程的讲解一致。",
    )
    lab.node("zenlinnode1").run("ping -c 1 -W 1 10.229.45.161").expect(
        "ttl=63",
        Text("node 1 reaches node 2, through one router (TTL 64 - 1)", "节点 1 能到达节点 2，途经一台路由器（TTL 64 − 1）"),
    )


@chapter.step(
    en="flannel's leases: who owns which subnet",
    zh="flannel 的租约：哪个子网归哪个节点",
    why_en="""flanneld on each node leases a subnet by creating a key in etcd. A key can be created only once, so no two nodes get the
        same subnet. The value tells the others where to send packets for that subnet. flanneld then writes subnet.env, and the bridge
        takes its address and MTU from there.""",
    why_zh="""每个节点上的 flanneld 在 etcd 里创建一个键来租用子网。同一个键只能创建成功一次，所以两个节点不会拿到同一个子网。
        键的值告诉其他节点：发往这个子网的包应该送到哪里。随后 flanneld 写出 subnet.env，网桥从中取得自己的地址和 MTU。""",
    lab_only=LAB_NETWORK,
)
def leases(lab):
    master, worker = lab.node("zenlin"), lab.node("zenlinnode1")
    backend, here = lab.topology.flannel.backend.type, facts(lab)
    master.run("ETCDCTL_API=3 etcdctl get --print-value-only /coreos.com/network/config").expect_json(
        {"Network": "10.244.0.0/16", "SubnetMin": "10.244.0.0", "Backend": {"Type": backend}},
        Text(f"one network for all pods, carried by the {backend} backend", f"所有 Pod 共用一个网络，由 {backend} 后端承载"),
    )
    expected = []
    for name, (_, _, _, pods) in NODES.items():
        expected += [f"/coreos.com/network/subnets/{pods}.0-24", lease_value(lab, name)]
    master.run("ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network/subnets").expect_lines(
        expected, Text("three subnets, each with the address of its node", "三个子网，各自记着所属节点的地址")
    )
    lab.say(
        en="By default flannel never leases the first subnet from etcd, so the master's 10.244.0.0/24 could not come about that way: "
        "that cluster let Kubernetes choose the subnets. The lab lowers SubnetMin to 10.244.0.0 and reserves all three.",
        zh="flannel 从 etcd 租子网时，默认跳过第一个子网，所以 master 的 10.244.0.0/24 不可能这样得来："
        "文章的集群是由 Kubernetes 分配子网的。本实验把 SubnetMin 降到 10.244.0.0，并预留了这三个子网。",
    )
    worker.run("cat /run/flannel/subnet.env").expect_lines(
        ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24", f"FLANNEL_MTU={here.mtu}", "FLANNEL_IPMASQ=true"],
        Text("flanneld wrote the subnet of node 1", "flanneld 写下了节点 1 的子网"),
    )
    worker.run("ip -4 -o address show dev docker0").expect(
        "inet 10.244.1.1/24", Text("docker0 took the first address of it", "docker0 用了其中的第一个地址")
    )
    if here.device:
        worker.run(f"ip -4 -o address show dev {here.device}").expect(
            f"inet 10.244.1.0/{here.prefix}", Text(f"{here.device} has the subnet's own address", f"{here.device} 用了子网号本身作地址")
        )
    else:
        worker.run("ip -br link").lacks("flannel", Text(f"{backend} needs no device", f"{backend} 不需要设备"))


@chapter.step(
    en="The pods' network: one address each, unique in the cluster",
    zh="Pod 网络：每个 Pod 一个地址，全集群唯一",
    why_en="""A pod is connected by a veth pair: one end is its eth0, the other a port of the node's bridge. Everything beyond its own
        subnet goes to the bridge's address, 10.244.1.1.""",
    why_zh="""Pod 用一对 veth 接入网络：一端是它自己的 eth0，另一端是节点网桥的一个端口。
        发往本子网以外的包，都先交给网桥的地址 10.244.1.1。""",
    lab_only=LAB_NETWORK,
)
def pods(lab):
    pod = lab.pod(POD1)
    pod.run("ip address show dev eth0").expect(
        f"inet {IP1}/24",
        Text("the article's address, with the mask of the node's subnet", "地址与文章一致，掩码是节点子网的 /24"),
    ).expect(f"mtu {facts(lab).mtu}", Text(f"MTU {facts(lab).mtu}, as flannel said", f"MTU 为 {facts(lab).mtu}，由 flannel 给出"))
    pod.run("ip route").expect("default via 10.244.1.1 dev eth0", Text("the bridge is the way out", "网桥是出口"))
    lab.say(en=facts(lab).size.en, zh=facts(lab).size.zh)


@chapter.step(
    en="Pod to pod across nodes: count the hops by the TTL",
    zh="跨节点的 Pod 互访：从 TTL 数跳数",
    why_en="""The reply starts at its pod with TTL 64 and loses 1 at every hop that routes it. With the udp backend: node 2 (docker0 to
        flannel0), flanneld on node 2 as it wraps the packet, flanneld on node 1 as it unwraps it, and node 1 (flannel0 to docker0). 60 is
        left. The router between the nodes sees only the outer packet and cannot touch the inner TTL.""",
    why_zh="""回包从对端 Pod 出发时 TTL 是 64，每经过一次路由就减 1。用 udp 后端时是：节点 2（从 docker0 到 flannel0）、节点 2 的 flanneld（封装时）、
        节点 1 的 flanneld（解封时）、节点 1（从 flannel0 到 docker0），最后剩下 60。
        节点之间的路由器只看得到外层包，改不了内层的 TTL。""",
)
def ttl(lab):
    pod = lab.pod("ubuntu-zenlinnode1")
    reply = pod.run("ping -c 2 -i 0.1 -W 1 10.244.2.246").expect(" 0% packet loss", Text("nothing is lost", "没有丢包"))
    with lab.where_possible():
        lab.require_lab(LAB_NETWORK)
        here = facts(lab)
        behind = here.behind
        reply.expect(f"ttl={64 - here.hops}", Text(f"across nodes {here.hops} hops route the reply", f"跨节点时，回包经过 {here.hops} 次路由"))
        lab.node("zenlinnode1").run("ip route get 10.244.2.246").expect(
            here.way, Text(f"for node 1, a pod of node 2 is behind {behind.en}", f"在节点 1 看来，节点 2 的 Pod 在{behind.zh}后面")
        )
        pod.run(f"ping -c 1 -W 1 {IP1}").expect(
            "ttl=64", Text("on one node no hop does: the bridge only switches", "同一节点内没有路由：网桥只做二层交换")
        )
        if here.ttl is not None:
            lab.say(en=here.ttl.en, zh=here.ttl.zh)
    lab.say(
        en="In its journey of a packet the article once writes 10.244.1.145 as the destination. That is the sender; the destination is 10.244.2.246.",
        zh="文章讲解包的旅程时，有一处把目的地址写成了 10.244.1.145。那是发送方，目的地址应为 10.244.2.246。",
    )
