"""The vxlan backend as flannel 0.7 had it, and with it the route tables that the article prints."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text, checks

POD1, IP1 = "ubuntu-k8s-deployment-623915768-fnssv", "10.244.1.145"
POD2, IP2 = "ubuntu-k8s-deployment-623915768-nwzk9", "10.244.2.246"
WEB1, WEB1_IP = "web-zenlinnode1", "10.244.1.80"
WEB2, WEB2_IP = "web-zenlinnode2", "10.244.2.80"
NOBODY = "10.244.9.9"
NODES = {  # name: (its own segment, its gateway)
    "zenlinnode1": ("10.229.52.0", "10.229.52.1"),
    "zenlinnode2": ("10.229.44.0", "10.229.44.1"),
}

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel 0.7's vxlan: the article's route table, and a kernel that asks", "flannel 0.7 的 vxlan：文章里的路由表，和会提问的内核"),
    topology="zenlin-l3miss",
    backends=["vxlan"],
    manifests=["ubuntu.yaml", "web.yaml"],
    pins=[
        Pin(POD1, owner="ubuntu-k8s-deployment", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="ubuntu-k8s-deployment", node="zenlinnode2", address=IP2),
        Pin(WEB1, address=WEB1_IP),
        Pin(WEB2, address=WEB2_IP),
    ],
    intro=Text(
        "The article speaks of the udp backend, but its route tables show flannel.1, one route for all pods, and a docker0 that carries "
        "none. A cluster of 2017 looks like that with flannel 0.7's vxlan backend and CNI. Here is that cluster. Its flanneld does not "
        "fill in all neighbours beforehand: the kernel asks for each pod when the first packet for it comes along.",
        "文章讲的是 udp 后端，路由表里却是 flannel.1、一条覆盖所有 Pod 的路由，以及一个不承载 Pod 的 docker0。"
        "2017 年用 flannel 0.7 的 vxlan 后端加 CNI 的集群正是这个样子。这里就是那样的集群。"
        "它的 flanneld 不会预先填好全部邻居：去往某个 Pod 的第一个包出现时，内核才来询问。",
    ),
)


def _logged(lab, words, name):
    """flanneld of node 1 has written a line with these words."""

    def lines():
        text = lab.daemon("zenlinnode1", "flanneld").log.read_text()
        return "\n".join(line for line in text.splitlines() if "miss" in line)

    lab.until(checks.contains(name, words), lines)


@scenario.step(
    en="The article's route table, line by line",
    zh="与文章逐行相同的路由表",
    why_en="""flannel 0.7 makes one route for all pods, on flannel.1 and without a gateway: every pod of the cluster counts as a neighbour
        on that device. There is one line more than in the article: the node's own pods, on the CNI bridge cni0. The article's output leaves
        it out, but without it the node could not reach its own pods. (CNI makes the bridge with the first pod; here both nodes have one.)""",
    why_zh="""flannel 0.7 只加一条路由，覆盖所有 Pod，走 flannel.1，没有网关：集群里的每个 Pod 都被当作这个设备上的邻居。
        这里比文章多一行：本节点的 Pod，在 CNI 网桥 cni0 上。文章的输出略去了它，但没有这一行，节点就到不了自己的 Pod。
        （CNI 在第一个 Pod 出现时才创建网桥；这里两个节点上都有 Pod。）""",
)
def table(lab):
    for name, (segment, gateway) in NODES.items():
        rows = [
            ("0.0.0.0", gateway, "0.0.0.0", "UG", "eth0"),
            (segment, "0.0.0.0", "255.255.254.0", "U", "eth0"),
            ("10.244.0.0", "0.0.0.0", "255.255.0.0", "U", "flannel.1"),
            ("172.17.0.0", "0.0.0.0", "255.255.0.0", "U", "docker0"),
        ]
        head = ["Kernel IP routing table", "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface"]
        lab.node(name).run("route -n | grep -v cni0").expect_lines(
            head + [f"{to:<15} {via:<15} {mask:<15} {flags:<5} 0      0        0 {dev}" for to, via, mask, flags, dev in rows],
            Text(f"the article's four lines on {name}", f"{name} 上的四行与文章相同"),
        )
    node = lab.node("zenlinnode1")
    node.run("route -n | grep cni0").expect_match(
        r"^10\.244\.1\.0 +0\.0\.0\.0 +255\.255\.255\.0 +U .*cni0$", Text("and the line that it leaves out", "以及文章略去的那一行")
    )


@scenario.step(
    en="Pods on cni0, and an idle docker0",
    zh="Pod 接在 cni0 上，docker0 闲置",
    why_en="""docker made docker0 when it first started, with its own default range, 172.17.0.0/16. Kubernetes asked CNI for the pods'
        network, and CNI made a bridge of its own. That is the whole riddle of the article's last line.""",
    why_zh="""docker 第一次启动时就按自己的默认网段 172.17.0.0/16 创建了 docker0。Kubernetes 的 Pod 网络则交给 CNI，CNI 另建了一个网桥。
        文章路由表最后一行的谜底就在这里。""",
)
def bridges(lab):
    node = lab.node("zenlinnode1")
    node.run("ip -4 -o address show dev cni0").expect("inet 10.244.1.1/24", Text("cni0 has the node's subnet", "cni0 用的是节点的子网"))
    node.run("ip -4 -o address show dev docker0").expect(
        "inet 172.17.0.1/16", Text("docker0 has docker's default", "docker0 用的是 docker 的默认网段")
    )
    node.run("ip -o link show master docker0").expect_lines([], Text("nothing hangs on it", "上面什么也没接"))
    lab.pod(POD1).run("ip route").expect_lines(
        [
            "default via 10.244.1.1 dev eth0",
            "10.244.0.0/16 via 10.244.1.1 dev eth0",
            "10.244.1.0/24 dev eth0 proto kernel scope link src 10.244.1.145",
        ],
        Text("a pod's routes, as CNI's flannel plugin makes them", "Pod 的路由，由 CNI 的 flannel 插件写入"),
    )


