"""First chapter: the two pods, and what their nodes know of the way between them."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .article import FNSSV, IP1, IP2, NODE1, NODE2, NODE_IP2, NWZK9, route_table

chapter = Chapter()


@chapter.step(
    en="Two ubuntu pods that say hello",
    zh="两个会打招呼的 ubuntu Pod",
    why_en="""The article's Deployment has two replicas in the namespace zenlin. Each runs a shell loop that echoes hello every 10
        seconds, for no other reason than that a container without a running program ends.""",
    why_zh="""文章里的 Deployment 在命名空间 zenlin 中有两个副本，各跑一个 shell 循环，每 10 秒输出一次 hello。
        这样做只是因为：容器里没有程序在运行，容器就会结束。""",
)
def loop(lab):
    for name, address, node in ((FNSSV, IP1, NODE1), (NWZK9, IP2, NODE2)):
        pod = lab.pod_object(name)
        lab.expect_equal(
            Text(f"{name} is {address} on {node}, as in the article", f"{name}：{address}，在 {node} 上，与文章一致"),
            (pod.namespace, str(pod.pod_ip), pod.node_name),
            ("zenlin", address, node),
        )
        written = lab.until(
            checks.contains(Text("its loop says hello", "循环在输出 hello"), "hello"), lambda name=name: lab.pod_logs(name)
        )
        lab.show([line.strip() for line in written.splitlines()], en=f"What {name} has written so far", zh=f"{name} 到现在为止的输出")


@chapter.step(
    en="A shell in the first pod",
    zh="进入第一个 Pod 的 shell",
    why_en="""`kubectl exec` puts a shell into the namespaces of the pod; `lab shell` does the same here. The pod has two interfaces: lo,
        and eth0 with its address. eth0 is one end of a veth pair, whose other end is a port of docker0 on the node.""",
    why_zh="""`kubectl exec` 在 Pod 的命名空间里启动一个 shell，在本实验里用 `lab shell`。Pod 里有两个接口：lo，以及带着 Pod 地址的 eth0。
        eth0 是一对 veth 的一端，另一端是节点上 docker0 的一个端口。""",
)
def shell(lab):
    pod = lab.pod(FNSSV)
    lab.expect_equal(Text("the article's prompt", "提示符与文章一致"), pod.prompt, f"root@{FNSSV}:/#")
    pod.run("ifconfig").expect_match(
        r"^eth0: (?s:.*?)inet 10\.244\.1\.145  netmask 255\.255\.255\.0 ",
        Text("eth0 has the article's address, with the mask of the node's subnet", "eth0 的地址与文章一致，掩码是节点子网的掩码"),
    ).expect_match(
        r"^eth0: .* mtu 1472$", Text("28 bytes of each 1500 are left to flannel's headers", "1500 字节里留出 28 字节给 flannel 的包头")
    ).expect("lo: ", Text("lo, and no other interface", "还有 lo，没有别的接口"))
    pod.run("ip route").expect_lines(
        ["default via 10.244.1.1 dev eth0", f"10.244.1.0/24 dev eth0 proto kernel scope link src {IP1}"],
        Text("whatever is not on this node goes to docker0, 10.244.1.1", "不在本节点上的，一律交给 docker0，即 10.244.1.1"),
    )
    lab.say(
        en="In the article's output eth0 has the mask 255.255.255.255 and MTU 1500. A pod on docker's bridge gets the mask of the node's "
        "subnet; what becomes of an MTU of 1500 is shown in the step on the MTU.",
        zh="文章里 eth0 的掩码是 255.255.255.255，MTU 是 1500。其实接在 docker 网桥上的 Pod，掩码是节点子网的掩码；"
        "MTU 设成 1500 会怎样，后面讲 MTU 的一步会演示。",
    )


@chapter.step(
    en="The nodes' route tables: everything in 10.244.0.0/16 goes to flannel",
    zh="节点的路由表：10.244.0.0/16 都交给 flannel",
    why_en="""Two lines matter. The node's own pods are behind docker0; all other pods, wherever they are, behind flannel0. The kernel
        does not know which node has which subnet, and does not need to: it hands the packet to flannel0, and flanneld decides.""",
    why_zh="""关键是两行：本节点的 Pod 在 docker0 后面；其他所有 Pod，不管在哪里，都在 flannel0 后面。
        哪个节点有哪个子网，内核不知道，也不需要知道：它把包交给 flannel0，剩下的由 flanneld 决定。""",
)
def routes(lab):
    tables = {NODE1: ("10.229.52.1", "10.229.52.0", "10.244.1.0"), NODE2: ("10.229.44.1", "10.229.44.0", "10.244.2.0")}
    for name, (gateway, segment, own) in tables.items():
        lab.node(name).run("route -n").expect_lines(
            route_table(
                ("0.0.0.0", gateway, "0.0.0.0", "UG", "eth0"),
                (segment, "0.0.0.0", "255.255.254.0", "U", "eth0"),
                ("10.244.0.0", "0.0.0.0", "255.255.0.0", "U", "flannel0"),
                (own, "0.0.0.0", "255.255.255.0", "U", "docker0"),
            ),
            Text(f"{name}: own pods to docker0, all others to flannel0", f"{name}：本节点的 Pod 走 docker0，其余走 flannel0"),
        )
    lab.say(
        en="The article's tables have flannel.1 for flannel0, and 172.17.0.0 behind docker0. flannel.1 is the device of the vxlan backend; "
        "the udp backend, of which the article speaks, makes a TUN device named flannel0. And a docker0 on 172.17.0.0/16 carries no pod of "
        "10.244.1.0/24: there the pods hung on a CNI bridge. With docker0 on flannel's subnet the article's own five stages come true.",
        zh="文章的路由表里，flannel0 的位置写的是 flannel.1，docker0 后面是 172.17.0.0。flannel.1 是 vxlan 后端的设备；"
        "文章讲的是 udp 后端，它创建的 TUN 设备叫 flannel0。而 172.17.0.0/16 的 docker0 不可能接着 10.244.1.0/24 的 Pod："
        "那个集群的 Pod 其实接在 CNI 网桥上。让 docker0 使用 flannel 的子网，文章所讲的五个阶段才说得通。",
    )


@chapter.step(
    en="What flanneld knows: etcd says who holds which subnet",
    zh="flanneld 知道什么：etcd 里记着哪个子网归谁",
    why_en="""Every flanneld has written its subnet and its node's address into etcd, where a key can be created only once, so no subnet is
        given twice. And every flanneld watches the keys of the others. That is all it needs to know: 10.244.2.0/24 is at
        10.229.45.161.""",
    why_zh="""每个 flanneld 都把自己的子网和节点地址写进 etcd。同一个键只能创建一次，所以子网不会重复分配。每个 flanneld 也都监视着别人的键。
        它需要知道的就是这些：10.244.2.0/24 在 10.229.45.161。""",
)
def registry(lab):
    node = lab.node(NODE1)
    etcdctl = "ETCDCTL_API=3 etcdctl --endpoints http://10.229.43.65:2379"
    node.run(f"{etcdctl} get --print-value-only /coreos.com/network/subnets/10.244.2.0-24").expect_json(
        {"PublicIP": NODE_IP2}, Text("the subnet of the target is at node 2", "目标所在的子网在节点 2")
    )
    node.run("ss -Hlun 'sport = :8285'").expect(
        "10.229.53.146:8285", Text("flanneld waits for packets of the others on UDP port 8285", "flanneld 在 UDP 8285 端口等待别人发来的包")
    )
    node.run("ip -d link show flannel0").expect_match(r"\btun type tun\b", Text("flannel0 is a TUN device", "flannel0 是 TUN 设备"))
    lab.say(
        en="A TUN device is a network interface with a program behind it in the place of a cable: what the kernel routes to flannel0, flanneld "
        "reads as bytes; what flanneld writes, the kernel takes in as a packet that has just arrived.",
        zh="TUN 设备是一种网络接口，背后接的不是网线，而是一个程序：内核路由到 flannel0 的包，由 flanneld 当作字节读走；"
        "flanneld 写进去的字节，内核则当作刚收到的包处理。",
    )
