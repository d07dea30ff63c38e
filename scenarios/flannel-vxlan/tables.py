"""First chapter: the device, the leases, and the three questions that the kernel asks its tables."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .cluster import IP2, LEASES, NODES, mac

chapter = Chapter()


@chapter.step(
    en="The device flannel.1",
    zh="设备 flannel.1",
    why_en="""A vxlan device takes Ethernet frames and sends them to another machine inside UDP datagrams. id 1 is the number of this
        virtual network (its VNI; the device is named after it), local the address that it sends from, dstport the UDP port, 8472 on Linux.
        nolearning: the device does not look at arriving packets to find out who is where, because flanneld tells it. It takes
        50 bytes of each packet: outer IP header 20, UDP 8, VXLAN 8, inner Ethernet 14. 1500 - 50 = 1450.""",
    why_zh="""vxlan 设备收下以太网帧，装进 UDP 数据报发给另一台机器。id 1 是这个虚拟网络的编号（VNI，设备名也由它而来），
        local 是发送时用的源地址，dstport 是 UDP 端口，在 Linux 上是 8472。nolearning 表示设备不从收到的包里学习谁在哪里，
        这些由 flanneld 直接告诉它。每个包要让出 50 字节：外层 IP 头 20、UDP 头 8、VXLAN 头 8、内层以太网头 14，
        所以 MTU 是 1500 − 50 = 1450。""",
)
def device(lab):
    for name, (address, _, _, pods) in NODES.items():
        node = lab.node(name)
        shown = node.run("ip -d link show flannel.1")
        shown.expect_match(
            rf"vxlan id 1 local {address} dev eth0 .*dstport 8472 nolearning",
            Text(f"VNI 1, from {name}'s own address, port 8472, without learning", f"VNI 1，源地址是 {name} 自己的，端口 8472，不学习"),
        ).expect(" mtu 1450 ", Text("50 bytes less than eth0", "比 eth0 少 50 字节"))
        node.run("ip -4 -o address show dev flannel.1").expect(
            f"inet {pods}.0/32", Text("its address is the subnet's own", "它的地址就是子网号本身")
        )
    lab.node("zenlinnode1").run("cat /run/flannel/subnet.env").expect_lines(
        ["FLANNEL_NETWORK=10.244.0.0/16", "FLANNEL_SUBNET=10.244.1.1/24", "FLANNEL_MTU=1450", "FLANNEL_IPMASQ=true"],
        Text("pods get 1450 too: flanneld wrote it for the bridge", "Pod 的 MTU 也是 1450：flanneld 写给网桥用的"),
    )


@chapter.step(
    en="The lease now holds a MAC address",
    zh="租约里多了一个 MAC 地址",
    why_en="""For udp it was enough to know which machine holds a subnet. A vxlan device sends Ethernet frames, and a frame needs the MAC
        address of the device at the other end, the VTEP (VXLAN tunnel end point). The kernel gave each flannel.1 a random one; flanneld
        publishes it with the lease, and so all others know it.""",
    why_zh="""udp 后端只要知道子网在哪台机器上就够了。vxlan 设备发送的是以太网帧，帧里要写对端设备（VTEP，VXLAN 隧道端点）的 MAC 地址。
        内核给每个 flannel.1 随机生成一个 MAC，flanneld 把它连同租约一起公布，其他节点就都知道了。""",
)
def leases(lab):
    master = lab.node("zenlin")
    master.run("ETCDCTL_API=3 etcdctl get --print-value-only /coreos.com/network/config").expect_json(
        {"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}, Text("the network is carried by vxlan", "网络由 vxlan 承载")
    )
    for name, (address, _, _, pods) in NODES.items():
        wanted = {"PublicIP": address, "BackendType": "vxlan", "BackendData": {"VtepMAC": mac(lab, name)}}
        master.run(f"ETCDCTL_API=3 etcdctl get --print-value-only {LEASES}/{pods}.0-24").expect_json(
            wanted, Text(f"{name}'s address, and the MAC address of its flannel.1", f"{name} 的地址，以及它的 flannel.1 的 MAC 地址")
        )


@chapter.step(
    en="One route for every other node",
    zh="每个其他节点一条路由",
    why_en="""Where udp has one route for all pods, there is one for each other node's subnet here. Its gateway is the address of that
        node's flannel.1. No route leads to that gateway, so the kernel would refuse it; onlink says: take it as a neighbour on this device,
        whatever the route table says.""",
    why_zh="""udp 后端用一条路由覆盖所有 Pod；这里是每个其他节点的子网各一条，网关是那个节点上 flannel.1 的地址。
        没有任何路由通向这个网关，按常规内核会拒绝；onlink 的意思是：不管路由表怎么说，就把它当作这个设备上的邻居。""",
)
def routes(lab):
    for name, (address, network, gateway, own) in NODES.items():
        others = [pods for _, _, _, pods in NODES.values()]
        expected = [f"default via {gateway} dev eth0", f"{network} dev eth0 proto kernel scope link src {address}"]
        for pods in others:
            # The master has no pod, so nothing is plugged into its bridge.
            here = f"{pods}.0/24 dev docker0 proto kernel scope link src {pods}.1" + (" linkdown" if name == "zenlin" else "")
            expected.append(here if pods == own else f"{pods}.0/24 via {pods}.0 dev flannel.1 onlink")
        lab.node(name).run("ip route").expect_lines(
            expected,
            Text(f"{name}: own pods on docker0, two other subnets through flannel.1", f"{name}：本节点 Pod 在 docker0，另外两个子网走 flannel.1"),
        )


@chapter.step(
    en="Three questions, three tables",
    zh="三个问题，三张表",
    why_en="""A packet for 10.244.2.246 on node 1. Which gateway? The route table says 10.244.2.0, on flannel.1. Which MAC address has that
        gateway? The neighbour table says it; on an ordinary Ethernet the kernel would ask by ARP, here the entry is PERMANENT and nobody
        ever asks. Which machine has that MAC address? The forwarding table (FDB) of flannel.1 says 10.229.45.161: the frame goes there
        in a UDP datagram. flanneld has written all three, one line each for every other node.""",
    why_zh="""节点 1 上有一个包要去 10.244.2.246。下一跳网关是谁？路由表回答：flannel.1 上的 10.244.2.0。
        这个网关的 MAC 地址是什么？邻居表回答；在普通以太网上内核会用 ARP 去问，而这里的条目是 PERMANENT，永远不用问。
        这个 MAC 在哪台机器上？flannel.1 的转发表（FDB）回答：10.229.45.161，帧就装进 UDP 数据报发往那里。
        三张表都由 flanneld 填写，每个其他节点在每张表里各占一行。""",
)
def questions(lab):
    node = lab.node("zenlinnode1")
    there = mac(lab, "zenlinnode2")
    node.run(f"ip route get {IP2}").expect(
        f"{IP2} via 10.244.2.0 dev flannel.1", Text("1. Which gateway? 10.244.2.0", "1. 哪个网关？10.244.2.0")
    )
    node.run("ip neigh show 10.244.2.0 dev flannel.1").expect_lines(
        [f"10.244.2.0 lladdr {there} PERMANENT"],
        Text("2. Which MAC address? That of node 2's flannel.1", "2. 哪个 MAC 地址？节点 2 的 flannel.1 的"),
    )
    node.run(f"bridge fdb show dev flannel.1 | grep {there}").expect_lines(
        [f"{there} dst 10.229.45.161 self permanent"], Text("3. Which machine? Node 2", "3. 哪台机器？节点 2")
    )
    macs = {name: mac(lab, name) for name in NODES}
    for name in NODES:
        others = [(macs[other], address, pods) for other, (address, _, _, pods) in NODES.items() if other != name]
        node = lab.node(name)
        node.run("ip neigh show dev flannel.1 | sort").expect_lines(
            [f"{pods}.0 lladdr {there} PERMANENT" for there, _, pods in others],
            Text(f"{name} has two neighbours, both permanent", f"{name} 有两个邻居，都是永久条目"),
        )
        node.run("bridge fdb show dev flannel.1 | sort").expect_lines(
            sorted(f"{there} dst {address} self permanent" for there, address, _ in others),
            Text(f"{name} knows both machines", f"{name} 知道这两台机器"),
        )
