"""First chapter: the routes, why they need one layer 2, and who looks after them."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import GATEWAY, LEASES, NODES, POD1, POD2, address, subnet

chapter = Chapter()


@chapter.step(
    en="One route for every other node, through that node",
    zh="每个其他节点一条路由，网关就是那个节点",
    why_en="""host-gw means: the host is the gateway. To the pods of node 3 one goes by way of node 3's own address, over the ordinary
        network card. The lease in etcd holds that address and nothing more.""",
    why_zh="""host-gw 的意思是：以主机为网关。要去节点 3 的 Pod，就走普通网卡，下一跳是节点 3 自己的地址。
        etcd 里的租约只需要记下这个地址，别无其他。""",
)
def routes(lab):
    subnets = {name: subnet(lab, name) for name in NODES}
    for name, own in NODES.items():
        rows = [(subnets[other].network_address, f"{subnets[other]} via {there} dev eth0") for other, there in NODES.items() if other != name]
        bridge = subnets[name].network_address + 1
        # The master has no pod, so nothing is plugged into its bridge.
        here = f"{subnets[name]} dev docker0 proto kernel scope link src {bridge}" + (" linkdown" if name == "node1" else "")
        pods = [line for _, line in sorted([*rows, (subnets[name].network_address, here)])]
        lab.node(name).run("ip route").expect_lines(
            [f"default via {GATEWAY} dev eth0", *pods, f"192.168.1.0/24 dev eth0 proto kernel scope link src {own}"],
            Text(f"{name}: own pods on docker0, the others' through their nodes", f"{name}：本节点 Pod 在 docker0，其他的经由各自的节点"),
        )
        key = f"{LEASES}/{str(subnets[name]).replace('/', '-')}"
        lab.node("node1").run(f"ETCDCTL_API=3 etcdctl get --print-value-only {key}").expect_lines(
            [f'{{"PublicIP":"{own}","BackendType":"host-gw"}}'], Text(f"the lease of {name}: its address", f"{name} 的租约：它的地址")
        )
    lab.node("node2").run("ip -br link").lacks("flannel", Text("there is no flannel device", "没有 flannel 设备"))


@chapter.step(
    en="Why it needs one layer 2",
    zh="为什么必须在同一个二层网络",
    why_en="""A gateway has to be a neighbour: the kernel puts the gateway's MAC address on the frame, and nothing about the gateway is written
        in the packet itself. If a router stood between, as in the article's cluster, the frame would go to the router, which knows nothing of
        pods. So the kernel refuses a gateway that it reaches only through another one. 10.229.45.161 is node 2 of the article's cluster. (The
        lab refuses too: asked for host-gw on the topology zenlin, it says that its nodes are no neighbours.)""",
    why_zh="""网关必须是邻居：内核只是在帧上写下网关的 MAC 地址，包里并没有任何关于网关的信息。如果中间隔着路由器，就像文章的集群那样，
        帧只会到达路由器，而路由器对 Pod 一无所知。所以，如果某个网关要经过另一个网关才能到达，内核会拒绝使用它。
        10.229.45.161 是文章集群的节点 2。（本实验也会拒绝：在拓扑 zenlin 上要求 host-gw 时，它会说明那些节点不是邻居。）""",
)
def neighbours(lab):
    node = lab.node("node2")
    node.run(f"ip route get {NODES['node3']}").expect(
        f"{NODES['node3']} dev eth0", Text("node 3 is a neighbour: no “via”", "节点 3 是邻居：没有“via”")
    )
    refused = node.run("ip route add 10.250.0.0/24 via 10.229.45.161").expect_status(2, name=Text("refused", "被拒绝"))
    refused.judge(
        checks.contains(Text("because it is behind the default gateway", "因为它在默认网关后面"), "Nexthop has invalid gateway"), refused.stderr
    )


@chapter.step(
    en="A deleted route comes back",
    zh="删掉的路由会回来",
    why_en="""A route is quickly lost: somebody restarts the network, somebody cleans up. flanneld looks every 10 seconds whether its routes
        are there and puts back what is missing. The lab's flanneld looks every second, so that nobody has to wait.""",
    why_zh="""路由很容易丢：有人重启网络，有人随手清理。flanneld 每 10 秒检查一次自己的路由，缺了就补上。
        本实验的 flanneld 每秒检查一次，免得读者久等。""",
)
def recovered(lab):
    node, there = lab.node("node2"), subnet(lab, "node3")
    node.run(f"ip route del {there}").expect_status(name=Text("the route to node 3's pods is deleted", "删掉通往节点 3 的 Pod 的路由"))
    node.until(
        f"ip route show {there}",
        checks.lines(Text("flanneld has put it back", "flanneld 把它补回来了"), [f"{there} via {NODES['node3']} dev eth0"]),
    )
    lab.until(
        checks.contains(Text("and says so in its log: “Route recovered”", "并写进日志：“Route recovered”"), f"Route recovered {there}"),
        lambda: "\n".join(line for line in lab.daemon("node2", "flanneld").log.read_text().splitlines() if "ecover" in line),
    )
    lab.pod(POD1).run(f"ping -c 1 -W 1 {address(lab, POD2)}").expect(" 0% packet loss", Text("the pod is reached", "Pod 可达"))
