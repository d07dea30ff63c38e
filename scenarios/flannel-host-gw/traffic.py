"""Second chapter: what packets go through, and what is on the wire."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import CLIENT, NODES, NOTHING_LOST, POD1, POD2, WEB1, WEB2, address

chapter = Chapter()
SIZE = 4 << 20


@chapter.step(
    en="Pod to pod across nodes: ttl=62",
    zh="跨节点的 Pod 互访：ttl=62",
    why_en="""Two machines route the reply: node 3 from its bridge to the wire, node 2 from the wire to its bridge. That is as few as it can be,
        and as many as vxlan shows, where wrapping costs no hop. With udp the two flanneld take off one more each, and 60 is left.""",
    why_zh="""回包经过两台机器的路由：节点 3 从网桥到网线，节点 2 从网线到网桥。不可能更少了；vxlan 的封装不算一跳，所以也是 62。
        udp 后端还有两个 flanneld 各减 1，只剩 60。""",
)
def ttl(lab):
    pod = lab.pod(POD1)
    pod.run(f"ping -c 2 -i 0.1 -W 1 {address(lab, POD2)}").expect(
        "ttl=62", Text("across nodes two hops route the reply", "跨节点时，回包经过 2 次路由")
    ).expect(" 0% packet loss", NOTHING_LOST)
    pod.run(f"ping -c 1 -W 1 {address(lab, WEB1)}").expect(
        "ttl=64", Text("on one node none does: the bridge only switches", "同一节点内没有路由：网桥只做二层交换")
    )


@chapter.step(
    en="The whole 1500 bytes",
    zh="完整的 1500 字节",
    why_en="""Nothing is put in front of a packet, so a pod may fill it as a node may: 1472 bytes of data, 8 of ICMP, 20 of IP. udp leaves
        1472 in all, vxlan 1450.""",
    why_zh="""包前面什么也不加，所以 Pod 和节点一样可以用满：1472 字节数据、8 字节 ICMP 头、20 字节 IP 头。
        udp 后端的 MTU 只有 1472，vxlan 只有 1450。""",
)
def mtu(lab):
    pod = lab.pod(POD1)
    pod.run("ip link show dev eth0").expect(" mtu 1500 ", Text("the pod's MTU is that of the wire", "Pod 的 MTU 就是网线的 MTU"))
    pod.run(f"ping -c 1 -W 1 -M do -s 1472 {address(lab, POD2)}").expect(" 0% packet loss", Text("1500 bytes pass", "1500 字节可以通过"))
    large = pod.run(f"ping -c 1 -W 1 -M do -s 1473 {address(lab, POD2)}").expect_status(1, name=Text("1501 do not", "1501 字节不行"))
    large.judge(checks.contains(Text("the pod itself refuses", "Pod 自己就拒绝了"), "message too long"), large.stderr)


@chapter.step(
    en="On the wire: the bare packet",
    zh="网线上：就是原样的包",
    why_en="""Node 3 counts what comes in by its network card. A ping of 84 bytes arrives as 84 bytes, from pod to pod, with nothing around
        it; only the frame is addressed to node 3. Whatever stands between the nodes has to let such packets pass: a cloud's network, which
        knows the nodes' addresses and no others, will often drop them.""",
    why_zh="""让节点 3 数从网卡进来的包。84 字节的 ping 到达时还是 84 字节，从 Pod 到 Pod，外面什么也没有；只有帧是写给节点 3 的。
        所以节点之间的网络必须放行这样的包：云平台的网络只认识节点自己的地址，往往会把它们丢掉。""",
)
def wire(lab):
    node = lab.node("node3")
    rules = [f"-s {address(lab, POD1)}/32 -d {address(lab, POD2)}/32 -i eth0 -p icmp", "-i eth0 -p udp -m udp --dport 8285"]
    rules.append("-i eth0 -p udp -m udp --dport 8472")
    try:
        for rule in rules:
            node.run(f"iptables -t mangle -A PREROUTING {rule}").expect_status()
        lab.pod(POD1).run(f"ping -c 1 -W 1 {address(lab, POD2)}").expect(" 0% packet loss", NOTHING_LOST)
        node.run("iptables-save -c -t mangle | grep -e '-A PREROUTING'").expect_lines(
            [f"[{count}] -A PREROUTING {rule}" for rule, count in zip(rules, ("1:84", "0:0", "0:0"), strict=True)],
            Text("the pod's packet as it is, and nothing of udp's or vxlan's port", "原样的 Pod 包；udp 和 vxlan 的端口上什么也没有"),
        )
    finally:
        node.run("iptables -t mangle -F PREROUTING").expect_status()
    lab.node("node2").run(f"ip neigh show {NODES['node3']}").expect(
        "lladdr", Text("the frame goes to node 3's MAC address, found by ARP", "帧发往节点 3 的 MAC 地址，由 ARP 得来")
    )


