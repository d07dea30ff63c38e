"""The article's walkthrough on real parts: three networks, eight rules, and what they do to packets.

Names, addresses and expected lines are the article's. Where the article and the real systems part, a step says so.
"""

from __future__ import annotations

import base64
import hashlib
import re

from lab.scenario import Pin, Scenario, Text, checks

POD1, IP1 = "nginx-deployment-1885164871-dzls7", "10.244.1.53"
POD2, IP2 = "nginx-deployment-1885164871-q37zh", "10.244.2.199"
VIP = "10.105.211.16"
URL = f"http://{VIP}:8000/"

SVC, SEP1, SEP2 = "KUBE-SVC-GKN7Y2BSGW4NJTYL", "KUBE-SEP-RGXD32JDVTBAD2NU", "KUBE-SEP-YEFU7DZX4NWUTRQS"
NAME = '-m comment --comment "default/nginx-service:"'
CLUSTER_IP = f'-d {VIP}/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp --dport 8000'

MARK1 = f"-A {SEP1} -s {IP1}/32 {NAME} -j KUBE-MARK-MASQ"
DNAT1 = f"-A {SEP1} -p tcp {NAME} -m tcp -j DNAT --to-destination {IP1}:80"
MARK2 = f"-A {SEP2} -s {IP2}/32 {NAME} -j KUBE-MARK-MASQ"
DNAT2 = f"-A {SEP2} -p tcp {NAME} -m tcp -j DNAT --to-destination {IP2}:80"
MARK_OUTSIDE = f"-A KUBE-SERVICES ! -s 10.244.0.0/16 {CLUSTER_IP} -j KUBE-MARK-MASQ"
CATCH = f"-A KUBE-SERVICES {CLUSTER_IP} -j {SVC}"
DICE = f"-A {SVC} {NAME} -m statistic --mode random --probability 0.50000000000 -j {SEP1}"
REST = f"-A {SVC} {NAME} -j {SEP2}"
RULES = [MARK1, DNAT1, MARK2, DNAT2, MARK_OUTSIDE, CATCH, DICE, REST]

NODES = {  # name: (address, network, gateway, the first three numbers of its pod subnet)
    "zenlin": ("10.229.43.65", "10.229.42.0", "10.229.42.1", "10.244.0"),
    "zenlinnode1": ("10.229.53.146", "10.229.52.0", "10.229.52.1", "10.244.1"),
    "zenlinnode2": ("10.229.45.161", "10.229.44.0", "10.229.44.1", "10.244.2"),
}
CLIENTS = {  # name: (node, address)
    "ubuntu-zenlin": ("zenlin", "10.244.0.20"),
    "ubuntu-zenlinnode1": ("zenlinnode1", "10.244.1.145"),
    "ubuntu-zenlinnode2": ("zenlinnode2", "10.244.2.246"),
}
ANSWER = Text("an nginx pod answers", "有一个 nginx Pod 应答")

scenario = Scenario(
    title=Text("one service, two pods, three nodes", "一个 Service、两个 Pod、三个节点"),
    topology="zenlin",
    manifests=["nginx.yaml", "clients.yaml"],
    pins=[
        Pin(POD1, owner="nginx-deployment", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="nginx-deployment", node="zenlinnode2", address=IP2),
        *(Pin(name, node=node, address=address) for name, (node, address) in CLIENTS.items()),
    ],
    intro=Text(
        "Two nginx pods run on two nodes, and a service gives them one address. That address is on no network card: on every node, "
        "kube-proxy has turned the service into iptables rules, and flannel carries the packets between the nodes. Every command "
        "below runs for real, and what it prints is checked.",
        "两个 nginx Pod 分别跑在两个节点上，一个 Service 给了它们同一个入口地址。这个地址不在任何一块网卡上："
        "kube-proxy 在每个节点上把 Service 变成了 iptables 规则，节点之间的包则由 flannel 运送。"
        "下面的每条命令都是真实执行的，输出也都经过检查。",
    ),
)


def route_table(*rows):
    """What `route -n` prints, for rows of (destination, gateway, mask, flags, interface)."""
    head = ["Kernel IP routing table", "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"]
    return head + [f"{to:<15} {via:<15} {mask:<15} {flags:<5} 0      0        0 {dev}" for to, via, mask, flags, dev in rows]


