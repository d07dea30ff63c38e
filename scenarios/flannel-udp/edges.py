"""Third chapter: what does not fit, what nobody holds, and what leaves the pod network."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .article import FNSSV, IP1, IP2, NODE1, NODE_IP1, OVERHEAD, ends, journey, places_of

chapter = Chapter()

NOBODY = "10.244.77.7"
CLIENT = "192.168.88.10"


@chapter.step(
    en="The MTU: 1472 bytes fit, 1473 do not",
    zh="MTU：1472 字节放得下，1473 字节放不下",
    why_en="""The wires between the nodes carry 1500 bytes. 28 of them are the outer headers, so 1472 are left for the pod's packet, and
        flannel sets the MTU of flannel0, docker0 and the pods to that. A ping of 1444 bytes is just such a packet: 20 of IP and 8 of ICMP
        come before its data. `-M do` forbids to cut it up.""",
    why_zh="""节点之间的线路一次最多运送 1500 字节，其中外层包头占 28，留给 Pod 的包 1472。flannel 把 flannel0、docker0 和 Pod 的 MTU 都设成这个值。
        1444 字节的 ping 正好是这么大的包：数据前面有 20 字节 IP 头和 8 字节 ICMP 头。`-M do` 表示不许分片。""",
)
def mtu(lab):
    pod = lab.pod(FNSSV)
    with lab.capture([(FNSSV, "eth0"), (NODE1, "eth0")]) as seen:
        pod.run(f"ping -c 1 -W 2 -M do -s 1444 {IP2}").expect(" 0% packet loss", Text("1472 bytes pass", "1472 字节能通过"))
    bare, wrapped = journey(seen.sightings, IP1, IP2)
    lab.show_packets([bare, wrapped], en="The largest packet, at the pod and on the wire", zh="最大的包：在 Pod 上和在线路上")
    lab.expect_equal(Text("the wire is exactly full", "线路正好装满"), (bare.packet.ip.length, wrapped.packet.ip.length), (1500 - OVERHEAD, 1500))
    pod.run(f"ping -c 1 -W 0.2 -M do -s 1445 {IP2} 2>&1").expect(
        "mtu=1472",
        Text("one byte more: the pod's own kernel refuses, its eth0 has MTU 1472", "多一个字节：Pod 自己的内核就拒绝了，因为 eth0 的 MTU 是 1472"),
    )
    pod.run("ip link set eth0 mtu 1500").expect_status()
    try:
        with lab.capture([(FNSSV, "eth0"), (NODE1, "docker0"), (NODE1, "flannel0")]) as seen:
            pod.run(f"ping -c 1 -W 1 -M do -s 1445 {IP2}").expect(
                "Frag needed and DF set (mtu = 1472)",
                Text("with the article's MTU of 1500 it gets as far as the node", "把 MTU 改成文章里的 1500，包能走到节点"),
            )
        answers = errors(seen.sightings)
        lab.show_packets(
            [*journey(seen.sightings, IP1, IP2), *answers],
            en="The packet that is too long, and the answer (looked for at the pod's eth0, docker0, flannel0)",
            zh="过长的包，以及对它的回答（在 Pod 的 eth0、docker0、flannel0 上抓取）",
        )
        lab.expect_equal(
            Text("the node answers with ICMP from docker0's address, and names the MTU", "节点以 docker0 的地址回一个 ICMP，写明 MTU"),
            {(ends(one.packet), one.packet.transport.mtu) for one in answers},
            {(("10.244.1.1", IP1), 1472)},
        )
        at_flannel = [one for one in seen.sightings if one.place.interface == "flannel0" and one.packet.echo]
        lab.expect_equal(Text("nothing of it got to flannel0", "flannel0 上什么也没有"), len(at_flannel), 0)
    finally:
        pod.run("ip link set eth0 mtu 1472; ip route flush cache").expect_status()
    lab.say(
        en="The kernel of the pod remembers such an answer, and TCP then sends smaller segments. So a wrong MTU is not noticed, as long as "
        "the answer arrives; where a firewall drops ICMP, long packets vanish and short ones do not.",
        zh="Pod 的内核会记住这样的回答，TCP 随后改发较小的段。所以只要回答能送到，MTU 配错了也看不出来；"
        "如果防火墙丢弃 ICMP，就会出现“小包能通、大包消失”的怪事。",
    )


@chapter.step(
    en="A subnet that nobody holds: flanneld answers, and the kernel does not believe it",
    zh="没有人持有的子网：flanneld 有回答，内核却不信",
    why_en="""10.244.77.0/24 is leased to no node, but the route for 10.244.0.0/16 sends packets for it to flannel0 all the same. flanneld finds
        nobody and answers with ICMP “net unreachable”, as a router would. It writes the answer into flannel0 with flannel0's own address as
        its source, and the kernel takes a packet that comes in with one of its own addresses for a forgery. So on a real node, too, the pod
        waits in vain, unless accept_local is set.""",
    why_zh="""10.244.77.0/24 没有租给任何节点，但 10.244.0.0/16 的路由照样把发往它的包送进 flannel0。flanneld 找不到持有者，
        就像路由器一样回一个 ICMP“网络不可达”。这个回答写进 flannel0 时，源地址是 flannel0 自己的地址；而内核收到一个源地址是本机地址的包，
        会当作伪造的丢弃。所以在真实的节点上，Pod 同样等不到回答，除非打开 accept_local。""",
)
def nobody(lab):
    node, pod = lab.node(NODE1), lab.pod(FNSSV)
    node.run(f"ip route get {NOBODY}").expect("dev flannel0", Text("flannel0 takes it", "交给 flannel0"))
    answers = refused(lab)
    lab.show_packets(answers, en="ICMP errors at flannel0, docker0 and the pod's eth0", zh="flannel0、docker0 和 Pod 的 eth0 上的 ICMP 差错")
    lab.expect_equal(
        Text("flanneld's answer comes out of flannel0, and gets no further", "flanneld 的回答从 flannel0 出来，就再没有往前走"),
        places_of(answers),
        [f"{NODE1} flannel0"],
    )
    said = [(ends(one.packet), one.packet.transport.code, one.packet.ip.ttl, str(one.packet.quoted.ip.destination)) for one in answers]
    lab.expect_equal(
        Text(
            "net unreachable, from flannel0's own address, TTL 8, about 10.244.77.7",
            "网络不可达，来自 flannel0 自己的地址，TTL 8，说的是 10.244.77.7",
        ),
        said,
        [(("10.244.1.0", IP1), 0, 8, NOBODY)],
    )
    node.run("sysctl -w net.ipv4.conf.flannel0.accept_local=1").expect_status()
    try:
        answers = refused(lab)
        lab.show_packets(answers, en="The same with accept_local", zh="打开 accept_local 之后")
        lab.expect_equal(
            Text("now it reaches the pod", "现在回答到了 Pod"), places_of(answers), [f"{NODE1} flannel0", f"{NODE1} docker0", f"{FNSSV} eth0"]
        )
    finally:
        node.run("sysctl -w net.ipv4.conf.flannel0.accept_local=0").expect_status()
    pod.run(f"ping -c 1 -W 0.3 {NOBODY}").expect_status(1, name=Text("ping gets no answer", "ping 得不到回答")).lacks(
        "errors", Text("and no error either: flanneld never answers ICMP with ICMP", "也没有差错报文：flanneld 从不用 ICMP 回答 ICMP")
    )


@chapter.step(
    en="Out of the cluster: without flannel's tunnel, with the node's address",
    zh="离开集群：不走隧道，换成节点的地址",
    why_en="""A packet for the outside world matches the default route, so flanneld never sees it. But nobody out there knows 10.244.1.145,
        so flanneld has left rules in netfilter, the kernel's packet filter: from pod to pod the source stays, from a pod to anywhere else it
        becomes the node's.""",
    why_zh="""发往外部的包匹配的是默认路由，flanneld 根本看不到它。可是外面没有人认识 10.244.1.145，
        所以 flanneld 在内核的包过滤框架 netfilter 里留下了规则：Pod 到 Pod 保留源地址，Pod 到别处则换成节点的地址。""",
)
def outside(lab):
    lab.node(NODE1).run("iptables -t nat -S POSTROUTING").expect(
        "-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN", Text("from pod to pod: leave it alone", "Pod 到 Pod：不改")
    ).expect("-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE", Text("from a pod to the world: masquerade", "Pod 到外部：做地址伪装"))
    with lab.capture([(FNSSV, "eth0"), (NODE1, "flannel0"), (NODE1, "eth0"), ("client", "eth0")]) as seen:
        lab.pod(FNSSV).run(f"ping -c 1 -W 1 {CLIENT}").expect("ttl=62", Text("the client answers, two hops away", "客户端有应答，隔着两跳"))
    there = [one for one in seen.sightings if one.packet.echo and ends(one.packet)[1] == CLIENT]
    lab.show_packets(there, en="The request, from the pod to the client", zh="请求包，从 Pod 到客户端")
    lab.expect_equal(
        Text(
            "never in flannel0, never wrapped; the node's address once it leaves the node", "没有经过 flannel0，也没有封装；离开节点时换成节点的地址"
        ),
        [(str(one.place), one.packet.wrapped, ends(one.packet)[0]) for one in there],
        [(f"{FNSSV} eth0", False, IP1), (f"{NODE1} eth0", False, NODE_IP1), ("client eth0", False, NODE_IP1)],
    )
    lab.say(
        en="Where the article says “Netflix”, it means netfilter.",
        zh="文章里写的“Netflix”，指的是 netfilter。",
    )


def errors(sightings):
    """The sightings of ICMP errors: messages about another packet."""
    return [one for one in sightings if one.packet.quoted]


def refused(lab):
    """Send a datagram to nobody's subnet: the ICMP errors that it brings, wherever they are seen on node 1."""
    with lab.capture([(NODE1, "flannel0"), (NODE1, "docker0"), (FNSSV, "eth0")]) as seen:
        lab.pod(FNSSV).run(f"echo hello > /dev/udp/{NOBODY}/5000").expect_status()
        # flanneld treats its packets one after the other: when this one has come back, the answer before it has gone all its way.
        lab.pod(FNSSV).run(f"ping -c 1 -W 2 {IP2}").expect(
            "ttl=60", Text("a packet to a subnet that somebody holds passes", "发往有人持有的子网，包能通过")
        )
    return errors(seen.sightings)