@chapter.step(
    en="Four megabytes each way, byte for byte",
    zh="两个方向各传 4 MB，逐字节核对",
    why_en="""A stream fills every packet up to the MTU and loads the path as a ping never does. The file's fingerprint (SHA-256) says that
        all of it has come, and unchanged.""",
    why_zh="""TCP 流会把每个包填到 MTU 的上限，这是 ping 做不到的。对比文件的指纹（SHA-256），就知道内容是否完整、是否被改动。""",
)
def transfer(lab):
    for pod, server in ((POD1, WEB2), (POD2, WEB1)):
        made = lab.pod(server).run(f"head -c {SIZE} /dev/urandom > /run/nginx/html/file && sha256sum < /run/nginx/html/file")
        url = f"http://{address(lab, server)}/file"
        lab.pod(pod).run(f"curl -s -m 20 -w '%{{size_download}}\\n' -o /run/file {url}", timeout=30).expect_lines(
            [str(SIZE)], Text(f"all bytes from {server}", f"从 {server} 收到全部字节")
        )
        lab.pod(pod).run("sha256sum < /run/file").expect_lines(made.lines, Text("the same fingerprint", "指纹相同"))


@chapter.step(
    en="Pods keep their address, outside they bear the node's",
    zh="集群内保留 Pod 地址，到外面换成节点地址",
    why_en="""Between pods nothing is changed, here as with the other backends. What leaves the pod network gets its node's address by
        flannel's MASQUERADE rule: the router knows this segment, but no pod.""",
    why_zh="""与其他后端一样，Pod 之间的包不做改动。离开 Pod 网络的包，由 flannel 的 MASQUERADE 规则换成所在节点的地址：
        路由器认识这个网段，但不认识任何 Pod。""",
)
def masquerade(lab):
    pod, client = lab.pod(POD1), lab.client()
    url = f"http://{address(lab, WEB2)}/?who"
    pod.run(f"curl -s -m 5 -o /dev/null '{url}'").expect_status(name=Text("a pod of node 3 answers", "节点 3 的 Pod 有应答"))
    lab.pod(WEB2).run("grep '?who' /var/log/nginx/access.log | cut -d' ' -f1 | sort -u").expect_lines(
        [address(lab, POD1)], Text("it saw the pod's own address", "它看到的是 Pod 自己的地址")
    )
    rules = [f"-s {NODES['node2']}/32 -p icmp", "-s 10.244.0.0/16"]
    try:
        for rule in rules:
            client.run(f"iptables -A INPUT {rule}").expect_status()
        pod.run(f"ping -c 1 -W 1 {CLIENT}").expect(" 0% packet loss", Text("a machine outside answers", "集群外的机器有应答"))
        client.run("iptables-save -c -t filter | grep -e '-A INPUT'").expect_lines(
            [f"[1:84] -A INPUT {rules[0]}", f"[0:0] -A INPUT {rules[1]}"],
            Text("it saw the node's address, and no pod's", "它看到的是节点的地址，没有 Pod 地址"),
        )
    finally:
        client.run("iptables -F INPUT").expect_status()