def counters(node):
    """How many packets each of the eight rules has matched on this node so far: {rule: packets}."""
    shown = node.run("iptables-save -c -t nat | grep nginx")
    found = re.findall(r"^\[(\d+):\d+\] (.*)$", shown.stdout, re.MULTILINE)
    return {rule.rstrip(): int(packets) for packets, rule in found}


def tally(outcome):
    """The output of `… | sort | uniq -c` as {line: count}."""
    pairs = (line.split(None, 1) for line in outcome.lines)
    return {pair[1]: int(pair[0]) for pair in pairs if len(pair) == 2}


def knock(machine, tag, times):
    """So many connections to the service, each with the tag in its URL, so that nginx's log tells them apart."""
    machine.run(f"curl -s -m 5 -H 'Connection: close' -o /dev/null '{URL}?{tag}-[1-{times}]'", timeout=10).expect_status()


def logged_sources(lab, pod, tag, expected, name):
    """The client addresses that one nginx logged for requests with that tag."""
    lab.pod(pod).run(f"grep '?{tag}-' /var/log/nginx/access.log | cut -d' ' -f1 | sort -u").expect_lines([expected], name)


@scenario.step(
    en="The nodes' network: three segments and a router",
    zh="节点网络：三个网段，中间一台路由器",
    why_en="""Each node has an address in a /23 of its own, so a packet from node to node always crosses the router. Look at the last
        two lines of each table: addresses of pods on this node are behind docker0, all other pod addresses are behind flannel0. The
        more exact route wins.""",
    why_zh="""三个节点各在自己的 /23 网段里，节点之间的包必须经过路由器。请看每张路由表的最后两行：
        本节点 Pod 的地址在 docker0 后面，其他所有 Pod 地址都在 flannel0 后面；两条路由都匹配时，更精确的那条生效。""",
)
def nodes(lab):
    for name, (address, network, gateway, pods) in NODES.items():
        node = lab.node(name)
        node.run("ip -4 -o address show dev eth0").expect(
            f"inet {address}/23", Text(f"{name} has the article's address", f"{name} 的地址与文章一致")
        )
        node.run("route -n").expect_lines(
            route_table(
                ("0.0.0.0", gateway, "0.0.0.0", "UG", "eth0"),
                (network, "0.0.0.0", "255.255.254.0", "U", "eth0"),
                ("10.244.0.0", "0.0.0.0", "255.255.0.0", "U", "flannel0"),
                (f"{pods}.0", "0.0.0.0", "255.255.255.0", "U", "docker0"),
            ),
            Text("four routes: default, own segment, all pods, own pods", "四条路由：默认路由、本网段、全部 Pod、本节点 Pod"),
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


@scenario.step(
    en="flannel's leases: who owns which subnet",
    zh="flannel 的租约：哪个子网归哪个节点",
    why_en="""flanneld on each node leases a subnet by creating a key in etcd. A key can be created only once, so no two nodes get the
        same subnet. The value tells the others where to send packets for that subnet. flanneld then writes subnet.env, and the bridge
        takes its address and MTU from there.""",
    why_zh="""每个节点上的 flanneld 在 etcd 里创建一个键来租用子网。同一个键只能创建成功一次，所以两个节点不会拿到同一个子网。
        键的值告诉其他节点：发往这个子网的包应该送到哪里。随后 flanneld 写出 subnet.env，网桥从中取得自己的地址和 MTU。""",
)
def leases(lab):
    master, worker = lab.node("zenlin"), lab.node("zenlinnode1")
    master.run("ETCDCTL_API=3 etcdctl get --print-value-only /coreos.com/network/config").expect_json(
        {"Network": "10.244.0.0/16", "SubnetMin": "10.244.0.0", "Backend": {"Type": "udp"}},
        Text("one network for all pods, carried by the udp backend", "所有 Pod 共用一个网络，由 udp 后端承载"),
    )
    expected = []
    for address, _, _, pods in NODES.values():
        expected += [f"/coreos.com/network/subnets/{pods}.0-24", f'{{"PublicIP":"{address}"}}']
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
        ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24", "FLANNEL_MTU=1472", "FLANNEL_IPMASQ=true"],
        Text("flanneld wrote the subnet of node 1", "flanneld 写下了节点 1 的子网"),
    )
    worker.run("ip -4 -o address show dev docker0").expect(
        "inet 10.244.1.1/24", Text("docker0 took the first address of it", "docker0 用了其中的第一个地址")
    )
    worker.run("ip -4 -o address show dev flannel0").expect(
        "inet 10.244.1.0/16", Text("flannel0 has the subnet's own address", "flannel0 用了子网号本身作地址")
    )


