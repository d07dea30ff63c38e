"""The alloc backend: subnets and nothing else, what then happens to a packet, and what a cloud's router adds."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text, checks

POD1, IP1 = "ubuntu-k8s-deployment-623915768-fnssv", "10.244.1.145"
POD2, IP2 = "ubuntu-k8s-deployment-623915768-nwzk9", "10.244.2.246"
WEB1, WEB1_IP = "web-zenlinnode1", "10.244.1.80"
WEB2, WEB2_IP = "web-zenlinnode2", "10.244.2.80"
NODES = {  # name: (address, network, gateway, the first three numbers of its pod subnet)
    "zenlin": ("10.229.43.65", "10.229.42.0/23", "10.229.42.1", "10.244.0"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.0/23", "10.229.52.1", "10.244.1"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.0/23", "10.229.44.1", "10.244.2"),
}
COUNTED = f"-s {IP1}/32 -d {IP2}/32 -p icmp"

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's alloc backend: subnets, and the rest is up to you", "flannel 的 alloc 后端：只分子网，其余自理"),
    topology="zenlin",
    backend="alloc",
    backends=["alloc"],
    manifests=["ubuntu.yaml", "web.yaml"],
    pins=[
        Pin(POD1, owner="ubuntu-k8s-deployment", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="ubuntu-k8s-deployment", node="zenlinnode2", address=IP2),
        Pin(WEB1, address=WEB1_IP),
        Pin(WEB2, address=WEB2_IP),
    ],
    intro=Text(
        "flannel does two things: it hands every node a subnet of its own, and it carries packets between those subnets. The alloc "
        "backend does only the first. On the article's nodes, with the article's pods, this shows what the other backends add, and how two "
        "of them, aws-vpc and gce, manage with a few lines in a router.",
        "flannel 做两件事：给每个节点分配一个独立的子网；在这些子网之间运送包。alloc 后端只做第一件。"
        "在文章的节点和 Pod 上，可以看清其他后端到底多做了什么，以及 aws-vpc 和 gce 这两个后端如何只靠路由器里的几行路由就办到。",
    ),
)


@scenario.step(
    en="Leases and a file, no device and no routes",
    zh="有租约和文件，没有设备和路由",
    why_en="""Each node has its lease in etcd, so no two of them hand out the same address, and its bridge took address and MTU from subnet.env.
        That is all. Compare the route table with any other backend's: no line leads to the pods of the other nodes.""",
    why_zh="""每个节点在 etcd 里有自己的租约，所以不会有两个节点分出同一个地址；网桥也从 subnet.env 取得了地址和 MTU。仅此而已。
        和其他后端的路由表比一比：没有任何一行通向其他节点的 Pod。""",
)
def leases(lab):
    expected = []
    for address, _, _, pods in NODES.values():
        expected += [f"/coreos.com/network/subnets/{pods}.0-24", f'{{"PublicIP":"{address}"}}']
    lab.node("zenlin").run("ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network/subnets").expect_lines(
        expected, Text("three subnets, each with the address of its node", "三个子网，各自记着所属节点的地址")
    )
    lab.node("zenlinnode1").run("cat /run/flannel/subnet.env").expect_lines(
        ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24", "FLANNEL_MTU=1500", "FLANNEL_IPMASQ=true"],
        Text("MTU 1500: nothing is put around packets", "MTU 1500：包外面什么也不加"),
    )
    for name, (address, network, gateway, pods) in NODES.items():
        # The master has no pod, so nothing is plugged into its bridge.
        here = f"{pods}.0/24 dev docker0 proto kernel scope link src {pods}.1" + (" linkdown" if name == "zenlin" else "")
        lab.node(name).run("ip route").expect_lines(
            [f"default via {gateway} dev eth0", f"{network} dev eth0 proto kernel scope link src {address}", here],
            Text(f"{name}: default route, own segment, own pods", f"{name}：默认路由、本网段、本节点 Pod"),
        )
    lab.node("zenlinnode1").run("ip -br link").lacks("flannel", Text("there is no flannel device", "没有 flannel 设备"))


