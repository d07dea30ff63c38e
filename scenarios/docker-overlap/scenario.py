"""What the article says of docker alone: every node gives the same addresses, so an address means nothing in the cluster."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

NODES = {  # name: (address, network, gateway)
    "zenlin": ("10.229.43.65", "10.229.42.0", "10.229.42.1"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.0", "10.229.52.1"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.0", "10.229.44.1"),
}
WEB, SHELL, THIRD = "172.17.0.2", "172.17.0.3", "172.17.0.4"
VIP = "10.96.0.80"
CLIENT = "192.168.88.10"
PODS = {"web-node1": WEB, "web-node2": WEB, "shell-node1": SHELL, "shell-node2": SHELL, "third-node2": THIRD}

scenario = Scenario(
    lab_only=Text("it needs machines that run docker alone", "需要只运行 docker 的机器"),
    title=Text("docker alone: one address, many pods", "只有 docker：一个地址，多个 Pod"),
    topology="docker-alone",
    manifests=["pods.yaml"],
    # A node's pods start side by side, so which is first is chance; the text wants the web server first.
    pins=[Pin(name, address=address) for name, address in PODS.items()],
    intro=Text(
        "Why does a cluster need flannel at all? Here are the article's machines without it. Each node's docker gives its pods "
        "addresses and does it well, for that node. Between the nodes nobody has agreed on anything: see what comes of it.",
        "集群为什么需要 flannel？这里是文章里的那几台机器，只是没有 flannel。每个节点上的 docker 给自己的 Pod 分配地址，"
        "单看一个节点，一切正常；可是节点之间没有任何约定。来看看会发生什么。",
    ),
)


@scenario.step(
    en="Every node has the same docker0",
    zh="每个节点的 docker0 都一样",
    why_en="""docker makes a bridge on its machine and, unless somebody names another range, takes 172.17.0.1/16 for it. It does not know
        that there are other machines, so it does the same on each of them.""",
    why_zh="""docker 在自己的机器上建一个网桥，没人指定网段时就用 172.17.0.1/16。它不知道还有别的机器，
        所以每台机器上都是这一套。""",
)
def bridges(lab):
    for name in NODES:
        lab.node(name).run("ip -4 -o address show dev docker0").expect(
            "inet 172.17.0.1/16", Text(f"docker0 of {name}: docker's default", f"{name} 的 docker0：docker 的默认地址")
        )
    _, network, gateway = NODES["zenlinnode1"]
    rows = (
        ("0.0.0.0", gateway, "0.0.0.0", "UG", "eth0"),
        (network, "0.0.0.0", "255.255.254.0", "U", "eth0"),
        ("172.17.0.0", "0.0.0.0", "255.255.0.0", "U", "docker0"),
    )
    head = ["Kernel IP routing table", "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"]
    lab.node("zenlinnode1").run("route -n").expect_lines(
        head + [f"{to:<15} {via:<15} {mask:<15} {flags:<5} 0      0        0 {dev}" for to, via, mask, flags, dev in rows],
        Text("its pods are behind docker0, and no route leads to the pods of others", "自己的 Pod 在 docker0 后面；没有去往别的节点上 Pod 的路由"),
    )
    lab.node("zenlin").run("ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network").expect_lines(
        [], Text("etcd knows of no subnets: nobody has shared anything out", "etcd 里没有子网记录：没有人分配过网段")
    )


@scenario.step(
    en="Two pods, two nodes, one address",
    zh="两个 Pod，两个节点，同一个地址",
    why_en="""The first pod of a node gets 172.17.0.2, the next one 172.17.0.3, and so on. Each docker keeps the books for its own node
        only, and both books are right.""",
    why_zh="""节点上的第一个 Pod 得到 172.17.0.2，下一个得到 172.17.0.3，依此类推。每个 docker 只记自己节点的账，两本账都没有错。""",
)
def addresses(lab):
    for name, address in PODS.items():
        lab.pod(name).run("ip -4 -o address show dev eth0").expect(f"inet {address}/16", Text(f"{name} is {address}", f"{name} 的地址是 {address}"))
    lab.say(
        en="172.17.0.2 is the address of two pods now. Where does a packet for it go? That depends on the node that you ask.",
        zh="现在 172.17.0.2 是两个 Pod。要问“这个包会到哪里”，就得先问“站在哪个节点上看”。",
    )


@scenario.step(
    en="On one node the pods talk",
    zh="同一个节点上，Pod 互通",
    why_en="""This is what docker promises, and it holds: pods of one node hang on one bridge, which switches their frames like any
        Ethernet switch. The TTL is still 64, for nobody has routed the packet.""",
    why_zh="""docker 承诺的就是这个，也确实做到了：同一节点的 Pod 接在同一个网桥上，网桥像普通以太网交换机那样转发帧。
        TTL 仍是 64，因为没有经过路由。""",
)
def inside(lab):
    for number in (1, 2):
        pod = lab.pod(f"shell-node{number}")
        pod.run(f"ping -c 1 -W 1 {WEB}").expect("ttl=64", Text("a neighbour, no hop between", "邻居，中间没有路由"))
        pod.run(f"curl -s -m 2 http://{WEB}/").expect(
            f"pod: web-node{number}", Text(f"the pod of node {number} answers", f"节点 {number} 上的 Pod 应答")
        )


@scenario.step(
    en="The same address, two answers",
    zh="同一个地址，两种应答",
    why_en="""Suppose that shell-node1 has learnt that a web server runs in web-node2 at 172.17.0.2, and dials it. Its node has a
        172.17.0.2 of its own, one port of the bridge away. So the connection comes about, with the wrong pod, and nothing anywhere
        reports an error. That is worse than no answer.""",
    why_zh="""假设 shell-node1 听说 web-node2 里有个网站，地址是 172.17.0.2，于是去访问。它所在的节点自己就有一个 172.17.0.2，
        就在网桥的另一个端口上。结果连接建立了，对方却是另一个 Pod，而且哪里都不报错。这比没有应答更糟。""",
)
def wrong_pod(lab):
    with lab.capture([("shell-node1", "eth0"), ("zenlinnode1", "eth0")]) as seen:
        lab.pod("shell-node1").run(f"curl -s -m 2 http://{WEB}/").expect(
            "pod: web-node1", Text("it meant web-node2, and web-node1 answered", "想找的是 web-node2，应答的却是 web-node1")
        )
    found = packets_to(seen, WEB)
    lab.show_packets(
        found[:3],
        en="The first packets to 172.17.0.2, looked for at the pod's eth0 and at the node's",
        zh="发往 172.17.0.2 的前几个包（同时在 Pod 的 eth0 和节点的 eth0 上抓取）",
    )
    places = sorted({str(sighting.place) for sighting in found})
    lab.expect_equal(Text("seen at the pod, none left the node", "只在 Pod 上看到，没有一个离开节点"), places, ["shell-node1 eth0"])
    for number in (1, 2):
        lab.node(f"zenlinnode{number}").run(f"curl -s -m 2 http://{WEB}/").expect(
            f"pod: web-node{number}", Text(f"asked from node {number}: its own pod", f"从节点 {number} 访问：是它自己的 Pod")
        )


@scenario.step(
    en="An address that only the other node has",
    zh="只有对方节点才有的地址",
    why_en="""172.17.0.4 exists on node 2 alone. For a pod of node 1 it lies in its own network, 172.17.0.0/16, so it does not even ask
        a router: it asks its neighbours for the MAC, on the bridge, and the question never leaves the node. Somebody could add routes by
        hand, but a route for what? The same /16 is everywhere.""",
    why_zh="""172.17.0.4 只存在于节点 2。在节点 1 的 Pod 看来，这个地址就在自己的网段 172.17.0.0/16 里，根本不用找路由器，
        只需在网桥上问邻居要 MAC 地址，而这个询问出不了节点。能不能手工加路由？可是往哪里加呢：到处都是同一个 /16。""",
)
def nobody(lab):
    lab.pod("shell-node2").run(f"ping -c 1 -W 1 {THIRD}").expect("ttl=64", Text("on node 2 it answers", "在节点 2 上，它有应答"))
    with lab.capture([("zenlinnode1", "docker0"), ("zenlinnode1", "eth0"), ("zenlinnode2", "docker0")]) as seen:
        lab.pod("shell-node1").run(f"ping -c 1 -W 0.3 {THIRD}").expect_status(1, name=Text("on node 1 nobody does", "在节点 1 上，无人应答"))
    asked = [sighting for sighting in seen.sightings if sighting.packet.arp and str(sighting.packet.arp.target) == THIRD]
    lab.show_packets(
        asked,
        en="Questions for 172.17.0.4, looked for at docker0 and eth0 of node 1 and at docker0 of node 2",
        zh="对 172.17.0.4 的询问（同时在节点 1 的 docker0、eth0 和节点 2 的 docker0 上抓取）",
    )
    lab.expect_equal(
        Text("the question reached node 1's bridge and nothing else", "询问只到了节点 1 的网桥"),
        sorted({str(sighting.place) for sighting in asked}),
        ["zenlinnode1 docker0"],
    )


@scenario.step(
    en="A service cannot repair it",
    zh="Service 也补救不了",
    why_en="""A service with both web pods behind it has two endpoints, and both are 172.17.0.2:80. So kube-proxy writes two choices with
        one chain name, which hashes the address, and whatever the dice say, the packet goes to the node's own 172.17.0.2. On a node
        without such a pod it goes nowhere.""",
    why_zh="""一个 Service 后面放上两个 web Pod，就有两个端点，但都是 172.17.0.2:80。链名是由地址散列出来的，
        所以 kube-proxy 写出的两个选项指向同一条链；不管怎么掷骰子，包都去了本节点的 172.17.0.2。没有这个 Pod 的节点上，就哪里也去不了。""",
)
def service(lab):
    for number in (1, 2):
        answers = lab.pod(f"shell-node{number}").run(f"curl -s -m 5 -H 'Connection: close' 'http://{VIP}/?[1-12]' | grep '^pod: ' | sort | uniq -c")
        lab.expect_equal(
            Text(f"12 connections from node {number}: all to its own pod", f"从节点 {number} 发起 12 个连接：全到了自己的 Pod"),
            [line.strip() for line in answers.lines],
            [f"12 pod: web-node{number}"],
        )
    master = lab.node("zenlin")
    chains = master.run("iptables-save -t nat | grep -e 'default/web:.*-j KUBE-SEP-' | grep -o 'KUBE-SEP-.*$' | sort | uniq -c")
    lab.expect_equal(Text("two choices, one chain", "两个选项，同一条链"), [line.split()[0] for line in chains.lines], ["2"])
    master.run(f"curl -sS -m 0.3 http://{VIP}/").expect_status(
        7, 28, name=Text("from the master, which has no pods, no connection at all", "master 上没有 Pod，完全连不上")
    )


@scenario.step(
    en="The way out: as the node, and only outwards",
    zh="出去可以：以节点的身份，而且只能出去",
    why_en="""A packet to the outside world must bear a source address to which an answer can be sent, and outside of the node nobody knows
        172.17.0.2. So docker masquerades whatever leaves by another interface than docker0. The client sees two nodes, and cannot begin a
        connection itself: to which 172.17.0.2? That is why people published ports on the nodes, and then had to keep the books of ports.""",
    why_zh="""发往外部的包必须带一个回得来的源地址，而 172.17.0.2 不行。所以凡是不从 docker0 出去的包，docker 都做地址伪装。
        客户端看到的是两个节点，而且无法主动发起连接：连哪一个 172.17.0.2 呢？因此那时的做法是把端口发布到节点上，
        不用记地址的账了，却要记端口的账。""",
)
def outside(lab):
    lab.node("zenlinnode1").run("iptables -t nat -S POSTROUTING").expect_match(
        r"^-A POSTROUTING -s 172\.17\.0\.0/16 ! -o docker0 -j MASQUERADE$", Text("docker's own rule", "docker 自己的规则")
    )
    for number in (1, 2):
        node = f"zenlinnode{number}"
        with lab.capture([(f"web-node{number}", "eth0"), (node, "eth0"), ("client", "eth0")]) as seen:
            lab.pod(f"web-node{number}").run(f"ping -c 1 -W 1 {CLIENT}").expect(" 0% packet loss", Text("the client answers", "客户端有应答"))
        found = packets_to(seen, CLIENT)
        lab.show_packets(found, en=f"The request of web-node{number}, from the pod to the client", zh=f"web-node{number} 的请求，从 Pod 到客户端")
        lab.expect_equal(
            Text(f"the pod's address in the node, node {number}'s from there on", f"到节点之前是 Pod 的地址，出了节点就是节点 {number} 的地址"),
            [str(sighting.packet.ip.source) for sighting in found],
            [WEB, NODES[node][0], NODES[node][0]],
        )
    lab.client().run(f"ping -c 1 -W 0.3 {WEB}").expect_status(1, name=Text("the other way round there is no way", "反过来就没有路"))
    lab.say(
        en="Two things are missing: a range of its own for each node, and somebody who carries packets between the nodes. flannel does both: "
        "`lab run flannel-udp` goes on from here.",
        zh="缺的是两样东西：每个节点要有自己的网段，还要有人在节点之间运送包。flannel 做的正是这两件事：接下来请看 `lab run flannel-udp`。",
    )


def packets_to(seen, address):
    """The sightings of IP packets to an address."""
    return [sighting for sighting in seen.sightings if sighting.packet.ip and str(sighting.packet.ip.destination) == address]