@scenario.step(
    en="The pods' network: one address each, unique in the cluster",
    zh="Pod 网络：每个 Pod 一个地址，全集群唯一",
    why_en="""A pod is connected by a veth pair: one end is its eth0, the other a port of the node's bridge. Everything beyond its own
        subnet goes to the bridge's address, 10.244.1.1.""",
    why_zh="""Pod 用一对 veth 接入网络：一端是它自己的 eth0，另一端是节点网桥的一个端口。
        发往本子网以外的包，都先交给网桥的地址 10.244.1.1。""",
)
def pods(lab):
    pod = lab.pod(POD1)
    pod.run("ip address show dev eth0").expect(
        f"inet {IP1}/24",
        Text("the article's address, with the mask of the node's subnet", "地址与文章一致，掩码是节点子网的 /24"),
    ).expect("mtu 1472", Text("MTU 1472, as flannel said", "MTU 为 1472，由 flannel 给出"))
    pod.run("ip route").expect("default via 10.244.1.1 dev eth0", Text("the bridge is the way out", "网桥是出口"))
    lab.say(
        en="The article shows MTU 1500 and the mask 255.255.255.255 in a pod. The udp backend puts 20 bytes of IP and 8 bytes of UDP "
        "in front of each packet, so 1500 - 28 = 1472 are left.",
        zh="文章里 Pod 的 MTU 是 1500，掩码是 255.255.255.255。其实 udp 后端要在每个包前面加上 20 字节 IP 头和 8 字节 UDP 头，"
        "只剩下 1500 − 28 = 1472。",
    )


@scenario.step(
    en="Pod to pod across nodes: count the hops by the TTL",
    zh="跨节点的 Pod 互访：从 TTL 数跳数",
    why_en="""The reply starts at its pod with TTL 64 and loses 1 at every hop that routes it: node 2 (docker0 to flannel0), flanneld on
        node 2 as it wraps the packet, flanneld on node 1 as it unwraps it, and node 1 (flannel0 to docker0). 60 is left. The router
        between the nodes sees only the outer packet and cannot touch the inner TTL.""",
    why_zh="""回包从对端 Pod 出发时 TTL 是 64，每经过一次路由就减 1：节点 2（从 docker0 到 flannel0）、节点 2 的 flanneld（封装时）、
        节点 1 的 flanneld（解封时）、节点 1（从 flannel0 到 docker0），最后剩下 60。
        节点之间的路由器只看得到外层包，改不了内层的 TTL。""",
)
def ttl(lab):
    node, pod = lab.node("zenlinnode1"), lab.pod("ubuntu-zenlinnode1")
    node.run("ip route get 10.244.2.246").expect(
        "dev flannel0", Text("for node 1, a pod of node 2 is behind flannel0", "在节点 1 看来，节点 2 的 Pod 在 flannel0 后面")
    )
    pod.run("ping -c 2 -i 0.01 -W 1 10.244.2.246").expect(
        "ttl=60", Text("across nodes 4 hops route the reply", "跨节点时，回包经过 4 次路由")
    ).expect(" 0% packet loss", Text("nothing is lost", "没有丢包"))
    pod.run(f"ping -c 1 -W 1 {IP1}").expect(
        "ttl=64", Text("on one node no hop does: the bridge only switches", "同一节点内没有路由：网桥只做二层交换")
    )
    lab.say(
        en="In its journey of a packet the article once writes 10.244.1.145 as the destination. That is the sender; the destination is "
        "10.244.2.246.",
        zh="文章讲解包的旅程时，有一处把目的地址写成了 10.244.1.145。那是发送方，目的地址应为 10.244.2.246。",
    )