@scenario.step(
    en="The kernel asks, flanneld answers",
    zh="内核提问，flanneld 回答",
    why_en="""The route names no gateway, so the kernel looks for the MAC address of the pod itself, as if it were on this very wire. ARP
        would find nobody: the tunnel has no broadcast. With app_solicit set, the kernel asks the programs on the machine first, and flanneld
        listens. It looks up whose subnet the address is in, and enters the MAC address of that node's flannel.1. The entry is REACHABLE, not
        permanent: it ages like one that ARP has found. Only the forwarding entries, one a node, are there beforehand.""",
    why_zh="""路由没有网关，内核就要找 Pod 自己的 MAC 地址，好像它就在这根线上。ARP 找不到：隧道里没有广播。
        设置了 app_solicit，内核会先问本机的程序，而 flanneld 正在听。它查出这个地址属于哪个子网，填入那个节点的 flannel.1 的 MAC 地址。
        条目的状态是 REACHABLE 而不是永久，会像 ARP 得来的条目一样老化。预先填好的只有转发表，每个节点一条。""",
)
def question(lab):
    node, pod = lab.node("zenlinnode1"), lab.pod(POD1)
    there = lab.node("zenlinnode2").run("cat /sys/class/net/flannel.1/address").stdout.strip()
    node.run("cat /proc/sys/net/ipv4/neigh/flannel.1/app_solicit").expect_lines(
        ["3"], Text("the kernel asks programs three times", "内核会向程序询问三次")
    )
    node.run(f"bridge fdb show dev flannel.1 | grep {there}").expect_lines(
        [f"{there} dst 10.229.45.161 self permanent"], Text("where node 2 is, is known beforehand", "节点 2 在哪里，是预先知道的")
    )
    node.run("ip neigh flush dev flannel.1")
    node.run(f"ip neigh show {IP2} dev flannel.1").expect_lines([], Text("the pod is not known yet", "这个 Pod 还不认识"))
    pod.run(f"ping -c 1 -W 1 {IP2}").expect("ttl=62", Text("the first packet gets through", "第一个包就通了"))
    node.run(f"ip neigh show {IP2} dev flannel.1").expect_lines(
        [f"{IP2} lladdr {there} REACHABLE"],
        Text("now it is, under the MAC address of node 2's flannel.1", "现在认识了，MAC 是节点 2 的 flannel.1 的"),
    )
    _logged(lab, f"L3 miss: {IP2}", Text(f"flanneld's log says “L3 miss: {IP2}”", f"flanneld 的日志里有“L3 miss: {IP2}”"))


