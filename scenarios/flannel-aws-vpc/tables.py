"""First chapter: what the nodes do not have, and who has it instead."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import CARDS, NODE1, NODES, TABLE

chapter = Chapter()


@chapter.step(
    en="The nodes know nothing of other nodes' pods",
    zh="节点不知道其他节点的 Pod 在哪里",
    why_en="""No flannel device, no route to 10.244.0.0/16, no forwarding table. A packet for a pod elsewhere takes the default route, as a
        packet for the internet would: to the router. With host-gw every node holds one route for each other node; here none does.""",
    why_zh="""没有 flannel 设备，没有通往 10.244.0.0/16 的路由，也没有转发表。发往别处 Pod 的包走默认路由，和发往互联网的包一样，
        先交给路由器。host-gw 后端要求每个节点为其他每个节点各存一条路由；这里一条也没有。""",
)
def nodes(lab):
    for name, (address, network, gateway, pods, _) in NODES.items():
        node = lab.node(name)
        # The master has no pod, so nothing is plugged into its bridge.
        down = " linkdown" if name == "zenlin" else ""
        own = f"{pods} dev docker0 proto kernel scope link src {pods.removesuffix('0/24')}1{down}"
        node.run("ip route").expect_lines(
            [f"default via {gateway} dev eth0", f"{network} dev eth0 proto kernel scope link src {address}", own],
            Text(f"{name}: default route, own segment, own pods, and that is all", f"{name}：默认路由、本网段、本节点 Pod，仅此而已"),
        )
    node = lab.node(NODE1)
    node.run("ip -br link").lacks("flannel", Text("there is no flannel device", "没有 flannel 设备"))
    node.run("ip neigh show dev eth0").expect_match(
        r"\A10\.229\.52\.1 lladdr \S+ \S+\s*\Z", Text("its one neighbour is the router", "唯一的邻居是路由器")
    )
    node.run("cat /run/flannel/subnet.env").expect_lines(
        ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24", "FLANNEL_MTU=1500", "FLANNEL_IPMASQ=true"],
        Text("MTU 1500: nothing will be wrapped, so nothing is taken off", "MTU 1500：不封装，也就不用扣除"),
    )


@chapter.step(
    en="The lease is only a lease",
    zh="租约就只是租约",
    why_en="""The nodes agree about subnets in etcd as ever, but nobody reads what the others have published to find the way to them.
        That is why the value is as short as it can be.""",
    why_zh="""节点照旧在 etcd 里商定子网，但谁也不靠读别人公布的内容来找路，所以值短得不能再短。""",
)
def leases(lab):
    master = lab.node("zenlin")
    master.run("ETCDCTL_API=3 etcdctl get --print-value-only /coreos.com/network/config").expect_json(
        {"Backend": {"Type": "aws-vpc"}}, Text("the backend is aws-vpc", "后端是 aws-vpc")
    )
    expected = []
    for address, _, _, pods, _ in NODES.values():
        expected += [f"/coreos.com/network/subnets/{pods.replace('/', '-')}", f'{{"PublicIP":"{address}"}}']
    master.run("ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network/subnets").expect_lines(
        expected, Text("node addresses, without backend type or data", "只有节点地址，没有后端类型，也没有数据")
    )


@chapter.step(
    en="Who am I? The metadata service",
    zh="我是谁？元数据服务",
    why_en="""flanneld knows its own address but not what the cloud calls this machine. Every EC2 instance may ask at 169.254.169.254, and
        the answer depends on who asks. With the instance id, the EC2 API tells which network interface (ENI) has the node's address.
        A row of the route table leads to an ENI, not to an address.""",
    why_zh="""flanneld 知道自己的地址，却不知道云怎么称呼这台机器。每个 EC2 实例都可以去问 169.254.169.254，谁问，答的就是谁。
        有了实例 ID，再问 EC2 API 哪块弹性网卡（ENI）拥有节点的地址：路由表里的一行指向 ENI，而不是指向地址。""",
)
def metadata(lab):
    ids = []
    for name in NODES:
        shown = lab.node(name).run("curl -s http://169.254.169.254/latest/meta-data/instance-id")
        ids.append(shown.expect_match(r"\Ai-[0-9a-f]{17}\s*\Z", Text(f"{name} has an instance id", f"{name} 有实例 ID")).stdout)
    lab.expect_equal(Text("three different ones", "三个各不相同"), len(set(ids)), 3)
    lab.client().run("curl -s -m 2 http://169.254.169.254/latest/meta-data/instance-id").expect(
        "404", Text("the client is no instance of this cloud", "client 不是这个云里的实例")
    )
    log = lab.daemon(NODE1, "flanneld").log.read_text()
    lab.check(
        checks.matches(
            Text("flanneld's log: it found its network interface", "flanneld 的日志：找到了自己的网卡"), r"Found eni-\w+ that has 10\.229\.53\.146 IP"
        ),
        log,
    )
    lab.check(
        checks.matches(
            Text("flanneld's log: the table, and the row it added", "flanneld 的日志：找到路由表，加了一行"),
            r"Found route table rtb-(?s:.*)Route added to table rtb-\w+: 10\.244\.1\.0/24 - eni-",
        ),
        log,
    )


@chapter.step(
    en="The cloud's table, and the router that follows it",
    zh="云上的路由表，和照做的路由器",
    why_en="""Each flanneld has written one row, its own: this subnet is behind my network interface. The `local` row is the VPC itself. To
        the right of the table stands an ENI, so the second command says which ENI has which address. Put together, that is the route
        table of the router's kernel.

        (`aws ec2 describe-route-tables` asks the same question. The API answers in XML; grep and paste make lines of it.)""",
    why_zh="""每个 flanneld 只写了一行，就是自己那行：这个子网在我的网卡后面。`local` 那行是 VPC 本身。表的右边是 ENI，
        所以第二条命令列出哪个 ENI 对应哪个地址。两者合起来，正是路由器内核的路由表。

        （`aws ec2 describe-route-tables` 问的是同一件事。API 用 XML 作答，grep 和 paste 把它整理成行。）""",
)
def table(lab):
    router = lab.host("router")
    rows = dict(line.split() for line in router.run(TABLE).lines)
    cards = [line.split() for line in router.run(CARDS).lines]
    address = {card[0]: card[1] for card in cards}
    lab.expect_equal(Text("one local row, and one for each node", "一行 local，每个节点各一行"), len(rows), 1 + len(NODES))
    for name, (own, _, _, pods, _) in NODES.items():
        lab.expect_equal(Text(f"{pods} leads to {name}'s network interface", f"{pods} 指向 {name} 的网卡"), address.get(rows.get(pods)), own)
    lab.expect_equal(
        Text("source/destination check is off on all of them: flanneld did it", "三块网卡的源/目标检查都已关闭：flanneld 关的"),
        [card[3] for card in cards],
        ["false"] * len(NODES),
    )
    router.run("ip route show root 10.244.0.0/16").expect_lines(
        [f"{pods} via {own} dev {dev}" for own, _, _, pods, dev in NODES.values()],
        Text("the same three rows in the router's kernel", "路由器内核里是同样的三行"),
    )