@scenario.step(
    en="The service's network: eight rules, the same on all three nodes",
    zh="Service 网络：八条规则，三个节点完全相同",
    why_en="""kube-proxy watches services and their endpoints and writes these rules on every node, whether or not one of the service's
        pods runs there. The chain names are no accident: they are the first 16 characters of a base32 SHA-256 over the service's name
        and protocol, and over the pod's address and port too in the case of KUBE-SEP. So every node, and the article's cluster, comes to
        the same names.""",
    why_zh="""kube-proxy 监视 Service 及其 Endpoints，并在每个节点上写下这些规则，不管该节点上有没有这个 Service 的 Pod。
        链名不是随机的：对 Service 名加协议名（KUBE-SEP 链还要加上 Pod 的地址和端口）求 SHA-256，再做 base32，取前 16 个字符。
        所以各节点得到的名字一样，与文章里的集群也一样。""",
)
def rules(lab):
    for node in lab.nodes:
        node.run("iptables-save | grep nginx").expect_lines(
            RULES, Text(f"the article's eight lines on {node.name}, letter for letter", f"{node.name} 上的八行与文章逐字相同")
        )
    for chain, text in (
        (SVC, "default/nginx-service:tcp"),
        (SEP1, f"default/nginx-service:tcp{IP1}:80"),
        (SEP2, f"default/nginx-service:tcp{IP2}:80"),
    ):
        digest = base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:16]
        title = Text(f"{chain} is base32(sha256(“{text}”))", f"{chain} 就是 base32(sha256(“{text}”))")
        lab.expect_equal(title, chain[:9] + digest, chain)


@scenario.step(
    en="The service answers everywhere",
    zh="在哪里都能访问这个 Service",
    why_en="""The same address and port work from every node and from every pod. Which of the two pods answers is decided anew for
        each connection; its name stands in the page.""",
    why_zh="""无论从哪个节点、哪个 Pod，访问的都是同一个地址和端口。每个新连接由两个 Pod 中的哪一个应答，都是重新决定的；
        应答页面里写着那个 Pod 的名字。""",
    needs=("rules",),
)
def access(lab):
    for machine in [*lab.nodes, *(lab.pod(name) for name in CLIENTS)]:
        machine.run(f"curl -s -m 2 {VIP}:8000").expect("pod: nginx-deployment-1885164871-", ANSWER)


@scenario.step(
    en="The rules one by one, with their counters",
    zh="逐条读规则，用计数器验证",
    why_en="""`iptables-save -c` puts in front of each rule how many packets it has matched. Only the first packet of a connection goes
        through the nat table; conntrack remembers the decision for the others and for the replies. So each connection adds exactly 1
        to every rule it meets.""",
    why_zh="""`iptables-save -c` 会在每条规则前面显示它匹配过多少个包。只有连接的第一个包经过 nat 表，
        之后的包和回包都由 conntrack 按记录处理。所以每个连接经过一条规则，计数正好加 1。""",
    needs=("access",),
)
def reading(lab):
    node, pod = lab.node("zenlinnode1"), lab.pod("ubuntu-zenlinnode1")
    before = counters(node)
    pod.run(f"curl -s -m 2 {VIP}:8000").expect("pod: ", ANSWER)
    after = counters(node)
    grown = {rule: after.get(rule, 0) - before.get(rule, 0) for rule in RULES}
    lab.expect_equal(
        Text(
            f"KUBE-SERVICES caught the packet for {VIP}:8000 and sent it to {SVC}",
            f"KUBE-SERVICES 截住发往 {VIP}:8000 的包，转到 {SVC}",
        ),
        grown[CATCH],
        1,
    )
    lab.expect_equal(
        Text(
            "not marked for masquerading: the source is a pod (! -s 10.244.0.0/16)",
            "没有打伪装标记：来源是 Pod（! -s 10.244.0.0/16）",
        ),
        grown[MARK_OUTSIDE],
        0,
    )
    lab.expect_equal(
        Text(
            "one of two: with probability 0.5 the first KUBE-SEP, for all the rest the second",
            "二选一：以 0.5 的概率进入第一条 KUBE-SEP，其余的都进入第二条",
        ),
        grown[DICE] + grown[REST],
        1,
    )
    lab.expect_equal(
        Text(
            "DNAT in the chosen chain wrote the pod's address and port 80 into it",
            "所选链里的 DNAT 把目的地址改成 Pod 的地址和 80 端口",
        ),
        (grown[DNAT1], grown[DNAT2]),
        (grown[DICE], grown[REST]),
    )
    lab.expect_equal(
        Text(
            "neither hairpin rule matched: the client is not one of the two pods",
            "两条发夹规则都没有匹配：客户端不是这两个 Pod 之一",
        ),
        grown[MARK1] + grown[MARK2],
        0,
    )
    node.run(f"curl -s -m 2 {VIP}:8000").expect("pod: ", ANSWER)
    last = counters(node)
    lab.expect_equal(
        Text(
            "the same from the node itself: now KUBE-MARK-MASQ marks the packet",
            "换成从节点自己访问：这次 KUBE-MARK-MASQ 给包打了标记",
        ),
        last.get(MARK_OUTSIDE, 0) - after.get(MARK_OUTSIDE, 0),
        1,
    )
    lab.say(
        en="The article says that the rules rewrite “the service IP (10.244.1.53/32)”, and speaks of port 80 of the cluster IP. The "
        "lines with -s 10.244.1.53/32 do something else: they mark packets of the pod that reaches itself through the service. And "
        "the rules match --dport 8000; 80 is the port in the pod.",
        zh="文章说规则改写的是“服务 IP（10.244.1.53/32）”，又说访问的是 Cluster IP 的 80 端口。"
        "其实带 -s 10.244.1.53/32 的规则另有用途：Pod 通过 Service 访问到自己时，给包打上标记。"
        "规则匹配的是 --dport 8000，80 是 Pod 里的端口。",
    )