@scenario.step(
    en="Pods of one node reach each other",
    zh="同一节点的 Pod 互通",
    why_en="""They hang on one bridge and need no route. This is what docker gives anybody who installs it, except that the addresses
        are unique in the cluster now.""",
    why_zh="""它们接在同一个网桥上，不需要路由。装好 docker 就有这个能力；不同的只是，现在地址在整个集群里是唯一的。""",
)
def same_node(lab):
    lab.pod(POD1).run(f"ping -c 1 -W 1 {WEB1_IP}").expect("ttl=64", Text("by the bridge alone", "只经过网桥"))
    lab.pod(POD2).run(f"curl -s -m 2 http://{WEB2_IP}/").expect(f"pod: {WEB2}", Text("on node 2 as well", "节点 2 上也一样"))


@scenario.step(
    en="Pods of two nodes do not: the way of the packet",
    zh="两个节点的 Pod 不通：包去了哪里",
    why_en="""No route of node 1 knows 10.244.2.246, so the packet leaves by the default route, as if it were bound for the Internet. The
        router knows no such network either and answers “Net Unreachable”. Asked from the node, one sees that answer. Asked from
        the pod, one sees nothing at all: the router has no way back to 10.244.1.145, so even its answer gets lost.""",
    why_zh="""节点 1 的路由表里没有 10.244.2.246，包就沿默认路由离开，就像要去互联网一样。路由器也不认识这个网段，
        回答“Net Unreachable”（网络不可达）。从节点上测试能看到这个回答；从 Pod 里测试则什么也看不到：
        路由器同样不知道回 10.244.1.145 的路，连它的回答也丢了。""",
)
def other_node(lab):
    node, pod, router = lab.node("zenlinnode1"), lab.pod(POD1), lab.host("router")
    node.run(f"ip route get {IP2}").expect("via 10.229.52.1 dev eth0", Text("out by the default route", "沿默认路由出去"))
    asked = node.run(f"ping -c 1 -W 0.5 {IP2}").expect_status(1, name=Text("no reply", "没有应答"))
    asked.expect("From 10.229.52.1 icmp_seq=1 Destination Net Unreachable", Text("the router answers the node", "路由器回答了节点"))
    try:
        router.run(f"iptables -t mangle -A PREROUTING {COUNTED}").expect_status()
        pod.run(f"ping -c 1 -W 0.5 {IP2}").expect(" 0 received, 100% packet loss", Text("the pod hears nothing", "Pod 什么也没收到"))
        router.run("iptables-save -c -t mangle | grep -e '-A PREROUTING'").expect_lines(
            [f"[1:84] -A PREROUTING {COUNTED}"], Text("but its packet came as far as the router, unchanged", "但它的包原样到了路由器")
        )
    finally:
        router.run("iptables -t mangle -F PREROUTING").expect_status()
    router.run(f"ip route get {IP2}").expect_status(2, name=Text("the router has no route there", "路由器没有通往那里的路由"))


