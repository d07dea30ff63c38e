"""Second chapter: what packets go through, how large they may be, and what the machines between the nodes see of them."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import CLIENT, IP1, IP2, NODES, NOTHING_LOST, POD1, POD2, WEB1, WEB1_IP, WEB2, WEB2_IP

chapter = Chapter()
SIZE = 4 << 20
WIRE = [  # what the router counts on the way, and what it shall have counted after one ping: (rule, packets, bytes)
    ("-s 10.229.53.146/32 -d 10.229.45.161/32 -p udp -m udp --dport 8472", 1, 134),
    ("-s 10.229.45.161/32 -d 10.229.53.146/32 -p udp -m udp --dport 8472", 1, 134),
    ("-d 10.244.0.0/16", 0, 0),
]


@chapter.step(
    en="Pod to pod across nodes: ttl=62",
    zh="跨节点的 Pod 互访：ttl=62",
    why_en="""The reply starts at its pod with TTL 64. Node 2 routes it from docker0 to flannel.1, node 1 from flannel.1 to docker0, and each
        takes off 1. Wrapping and unwrapping is done by the device, which is no hop and leaves the packet as it is. With udp 60 is left:
        there flanneld takes off one more on either side, and every packet goes from the kernel up to a process and back, twice.""",
    why_zh="""回包从对端 Pod 出发时 TTL 是 64。节点 2 把它从 docker0 转发到 flannel.1，节点 1 再从 flannel.1 转发到 docker0，各减 1。
        封装和解封由设备完成，设备不算一跳，也不改动包。udp 后端只剩 60：两侧的 flanneld 各多减 1，
        而且每个包都要从内核上到进程再回到内核，来回两趟。""",
)
def ttl(lab):
    pod = lab.pod(POD1)
    pod.run(f"ping -c 2 -i 0.1 -W 1 {IP2}").expect(
        "ttl=62", Text("across nodes two hops route the reply", "跨节点时，回包经过 2 次路由")
    ).expect(" 0% packet loss", NOTHING_LOST)
    pod.run(f"ping -c 1 -W 1 {WEB1_IP}").expect(
        "ttl=64", Text("on one node none does: the bridge only switches", "同一节点内没有路由：网桥只做二层交换")
    )
    lab.node("zenlinnode1").run("ss -Hlunp 'sport = :8472'").expect(
        ":8472", Text("port 8472 is open on the node", "节点上 8472 端口是开着的")
    ).lacks("users:", Text("and no process has it: the kernel listens itself", "但不属于任何进程：是内核自己在监听"))


@chapter.step(
    en="The largest packet: 1450 bytes",
    zh="最大的包：1450 字节",
    why_en="""ping -s counts what follows the IP header (20 bytes) and the ICMP header (8), so 1422 makes a packet of 1450. -M do
        forbids to cut it in pieces. A pod whose eth0 says 1450 does not even send more. If somebody sets the pod's MTU to 1500, the packet
        gets as far as the node, and the node answers with the ICMP message “Frag needed” and the size that fits. Where a firewall swallows
        that message, small requests go through and large answers hang: the best known trouble of overlay networks.""",
    why_zh="""ping -s 指的是 IP 头（20 字节）和 ICMP 头（8 字节）之后的长度，所以 1422 对应 1450 字节的包；-M do 表示不许分片。
        eth0 的 MTU 为 1450 的 Pod 根本不会发出更大的包。如果有人把 Pod 的 MTU 改成 1500，包就会走到节点，
        由节点用 ICMP 报文“Frag needed”回答，并告知能通过的大小。如果防火墙吞掉了这个报文，小请求正常、大响应卡死：
        这是 overlay 网络最出名的故障。""",
)
def mtu(lab):
    pod, node = lab.pod(POD1), lab.node("zenlinnode1")
    pod.run(f"ping -c 1 -W 1 -M do -s 1422 {IP2}").expect(" 0% packet loss", Text("1450 bytes pass", "1450 字节可以通过"))
    small = pod.run(f"ping -c 1 -W 1 -M do -s 1423 {IP2}").expect_status(1, name=Text("1451 do not", "1451 字节不行"))
    small.judge(checks.matches(Text("the pod itself refuses: its MTU is 1450", "Pod 自己就拒绝了：它的 MTU 是 1450"), "mtu.?.?1450"), small.stderr)
    port = node.run("ip -o link show master docker0 | grep -o 'veth[0-9a-f]*'").lines
    try:
        pod.run("ip link set eth0 mtu 1500").expect_status(name=Text("a wrong MTU in the pod", "Pod 的 MTU 配错"))
        for name in port:
            node.run(f"ip link set {name} mtu 1500").expect_status(name=Text("and at the wire's other end", "线的另一端也一样"))
        pod.run(f"ping -c 1 -W 1 -M do -s 1423 {IP2}").expect_match(
            r"From 10\.244\.1\.1 .*Frag needed and DF set \(mtu = 1450\)",
            Text("now the node answers: at most 1450", "这次由节点回答：最多 1450"),
        )
        pod.run(f"ip route get {IP2}").expect("mtu 1450", Text("the pod remembers it for this destination", "Pod 为这个目的地记住了它"))
    finally:
        for name in port:
            node.run(f"ip link set {name} mtu 1450").expect_status()
        pod.run("ip link set eth0 mtu 1450 && ip route flush cache").expect_status(name=Text("set right again", "改回来"))


@chapter.step(
    en="What the router sees: UDP to port 8472",
    zh="路由器看到的：发往 8472 端口的 UDP",
    why_en="""The router counts three kinds of packets: UDP to port 8472 from node 1 to node 2, the same the other way, and anything
        addressed to a pod. One ping is a packet of 84 bytes each way. With VXLAN's 50 around it, that makes 134. Of the pods
        the router sees nothing: it needs no route to them, and a firewall on the way has to let this port through.""",
    why_zh="""让路由器数三类包：节点 1 到节点 2、发往 8472 端口的 UDP；反方向的同类包；以及目的地址是 Pod 的包。
        一次 ping 来回各一个包，每个 84 字节，加上 VXLAN 的 50 字节就是 134。路由器看不到 Pod：
        它不需要通往 Pod 的路由，而路上的防火墙要放行的就是这个端口。""",
)
def wire(lab):
    router = lab.host("router")
    try:
        for rule, _, _ in WIRE:
            router.run(f"iptables -A FORWARD {rule}").expect_status()
        lab.pod(POD1).run(f"ping -c 1 -W 1 {IP2}").expect(" 0% packet loss", NOTHING_LOST)
        router.run("iptables-save -c -t filter | grep -e '-A FORWARD'").expect_lines(
            [f"[{packets}:{size}] -A FORWARD {rule}" for rule, packets, size in WIRE],
            Text("one datagram of 134 bytes each way, and no packet for a pod", "来回各一个 134 字节的数据报，没有发往 Pod 的包"),
        )
    finally:
        router.run("iptables -F FORWARD").expect_status()


@chapter.step(
    en="Four megabytes each way, byte for byte",
    zh="两个方向各传 4 MB，逐字节核对",
    why_en="""A stream fills every packet up to the MTU and loads the path as a ping never does. The file's fingerprint (SHA-256) says that
        all of it has come, and unchanged.""",
    why_zh="""TCP 流会把每个包填到 MTU 的上限，这是 ping 做不到的。对比文件的指纹（SHA-256），就知道内容是否完整、是否被改动。""",
)
def transfer(lab):
    for pod, server, address in ((POD1, WEB2, WEB2_IP), (POD2, WEB1, WEB1_IP)):
        made = lab.pod(server).run(f"head -c {SIZE} /dev/urandom > /run/nginx/html/file && sha256sum < /run/nginx/html/file")
        lab.pod(pod).run(f"curl -s -m 20 -w '%{{size_download}}\\n' -o /run/file http://{address}/file", timeout=30).expect_lines(
            [str(SIZE)], Text(f"all bytes from {server}", f"从 {server} 收到全部字节")
        )
        lab.pod(pod).run("sha256sum < /run/file").expect_lines(made.lines, Text("the same fingerprint", "指纹相同"))


@chapter.step(
    en="Who is it for the other side? Pods keep their address, outside they bear the node's",
    zh="对方看到的是谁？集群内保留 Pod 地址，到外面换成节点地址",
    why_en="""flanneld ran with --ip-masq and wrote these rules. From pod to pod nothing is changed. A packet that leaves the pod network
        gets the address of its node, because nobody out there knows the way to a pod: without it, no reply would come back.""",
    why_zh="""flanneld 带 --ip-masq 运行，写下了这些规则。Pod 到 Pod 的包不做改动。离开 Pod 网络的包，源地址换成所在节点的地址，
        因为外面没有人知道通往 Pod 的路；不这样做，回包就回不来。""",
)
def masquerade(lab):
    node, pod, client = lab.node("zenlinnode1"), lab.pod(POD1), lab.client()
    node.run("iptables -t nat -S POSTROUTING | grep 10.244").expect_lines(
        [
            "-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
            "-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
            "-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN",
            "-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
        ],
        Text("flannel's four rules", "flannel 的四条规则"),
    )
    pod.run(f"curl -s -m 5 -o /dev/null 'http://{WEB2_IP}/?who'").expect_status(name=Text("a pod of node 2 answers", "节点 2 的 Pod 有应答"))
    lab.pod(WEB2).run("grep '?who' /var/log/nginx/access.log | cut -d' ' -f1 | sort -u").expect_lines(
        [IP1], Text("it saw the pod's own address", "它看到的是 Pod 自己的地址")
    )
    rules = [f"-s {NODES['zenlinnode1'][0]}/32 -p icmp", "-s 10.244.0.0/16"]
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