@scenario.step(
    en="conntrack remembers the choice",
    zh="conntrack 记住选择的结果",
    why_en="""Each line is one connection, seen twice: first as the client dialled it, then as the reply comes back. In the first half
        the destination is the cluster IP, in the second the source is the pod that was chosen. The kernel uses this record to turn the
        reply's source into the cluster IP again, so the client never learns the pod's address.""",
    why_zh="""每一行是一个连接，记了两遍：前半是客户端发起时的样子，后半是回包的样子。前半的目的地址是 Cluster IP，
        后半的源地址是被选中的 Pod。内核据此把回包的源地址改回 Cluster IP，客户端始终看不到 Pod 的地址。""",
    needs=("access",),
)
def conntrack(lab):
    lab.node("zenlinnode1").run(f"conntrack -L -p tcp --orig-src 10.244.1.145 --orig-dst {VIP}").expect_match(
        rf"src=10\.244\.1\.145 dst={re.escape(VIP)} sport=\d+ dport=8000 "
        rf"src=({re.escape(IP1)}|{re.escape(IP2)}) dst=10\.244\.1\.145 sport=80 ",
        Text("cluster IP on the way out, pod address on the way back", "去程是 Cluster IP，回程是 Pod 地址"),
    )


@scenario.step(
    en="300 connections are split evenly",
    zh="300 个连接，均匀分配",
    why_en="""The choice is random, not in turn. With 300 fair tosses of a coin each side comes up about 150 times; the bounds of the
        check are so wide that a fair choice misses them once in a million runs.""",
    why_zh="""选择是随机的，不是轮流的。公平地抛 300 次硬币，每一面大约出现 150 次；
        检查的界限放得足够宽，公平的选择一百万次里才会有一次越界。""",
    needs=("access",),
)
def split(lab):
    many = lab.pod("ubuntu-zenlinnode1").run(
        f"curl -s -m 10 -H 'Connection: close' '{URL}?[1-300]' | grep '^pod: ' | sort | uniq -c", timeout=20
    )
    counts = tally(many)
    lab.expect_equal(Text("all 300 were answered", "300 次都有应答"), sum(counts.values()), 300)
    lab.expect_even_split(Text("both pods got their half", "两个 Pod 各得约一半"), counts, [f"pod: {POD1}", f"pod: {POD2}"])


