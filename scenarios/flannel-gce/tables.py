"""First chapter: what the nodes do not have, and who has it instead."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import ABOUT, INSTANCES, NODE1, NODES, ROUTES

chapter = Chapter()


@chapter.step(
    en="The nodes know nothing of other nodes' pods",
    zh="节点不知道其他节点的 Pod 在哪里",
    why_en="""As with aws-vpc: no flannel device, no route to 10.244.0.0/16. A packet for a pod elsewhere takes the default route to the
        router.""",
    why_zh="""和 aws-vpc 一样：没有 flannel 设备，没有通往 10.244.0.0/16 的路由。发往别处 Pod 的包走默认路由，交给路由器。""",
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
        Text("MTU 1500: nothing will be wrapped", "MTU 1500：不会封装"),
    )
    lab.say(
        en="Google's real networks had an MTU of 1460 for a long time; flannel takes whatever the node's eth0 has, 1500 here.",
        zh="谷歌真实的网络长期以来 MTU 是 1460；flannel 直接采用节点 eth0 的 MTU，这里是 1500。",
    )


@chapter.step(
    en="The lease is only a lease",
    zh="租约就只是租约",
    why_en="""The nodes agree about subnets in etcd; the way to them stands elsewhere. So the lease holds the node's address and nothing more.""",
    why_zh="""节点在 etcd 里商定子网，通往子网的路记在别处，所以租约里只有节点地址，别无其他。""",
)
def leases(lab):
    expected = []
    for address, _, _, pods, _ in NODES.values():
        expected += [f"/coreos.com/network/subnets/{pods.replace('/', '-')}", f'{{"PublicIP":"{address}"}}']
    lab.node("zenlin").run("ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network/subnets").expect_lines(
        expected, Text("node addresses, without backend type or data", "只有节点地址，没有后端类型，也没有数据")
    )


@chapter.step(
    en="Who am I? The metadata service",
    zh="我是谁？元数据服务",
    why_en="""The same address as at Amazon, 169.254.169.254, but other paths, and a header that is easy to forget: Google answers only who
        says `Metadata-Flavor: Google`, so that a web application which can be tricked into fetching a URL gives nothing away. flanneld
        asks for project, network, zone and name.""",
    why_zh="""地址和亚马逊的一样，是 169.254.169.254，但路径不同，还要带一个容易忘的请求头：不写 `Metadata-Flavor: Google`，谷歌就不答。
        这样，被人骗去抓取某个 URL 的网页应用就不会泄密。flanneld 要问的是项目、网络、区域（zone）和实例名。""",
)
def metadata(lab):
    for name in NODES:
        lab.node(name).run(f"{ABOUT}/instance/name; echo").expect_lines([name], Text(f"{name} learns its name", f"{name} 得知自己的名字"))
    node = lab.node(NODE1)
    node.run(f"{ABOUT}/project/project-id; echo").expect_lines(["lab"], Text("the project", "项目"))
    node.run(f"{ABOUT}/instance/zone; echo").expect("/zones/us-central1-a", Text("the zone", "区域"))
    node.run("curl -s http://169.254.169.254/computeMetadata/v1/instance/name").expect(
        "403", Text("without the header: forbidden", "不带这个请求头：禁止访问")
    )


@chapter.step(
    en="The project's routes, and the router that follows them",
    zh="项目的路由，和照做的路由器",
    why_en="""Each flanneld has inserted one route. A name may have letters, digits and dashes, so 10.244.1.0/24 became flannel-10-244-1-0-24.
        The next hop is an instance, by its link. At Amazon a row leads to a network interface and has no name. Beside flannel's there are
        the routes that every project has: to the internet, and to the network's own machines.

        (`gcloud compute routes list` asks the same question.)""",
    why_zh="""每个 flanneld 各插入了一条路由。名字里只能有字母、数字和连字符，于是 10.244.1.0/24 成了 flannel-10-244-1-0-24。下一跳是一个实例，
        用它的链接表示；在亚马逊那里，一行指向一块网卡，而且没有名字。除了 flannel 的路由，还有每个项目都有的：
        一条去互联网，一条去网络自己的机器。

        （`gcloud compute routes list` 问的是同一件事。）""",
)
def table(lab):
    router = lab.host("router")
    shown = router.run(f"curl -s {ROUTES} | grep -E '\"(name|destRange|priority|nextHop[A-Z][a-z]+)\"'")
    shown.expect_match(r'"destRange": "0\.0\.0\.0/0"', Text("the way to the internet", "去互联网的路由"))
    for name, (_, _, _, pods, _) in NODES.items():
        route = f"flannel-{pods.replace('.', '-').replace('/', '-')}"
        router.run(f"curl -s {ROUTES}/{route}").expect_json(
            {"name": route, "destRange": pods, "priority": 1000, "nextHopInstance": f"{INSTANCES}/{name}", "tags": []},
            Text(f"{route} leads to {name}", f"{route} 指向 {name}"),
        )
    router.run("ip route show root 10.244.0.0/16").expect_lines(
        [f"{pods} via {own} dev {dev}" for own, _, _, pods, dev in NODES.values()],
        Text("the same three routes in the router's kernel", "路由器内核里是同样的三条路由"),
    )


@chapter.step(
    en="A change is an operation",
    zh="修改是一项操作",
    why_en="""Amazon's CreateRoute is done when it answers. Google answers at once with an operation, which runs; the caller looks at it until
        it is DONE. flanneld looks up to a hundred times, once a second (in the lab the first looks follow each other faster).""",
    why_zh="""亚马逊的 CreateRoute 回答时就已经完成。谷歌则立刻返回一项正在运行的操作，调用者自己反复查看，直到它变成 DONE。
        flanneld 每秒看一次，最多一百次（本实验里，前几次看得更勤）。""",
)
def operations(lab):
    log = lab.daemon(NODE1, "flanneld").log.read_text()
    lab.check(
        checks.matches(
            Text("flanneld's log: it inserts the route and waits", "flanneld 的日志：插入路由，然后等待"),
            r"Inserting route for subnet: 10\.244\.1\.0/24\n.*insert operation status: (RUNNING|DONE) waiting for completion\.\.\.",
        ),
        log,
    )
    operation = lab.host("router").run(f"curl -s {ROUTES.removesuffix('routes')}operations/operation-0001")
    operation.expect_json({"operationType": "insert", "status": "DONE"}, Text("the first operation of this project", "这个项目的第一项操作"))