@scenario.step(
    en="An address in nobody's subnet",
    zh="不属于任何子网的地址",
    why_en="""The route covers the whole /16, so the kernel asks for this address too. flanneld knows no lease around it and says so in its
        log; the kernel gets no answer and gives up. Since 0.9 there is no route for such an address on flannel.1 at all.""",
    why_zh="""路由覆盖整个 /16，所以内核对这个地址也会询问。flanneld 找不到包含它的租约，在日志里写明；内核得不到回答，只好放弃。
        从 0.9 起，flannel.1 上根本没有通向这种地址的路由。""",
)
def nobody(lab):
    lab.pod(POD1).run(f"ping -c 1 -W 0.3 {NOBODY}").expect("100% packet loss", Text("nobody replies", "没有人回应"))
    words = f"L3 miss but route for {NOBODY} not found"
    _logged(lab, words, Text(f"flanneld's log says “{words}”", f"flanneld 的日志里有“{words}”"))


@scenario.step(
    en="Without flanneld: known pods are reached, new ones are not",
    zh="没有 flanneld：认识的 Pod 能到，新的到不了",
    why_en="""A neighbour that is in the table needs nobody. For one that is not, the kernel asks, and there is no one to answer. After a
        while the known ones age, too, and are asked for again. That is why flannel gave this up in 0.9 and fills in everything beforehand:
        compare the scenario flannel-vxlan, where flanneld may be missing as long as no node comes or goes.""",
    why_zh="""已经在表里的邻居不需要任何人。不在表里的，内核会问，却没有人回答。过一段时间，认识的邻居也会老化，又要重新询问。
        所以 flannel 从 0.9 起放弃了这种做法，改为预先填好一切：请对比场景 flannel-vxlan，那里只要没有节点增减，缺了 flanneld 也无妨。""",
)
def stopped(lab):
    node, pod = lab.node("zenlinnode1"), lab.pod(POD1)
    node.run("ip neigh flush dev flannel.1")
    pod.run(f"ping -c 1 -W 1 {IP2}").expect(" 0% packet loss", Text("the article's second pod is known now", "文章里的第二个 Pod 现在认识了"))
    lab.stop_flanneld("zenlinnode1")
    try:
        ended = lab.daemon("zenlinnode1", "flanneld").ended()
        lab.expect_equal(Text("flanneld of node 1 is stopped", "节点 1 的 flanneld 已停止"), ended is None, False)
        pod.run(f"ping -c 3 -i 0.1 -W 1 {IP2}").expect(" 0% packet loss", Text("it is still reached", "仍然能到达"))
        pod.run(f"ping -c 1 -W 0.5 {WEB2_IP}").expect("100% packet loss", Text("another pod of the same node is not", "同一节点的另一个 Pod 到不了"))
    finally:
        lab.start_flanneld("zenlinnode1")
    pod.until(
        f"ping -c 1 -W 1 {WEB2_IP}",
        checks.contains(Text("flanneld started again: both are reached", "flanneld 重新启动后：两个都能到"), " 0% packet loss"),
    )