@scenario.step(
    en="Which client address does nginx see?",
    zh="nginx 看到的客户端地址是谁的？",
    why_en="""From a pod, the source stays the pod's own address: it is known in the whole cluster, so the reply finds back. From a
        node, the packet was marked and is masqueraded: it gets the address of the device by which it leaves. To a pod on the same node
        that is docker0 (10.244.1.1), to a pod on another node flannel0 (10.244.1.0).""",
    why_zh="""从 Pod 访问时，源地址保持不变：Pod 地址全集群都认识，回包找得到路。从节点访问时，包被打过标记，会做地址伪装（MASQUERADE）：
        源地址改成出口设备的地址。去本节点的 Pod，出口是 docker0（10.244.1.1）；去别的节点的 Pod，出口是 flannel0（10.244.1.0）。""",
    needs=("access",),
)
def sources(lab):
    knock(lab.pod("ubuntu-zenlin"), "from-pod", 24)
    own = Text("the client pod's own address", "客户端 Pod 自己的地址")
    logged_sources(lab, POD1, "from-pod", "10.244.0.20", own)
    logged_sources(lab, POD2, "from-pod", "10.244.0.20", own)
    knock(lab.node("zenlinnode1"), "from-node1", 24)
    logged_sources(
        lab,
        POD1,
        "from-node1",
        "10.244.1.1",
        Text("same node: the address of node 1's docker0", "同一节点：节点 1 的 docker0 地址"),
    )
    logged_sources(
        lab,
        POD2,
        "from-node1",
        "10.244.1.0",
        Text("other node: the address of node 1's flannel0", "另一节点：节点 1 的 flannel0 地址"),
    )
    knock(lab.node("zenlin"), "from-master", 24)
    flannel = Text("the address of the master's flannel0", "master 的 flannel0 地址")
    logged_sources(lab, POD1, "from-master", "10.244.0.0", flannel)
    logged_sources(lab, POD2, "from-master", "10.244.0.0", flannel)


@scenario.step(
    en="Hairpin: a pod reaches itself through the service",
    zh="发夹：Pod 通过 Service 访问到自己",
    why_en="""Half of the time the dice send an nginx pod back to itself. Without more, it would get a packet from its own address and
        answer itself directly, and the connection would never come about. So the rule -s 10.244.1.53/32 marks it, and it comes back from
        10.244.1.1, out of the same port of the bridge it went in by: the port is in hairpin mode.""",
    why_zh="""nginx Pod 访问 Service 时，有一半机会又选中它自己。如果不做处理，它会收到源地址是自己的包，直接回给自己，连接就建立不起来。
        所以 -s 10.244.1.53/32 那条规则给包打上标记，包以 10.244.1.1 为源地址回来，而且从进入网桥的那个端口原路出去：
        这个端口开了发夹（hairpin）模式。""",
    needs=("access",),
)
def hairpin(lab):
    pod = lab.pod(POD1)
    answers = pod.run(f"curl -s -m 5 -H 'Connection: close' '{URL}?hairpin-[1-24]' | grep '^pod: ' | sort | uniq -c", timeout=10)
    counts = tally(answers)
    lab.expect_equal(Text("all 24 were answered", "24 次都有应答"), sum(counts.values()), 24)
    lab.expect_between(Text("some by the pod itself", "其中有一些由它自己应答"), counts.get(f"pod: {POD1}", 0), 1, 24)
    logged_sources(
        lab, POD1, "hairpin", "10.244.1.1", Text("it saw itself as 10.244.1.1, the bridge", "它看到的自己是网桥 10.244.1.1")
    )
    logged_sources(lab, POD2, "hairpin", IP1, Text("the other pod saw its real address", "另一个 Pod 看到的是它的真实地址"))


@scenario.step(
    en="A pod's address works without any service",
    zh="不经过 Service，直接访问 Pod 地址",
    why_en="""Pod addresses are real: they are on network cards and in route tables. No rule of kube-proxy takes part. The article calls
        the pod's address “cluster ip” once; the cluster IP is the service's.""",
    why_zh="""Pod 地址是真实存在的：配在网卡上，也在路由表里，不需要 kube-proxy 的任何规则。
        文章有一处把 Pod 的地址叫作“cluster ip”；Cluster IP 其实是 Service 的地址。""",
)
def direct(lab):
    lab.pod("ubuntu-zenlinnode1").run(f"curl -s -m 2 http://{IP2}/").expect(
        f"pod: {POD2}", Text("from a pod on another node", "从另一节点的 Pod")
    )
    lab.node("zenlinnode1").run(f"curl -s -m 2 http://{IP2}/?direct-1").expect(
        f"pod: {POD2}", Text("from another node", "从另一个节点")
    )
    logged_sources(
        lab,
        POD2,
        "direct",
        "10.244.1.0",
        Text("the node speaks as its flannel0 here too: its route says so", "节点在这里也用 flannel0 的地址：由路由决定"),
    )