@scenario.step(
    en="One line a node in the router, and it works",
    zh="在路由器上为每个节点加一行，就通了",
    why_en="""What was missing is that the router knows where the subnets are. With a route in one direction the request arrives, but the
        reply gets lost on its way back; a ping needs both. The TTL shows the three that route the reply: node 2, the router, node 1. The
        backends aws-vpc and gce do exactly this: instead of typing `ip route add`, each flanneld asks the cloud by its API to enter a line
        for its own subnet into the route table of the virtual network. (The cloud must also be told to let packets with foreign addresses
        pass: SourceDestCheck at AWS, canIpForward at Google.)""",
    why_zh="""缺的只是让路由器知道各个子网在哪里。只加一个方向的路由，请求能到，回包却在半路丢失；ping 要来回都通。
        从 TTL 可以看出回包经过三次路由：节点 2、路由器、节点 1。aws-vpc 和 gce 后端做的正是这件事：不是手敲 `ip route add`，
        而是每个 flanneld 通过云平台的 API，在虚拟网络的路由表里为自己的子网加一行。
        （还要让云平台放行源、目的地址不属于主机自己的包：AWS 上是 SourceDestCheck，Google 上是 canIpForward。）""",
    needs=("other_node",),
)
def by_hand(lab):
    router, pod = lab.host("router"), lab.pod(POD1)
    there, back = "10.244.2.0/24 via 10.229.45.161", "10.244.1.0/24 via 10.229.53.146"
    receiver = lab.node("zenlinnode2")
    try:
        router.run(f"ip route add {there}").expect_status(name=Text("node 2's pods are behind node 2", "节点 2 的 Pod 在节点 2 后面"))
        receiver.run(f"iptables -t mangle -A PREROUTING {COUNTED}").expect_status()
        pod.run(f"ping -c 1 -W 0.5 {IP2}").expect(" 0 received, 100% packet loss", Text("one direction is not enough", "只有一个方向还不够"))
        receiver.run("iptables-save -c -t mangle | grep -e '-A PREROUTING'").expect_lines(
            [f"[1:84] -A PREROUTING {COUNTED}"], Text("although the request arrived at node 2", "虽然请求已经到了节点 2")
        )
        router.run(f"ip route add {back}").expect_status(name=Text("node 1's pods are behind node 1", "节点 1 的 Pod 在节点 1 后面"))
        pod.run(f"ping -c 2 -i 0.1 -W 1 {IP2}").expect(
            "ttl=61", Text("it works, through three hops", "通了，经过 3 次路由")
        ).expect(" 0% packet loss", Text("nothing is lost", "没有丢包"))
        pod.run(f"ping -c 1 -W 1 -M do -s 1472 {IP2}").expect(" 0% packet loss", Text("with the whole 1500 bytes", "而且可以用满 1500 字节"))
        pod.run(f"curl -s -m 5 -o /dev/null 'http://{WEB2_IP}/?who'").expect_status(name=Text("the web server answers", "网页服务器有应答"))
        lab.pod(WEB2).run("grep '?who' /var/log/nginx/access.log | cut -d' ' -f1 | sort -u").expect_lines(
            [IP1], Text("and saw the pod's own address", "它看到的是 Pod 自己的地址")
        )
    finally:
        receiver.run("iptables -t mangle -F PREROUTING").expect_status()
        for route in (there, back):
            router.run(f"ip route del {route}").expect_status()
    pod.until(
        f"ping -c 1 -W 0.3 {IP2}", checks.contains(Text("without the routes all is as before", "删掉路由，一切照旧"), "100% packet loss")
    )


@scenario.step(
    en="The way out works all the same",
    zh="通往外面的路照常可用",
    why_en="""A packet for a machine outside gets the node's address by flannel's MASQUERADE rule, and every router knows the node. That is
        why a cluster without a working pod network looks healthy at first: pods reach the world, only not each other.""",
    why_zh="""发往外部机器的包由 flannel 的 MASQUERADE 规则换成节点地址，而路由器都认识节点。
        所以 Pod 网络不通的集群乍看一切正常：Pod 能访问外面，只是彼此不通。""",
)
def outside(lab):
    client, pod = lab.client(), lab.pod(POD1)
    rules = ["-s 10.229.53.146/32 -p icmp", "-s 10.244.0.0/16"]
    try:
        for rule in rules:
            client.run(f"iptables -A INPUT {rule}").expect_status()
        pod.run("ping -c 1 -W 1 192.168.88.10").expect(" 0% packet loss", Text("a machine outside answers", "集群外的机器有应答"))
        client.run("iptables-save -c -t filter | grep -e '-A INPUT'").expect_lines(
            [f"[1:84] -A INPUT {rules[0]}", f"[0:0] -A INPUT {rules[1]}"],
            Text("it saw the node's address, and no pod's", "它看到的是节点的地址，没有 Pod 地址"),
        )
    finally:
        client.run("iptables -F INPUT").expect_status()
