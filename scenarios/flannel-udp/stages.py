"""Second chapter: the five stages of the article's journey, each looked at where it happens, and then the whole way and back."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .article import (
    FNSSV,
    IP1,
    IP2,
    NODE1,
    NODE2,
    NODE_IP1,
    NODE_IP2,
    OVERHEAD,
    RECEIVER,
    SENDER,
    WIRE,
    ends,
    named,
    outer_ttls,
    ping,
    places_of,
    ttls,
)

chapter = Chapter()


@chapter.step(
    en="Stage 1: from the pod by docker0 to flannel0",
    zh="第一阶段：从 Pod 经 docker0 到 flannel0",
    why_en="""The packet leaves the pod with TTL 64. docker0 is the pod's gateway, so the packet is for the bridge itself and goes up into
        the node's kernel, which looks into its route table, finds 10.244.0.0/16, takes 1 off the TTL as every router does, and sends the
        packet out by flannel0.""",
    why_zh="""包离开 Pod 时 TTL 是 64。docker0 是 Pod 的网关，所以这个帧是发给网桥自己的，会上交给节点的内核。内核查路由表，
        匹配 10.244.0.0/16，像所有路由器一样把 TTL 减 1，然后从 flannel0 发出。""",
)
def leaves(lab):
    lab.node(NODE1).run(f"ip route get {IP2} from {IP1} iif docker0").expect(
        "dev flannel0", Text("the kernel's decision for this packet", "内核对这个包的路由决定")
    )
    there, _ = ping(lab, SENDER)
    lab.show_packets(there, en="The packet at the pod's eth0, at docker0, at flannel0", zh="这个包在 Pod 的 eth0、docker0、flannel0 上的样子")
    lab.expect_equal(Text("at all three, in this order", "三处都看到，顺序也对"), places_of(there), named(SENDER))
    lab.expect_equal(
        Text("TTL 64 in the pod and on the bridge, 63 once the node has routed it", "Pod 里和网桥上 TTL 是 64，节点路由之后是 63"),
        ttls(there),
        [64, 64, 63],
    )
    lab.expect_equal(
        Text("the bare packet of the pod: nothing is wrapped yet", "还是 Pod 发出的原样：尚未封装"),
        [(one.packet.wrapped, ends(one.packet)) for one in there],
        [(False, (IP1, IP2))] * 3,
    )
    lab.say(
        en="The article writes 10.244.1.145 as the destination at this place. That is where the packet comes from; it goes to 10.244.2.246.",
        zh="文章在这里把目的地址写成了 10.244.1.145。那是包的来处，它要去的是 10.244.2.246。",
    )


@chapter.step(
    en="Stages 2 and 3: flanneld wraps it and sends it to the other flanneld",
    zh="第二、三阶段：flanneld 封装，发给对方的 flanneld",
    why_en="""flanneld reads the packet from flannel0, looks up who holds 10.244.2.0/24, takes 1 off the TTL, and sends all of it, headers
        included, as the payload of a UDP datagram: payload | inner IP | UDP | outer IP. From now on it is a packet between two nodes,
        and any network that connects the nodes can carry it.""",
    why_zh="""flanneld 从 flannel0 读出这个包，查到 10.244.2.0/24 归谁，把 TTL 减 1，再把整个包连同包头一起作为 UDP 数据报的载荷发出去：
        载荷 | 内层 IP | UDP | 外层 IP。从这里起，它就是两个节点之间的普通包，凡是能连通节点的网络都能运送它。""",
)
def wrapped(lab):
    before, after = ping(lab, [(NODE1, "flannel0"), (NODE1, "eth0")])[0]
    lab.show_packets(
        [before, after],
        en="Before flanneld and after it, from the outside in: the outer headers first, `|` before what is inside",
        zh="进入 flanneld 之前和之后。由外向内：先是外层包头，`|` 后面是里面的包",
    )
    outer, inner = after.packet, after.packet.innermost
    lab.expect_equal(
        Text("bare at flannel0, wrapped at eth0", "在 flannel0 上没有封装，在 eth0 上已封装"), (before.packet.wrapped, outer.wrapped), (False, True)
    )
    lab.expect_equal(Text("outside: from node to node", "外层：从节点到节点"), ends(outer), (NODE_IP1, NODE_IP2))
    lab.expect_equal(
        Text("UDP, from port 8285 to port 8285", "UDP，8285 端口到 8285 端口"), (outer.transport.source, outer.transport.destination), (8285, 8285)
    )
    lab.expect_equal(Text("inside: still from pod to pod", "内层：仍是从 Pod 到 Pod"), ends(inner), (IP1, IP2))
    lab.expect_equal(
        Text("the inner TTL is 62: flanneld counts as a hop", "内层 TTL 变成 62：flanneld 也算一跳"), (before.packet.ip.ttl, inner.ip.ttl), (63, 62)
    )
    lab.expect_equal(Text("the outer packet starts afresh with TTL 64", "外层包重新从 TTL 64 开始"), outer.ip.ttl, 64)
    lab.expect_equal(
        Text("28 bytes longer: 20 of outer IP, 8 of UDP", "长了 28 字节：外层 IP 头 20，UDP 头 8"), outer.ip.length, inner.ip.length + OVERHEAD
    )
    lab.expect_equal(Text("the payload is untouched", "载荷原封不动"), inner.payload, before.packet.payload)


@chapter.step(
    en="Between the nodes: the router sees nothing of it",
    zh="节点之间：路由器什么也看不到",
    why_en="""The router looks at the outer header, finds node 2's network, takes 1 off the outer TTL. What is inside is to it what a
        letter is to the post. That is the point of an overlay: the network in the middle needs no route to any pod.""",
    why_zh="""路由器只看外层包头，找到节点 2 所在的网段，把外层 TTL 减 1。里面装的是什么，就像信件对于邮局一样，与它无关。
        这正是叠加网络（overlay）的意义：中间的网络不需要任何通往 Pod 的路由。""",
)
def routed(lab):
    router = lab.host("router")
    router.run("ip route").lacks("10.244.", Text("the router has no route to any pod", "路由器没有去往 Pod 的路由"))
    there, _ = ping(lab, WIRE)
    lab.show_packets(there, en="The packet on the wire, from node 1 by the router to node 2", zh="线路上的包：从节点 1 经路由器到节点 2")
    lab.expect_equal(Text("node 1, into the router, out of it, node 2", "节点 1、进路由器、出路由器、节点 2"), places_of(there), named(WIRE))
    lab.expect_equal(
        Text("wrapped at each of these places: the router never unwraps it", "四处都是封装着的：路由器从不拆开"),
        [one.packet.wrapped for one in there],
        [True] * 4,
    )
    lab.expect_equal(
        Text("the outer TTL is 64 before the router and 63 behind it", "外层 TTL 在路由器之前是 64，之后是 63"), outer_ttls(there), [64, 64, 63, 63]
    )
    lab.expect_equal(Text("the inner TTL stays 62", "内层 TTL 一直是 62"), ttls(there), [62] * 4)
    first, last = there[0].packet.ethernet, there[-1].packet.ethernet
    lab.expect_equal(
        Text("another Ethernet header on each cable: the MACs are the router's and the nodes'", "每段网线上的以太网头都不同：MAC 是路由器和节点的"),
        (first.source != last.source, first.destination != last.destination),
        (True, True),
    )


@chapter.step(
    en="Stage 4: the other flanneld unwraps it into flannel0",
    zh="第四阶段：对方的 flanneld 解封，写入 flannel0",
    why_en="""For node 2's kernel this is a datagram for a local port, so flanneld receives its payload, which is the pod's packet. It takes 1
        off the TTL and writes the packet into flannel0. The kernel takes it in there as if it had come by a cable.""",
    why_zh="""在节点 2 的内核看来，这是一个发给本机端口的数据报，于是 flanneld 收到了它的载荷，也就是 Pod 的那个包。
        flanneld 把 TTL 减 1，写入 flannel0；内核就像从网线上收到一样处理它。""",
)
def unwrapped(lab):
    before, after = ping(lab, [(NODE2, "eth0"), (NODE2, "flannel0")])[0]
    lab.show_packets([before, after], en="At node 2's eth0, and written into flannel0", zh="到达节点 2 的 eth0，以及写入 flannel0 之后")
    lab.expect_equal(
        Text("wrapped at eth0, bare at flannel0", "在 eth0 上是封装的，在 flannel0 上已拆开"),
        (before.packet.wrapped, after.packet.wrapped),
        (True, False),
    )
    lab.expect_equal(
        Text("both come in: flannel0 takes the packet from flanneld", "两处都是收到：flannel0 从 flanneld 那里收包"),
        (before.direction, after.direction),
        ("in", "in"),
    )
    lab.expect_equal(Text("TTL 62 inside, 61 in flannel0", "内层 TTL 62，到 flannel0 是 61"), ttls([before, after]), [62, 61])
    lab.expect_equal(Text("exactly what the pod had sent", "正是 Pod 发出的内容"), after.packet.payload, before.packet.innermost.payload)


@chapter.step(
    en="Stage 5: by docker0 into the pod",
    zh="第五阶段：经 docker0 进入 Pod",
    why_en="""Node 2's kernel routes the packet once more: 10.244.2.0/24 is behind its docker0. From there it is like traffic inside one
        node: the bridge finds the port of the pod by its MAC.""",
    why_zh="""节点 2 的内核再做一次路由：10.244.2.0/24 在它的 docker0 后面。到了这里，就和同一节点内的通信一样：
        网桥按 MAC 地址找到 Pod 的端口。""",
)
def arrives(lab):
    lab.node(NODE2).run(f"ip route get {IP2} from {IP1} iif flannel0").expect(
        "dev docker0", Text("the kernel's decision on node 2", "节点 2 上内核的路由决定")
    )
    there, _ = ping(lab, RECEIVER)
    lab.show_packets(there, en="At flannel0, at docker0, at the other pod's eth0", zh="在 flannel0、docker0 和对端 Pod 的 eth0 上")
    lab.expect_equal(Text("at all three, in this order", "三处都看到，顺序也对"), places_of(there), named(RECEIVER))
    lab.expect_equal(Text("TTL 61, and 60 once node 2 has routed it", "TTL 61，节点 2 路由之后是 60"), ttls(there), [61, 60, 60])
    lab.expect_equal(
        Text("the source is still the first pod: nobody has translated it", "源地址还是第一个 Pod：没有做过地址转换"),
        ends(there[-1].packet),
        (IP1, IP2),
    )


@chapter.step(
    en="The whole journey, there and back",
    zh="完整的旅程：去程与回程",
    why_en="""One packet, seen at all ten interfaces. All machines of the lab share one clock, so the times can be compared. Four hops have
        routed it, two kernels and two flannelds: 64 becomes 60. The reply goes the same way backwards, wrapped by node 2's flanneld.""",
    why_zh="""同一个包，在十个接口上看到。所有机器共用一个时钟，时间可以直接比较。途中经过四次路由：两个内核、两个 flanneld，
        所以 64 变成 60。回包沿原路返回，由节点 2 的 flanneld 封装。""",
)
def whole(lab):
    way = [*SENDER, *WIRE, *RECEIVER]
    there, back = ping(lab, way)
    lab.show_packets(there, en=f"There: {IP1} to {IP2}", zh=f"去程：{IP1} 到 {IP2}")
    lab.expect_equal(Text("all ten places, in the order of the way", "十个地点，按路线的顺序"), places_of(there), named(way))
    lab.expect_equal(Text("the same payload everywhere", "每一处的载荷都相同"), len({one.packet.innermost.payload for one in there}), 1)
    lab.expect_equal(Text("it is the word that ping was given", "就是交给 ping 的那个词"), b"hellohello" in there[0].packet.innermost.payload, True)
    lab.expect_equal(
        Text("wrapped exactly between the two flannelds", "恰好在两个 flanneld 之间是封装的"),
        [str(one.place) for one in there if one.packet.wrapped],
        named(WIRE),
    )
    lab.expect_equal(Text("the inner TTL, place by place", "逐处的内层 TTL"), ttls(there), [64, 64, 63, 62, 62, 62, 62, 61, 60, 60])
    lab.expect_equal(
        Text("the same length inside, whatever is around it", "里面的长度始终不变"), {one.packet.innermost.ip.length for one in there}, {84}
    )
    lab.show_packets(back, en=f"And back: {IP2} to {IP1}", zh=f"回程：{IP2} 到 {IP1}")
    lab.expect_equal(Text("the reply passes the same places backwards", "回包反向经过同样的地点"), places_of(back), named(reversed(way)))
    lab.expect_equal(
        Text("its TTL begins at 64 and ends at 60 as well", "它的 TTL 也是从 64 到 60"), ttls(back), [64, 64, 63, 62, 62, 62, 62, 61, 60, 60]
    )
    lab.expect_equal(
        Text("wrapped by node 2 this time", "这次由节点 2 封装"),
        {ends(one.packet) for one in back if one.packet.wrapped},
        {(NODE_IP2, NODE_IP1)},
    )


@chapter.step(
    en="On one node flannel takes no part",
    zh="同一节点内，flannel 不参与",
    why_en="""docker0's route is more exact than flannel0's, so packets to a neighbour, and to the bridge itself, never come near flannel. This is
        also the control for the steps before: an empty capture of flannel0 means something only because it was not empty then.""",
    why_zh="""docker0 的路由比 flannel0 的更精确，所以发给邻居、发给网桥自己的包都不会经过 flannel。
        这也是对前面各步的对照：flannel0 上抓不到包之所以说明问题，正是因为前面都抓到了。""",
    needs=("whole",),
)
def local(lab):
    with lab.capture([(FNSSV, "eth0"), (NODE1, "flannel0")]) as seen:
        lab.pod(FNSSV).run("ping -c 1 -W 1 10.244.1.1").expect("ttl=64", Text("docker0 answers, no hop between", "docker0 应答，中间没有路由"))
    found = [one for one in seen.sightings if one.packet.echo]
    lab.expect_equal(
        Text("request and reply at the pod, nothing at flannel0", "Pod 上有请求和应答，flannel0 上什么也没有"),
        places_of(found),
        [f"{FNSSV} eth0"] * 2,
    )