@scenario.step(
    en="The cluster IP is nobody: ping finds no one",
    zh="Cluster IP 不属于任何机器：ping 不通",
    why_en="""The address exists only in the rules, and the rules match one protocol and one port. Anything else for it follows the
        default route out of the cluster, and is lost. So ping says nothing about a service.""",
    why_zh="""这个地址只存在于规则里，而规则只匹配一种协议、一个端口。发往它的其他包都会沿默认路由离开集群，然后消失。
        所以不能用 ping 来判断 Service 是否正常。""",
)
def nobody(lab):
    node = lab.node("zenlinnode1")
    node.run(f"ip route get {VIP}").expect(
        "via 10.229.52.1 dev eth0",
        Text("for the route table it is an address like any other", "在路由表看来，它只是个普通的外部地址"),
    )
    node.run(f"ping -c 1 -W 0.2 {VIP}").expect_status(1, name=Text("ping fails", "ping 失败")).expect(
        "100% packet loss", Text("no reply came", "没有任何回应")
    )
    node.run(f"curl -sS -m 0.3 http://{VIP}:80/").expect_status(
        7,
        28,
        name=Text(
            "port 80 of the cluster IP is nobody either: the rules match 8000", "Cluster IP 的 80 端口也没有人：规则匹配的是 8000"
        ),
    )


@scenario.step(
    en="One nginx stopped: about half of the connections are refused",
    zh="停掉一个 nginx：大约一半的连接被拒绝",
    why_en="""The dice do not know that nobody listens behind one of their sides. In iptables mode the choice is made once, for the first
        packet, and cannot be taken back; kube-proxy's older userspace mode would dial the next pod. (A real kubelet restarts a stopped
        container soon; a readiness probe would take the pod out of the rules.)""",
    why_zh="""掷骰子的规则并不知道其中一面背后已经没有人监听。iptables 模式只在第一个包时选择一次，选了就不能反悔；
        kube-proxy 早期的 userspace 模式则会改拨下一个 Pod。（真实环境里 kubelet 很快会重启停掉的容器；
        配了就绪探针的话，这个 Pod 会先从规则里摘除。）""",
    needs=("access",),
)
def stopped(lab):
    pod, client = lab.pod(POD1), lab.pod("ubuntu-zenlinnode2")
    pod.run("nginx -s stop").expect_status()
    try:
        pod.until(
            "ss -Hltn 'sport = :80'", checks.equal(Text("nothing listens on its port 80 now", "它的 80 端口已经没有人监听"), "")
        )
        tries = client.run(
            f"curl -s -m 10 -H 'Connection: close' -o /dev/null -w '%{{http_code}}\\n' '{URL}?[1-100]' | sort | uniq -c",
            timeout=20,
        )
        counts = tally(tries)
        lab.expect_even_split(
            Text("about half are answered (200), the others refused (000)", "大约一半有应答（200），其余被拒绝（000）"),
            counts,
            ["000", "200"],
        )
        client.run(f"curl -sS -m 2 http://{IP1}/").expect_status(
            7, name=Text("refused at once: the pod is there, nginx is not", "立刻被拒绝：Pod 还在，nginx 不在了")
        )
    finally:
        pod.run("nginx").expect_status()
        pod.until("ss -Hltn 'sport = :80'", checks.contains(Text("nginx listens again", "nginx 重新开始监听"), ":80"))
    again = client.run(
        f"curl -s -m 5 -H 'Connection: close' -o /dev/null -w '%{{http_code}}\\n' '{URL}?[1-24]' | sort | uniq -c", timeout=10
    )
    lab.expect_equal(Text("all connections are answered again", "所有连接又都有应答了"), tally(again), {"200": 24})
