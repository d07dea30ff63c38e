"""Second chapter: the way of a packet, its size, and the address it bears."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .cluster import CLIENT, IP1, IP2, NODE1, POD1, POD2, WEB1_IP, WEB2, WEB2_IP

chapter = Chapter()


@chapter.step(
    en="Three hops, and nothing is wrapped",
    zh="三跳，没有封装",
    why_en="""A TTL of 1, 2, 3 makes each hop reveal itself: node 1, the router, node 2. Between the nodes the packet bears the pods'
        addresses; with udp the router saw only the nodes'. 64 - 3 = 61 is left of the TTL of a reply, as with aws-vpc.""",
    why_zh="""把 TTL 设为 1、2、3，每一跳就会依次现身：节点 1、路由器、节点 2。在节点之间，包上写的就是 Pod 的地址；
        用 udp 后端时，路由器只看得到节点的地址。应答的 TTL 剩下 64 − 3 = 61，和 aws-vpc 一样。""",
)
def hops(lab):
    pod = lab.pod(POD1)
    way = (
        ("10.244.1.1", Text("first hop: node 1, which answers from its bridge", "第一跳：节点 1，用网桥的地址应答")),
        ("10.229.52.1", Text("second hop: the router", "第二跳：路由器")),
        ("10.229.45.161", Text("third hop: node 2", "第三跳：节点 2")),
    )
    for number, (address, name) in enumerate(way, 1):
        pod.run(f"ping -c 1 -W 1 -t {number} {IP2}").expect(f"From {address} icmp_seq=1 Time to live exceeded", name)
    pod.run(f"ping -c 1 -W 1 {IP2}").expect("ttl=61", Text("and then the pod: TTL 64 - 3", "最后到达 Pod：TTL 64 − 3"))
    lab.pod(POD2).run(f"ping -c 1 -W 1 {IP1}").expect("ttl=61", Text("the other way too", "反方向也一样"))
    lab.host("router").run(f"ip route get {IP2} from {IP1} iif eth1").expect(
        "via 10.229.45.161 dev eth2", Text("what the router does with it: on to node 2", "路由器的处理：转给节点 2")
    )


@chapter.step(
    en="A full-size packet passes",
    zh="满尺寸的包可以通过",
    why_en="""1472 bytes of data and 28 of headers (IP 20, ICMP 8) make 1500, all that Ethernet carries. With udp a pod had to leave 28 bytes of
        that to flannel, with vxlan 50.""",
    why_zh="""1472 字节数据加 28 字节包头（IP 20、ICMP 8），正好是以太网的 1500。用 udp 后端时 Pod 要给 flannel 让出 28 字节，vxlan 要 50。""",
)
def size(lab):
    pod = lab.pod(POD1)
    pod.run(f"ping -c 1 -W 1 -M do -s 1472 {IP2}").expect("1480 bytes from", Text("1500 bytes with DF set arrive", "置了 DF 的 1500 字节能到"))
    too_long = pod.run(f"ping -c 1 -W 0.2 -M do -s 1473 {IP2} 2>&1")
    too_long.expect_match(
        "message too long,? mtu[:=] ?1500", Text("one byte more: the pod's own kernel refuses", "多一个字节：Pod 自己的内核就拒绝了")
    )
    pod.run(f"curl -s -m 3 -o /dev/null -w '%{{http_code}}\\n' http://{WEB2_IP}/").expect_lines(
        ["200"], Text("TCP from node 1 to node 2", "从节点 1 到节点 2 的 TCP")
    )
    lab.pod(POD2).run(f"curl -s -m 3 -o /dev/null -w '%{{http_code}}\\n' http://{WEB1_IP}/").expect_lines(["200"], Text("and back", "反方向的 TCP"))


@chapter.step(
    en="Masquerade: to the outside yes, from pod to pod no",
    zh="地址伪装：出集群要，Pod 之间不要",
    why_en="""The world outside has no way back to 10.244.0.0/16, and Google's gateway passes only addresses of instances. So what
        leaves the pod network bears the node's address: flannel's second rule. Its first rule lets packets from pod to pod go as they
        are. nginx's log and the node's connection table show both.""",
    why_zh="""外面的世界没有回到 10.244.0.0/16 的路，谷歌的网关也只放行实例自己的地址。所以离开 Pod 网络的包要换成节点地址，
        这是 flannel 的第二条规则；第一条规则让 Pod 之间的包保持原样。nginx 的日志和节点的连接跟踪表各证实一半。""",
)
def masquerade(lab):
    node, pod = lab.node(NODE1), lab.pod(POD1)
    node.run("iptables -t nat -S POSTROUTING | grep 10.244").expect_lines(
        [
            "-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
            "-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
            "-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN",
            "-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
        ],
        Text("flannel's four rules", "flannel 的四条规则"),
    )
    pod.run(f"curl -s -m 3 -o /dev/null 'http://{WEB2_IP}/?who'").expect_status()
    lab.pod(WEB2).run("grep '?who' /var/log/nginx/access.log | cut -d' ' -f1").expect_lines(
        [IP1], Text("the other pod sees the pod's address", "对方 Pod 看到的是 Pod 的地址")
    )
    pod.run(f"ping -c 1 -W 1 {CLIENT}").expect(" 0% packet loss", Text("a machine outside answers", "集群外的机器有应答"))
    node.run(f"conntrack -L -p icmp -s {IP1} -d {CLIENT}").expect(
        f"src={CLIENT} dst=10.229.53.146", Text("it answered the node: the source was replaced", "它应答的是节点：源地址已被替换")
    )
