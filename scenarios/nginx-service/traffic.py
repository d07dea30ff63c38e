"""Third chapter: who answers, whom the server sees, and what happens at the edges."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .article import CLIENTS, IP1, IP2, LAB_NETWORK, LAB_REFUSAL, LAB_RULES, POD1, POD2, URL, VIP, knock, logged_sources, tally
from .backends import facts

chapter = Chapter()


@chapter.step(
    en="300 connections are split evenly",
    zh="300 个连接，均匀分配",
    why_en="""The choice is random, not in turn. With 300 fair tosses of a coin each side comes up about 150 times; the bounds of the
        check are so wide that a fair choice misses them once in a million runs.""",
    why_zh="""选择是随机的，不是轮流的。公平地抛 300 次硬币，每一面大约出现 150 次；
        检查的界限放得足够宽，公平的选择一百万次里才会有一次越界。""",
    needs=("access",),
)
def split(lab):
    many = lab.pod("ubuntu-zenlinnode1").run(f"curl -s -m 10 -H 'Connection: close' '{URL}?[1-300]' | grep '^pod: ' | sort | uniq -c", timeout=20)
    counts = tally(many)
    lab.expect_equal(Text("all 300 were answered", "300 次都有应答"), sum(counts.values()), 300)
    lab.expect_even_split(Text("both pods got their half", "两个 Pod 各得约一半"), counts, [f"pod: {POD1}", f"pod: {POD2}"])


@chapter.step(
    en="Which client address does nginx see?",
    zh="nginx 看到的客户端地址是谁的？",
    why_en="""From a pod, the source stays the pod's own address: it is known in the whole cluster, so the reply finds back. From a
        node, the packet was marked and is masqueraded: it gets the address of the device by which it leaves. To a pod on the same node
        that is docker0 (10.244.1.1), to a pod on another node flannel0 (10.244.1.0). vxlan's flannel.1 has that address, too; aws-vpc and
        gce have no device, and the packet leaves by eth0, with the node's address.""",
    why_zh="""从 Pod 访问时，源地址保持不变：Pod 地址全集群都认识，回包找得到路。从节点访问时，包被打过标记，会做地址伪装（MASQUERADE）：
        源地址改成出口设备的地址。去本节点的 Pod，出口是 docker0（10.244.1.1）；去别的节点的 Pod，出口是 flannel0（10.244.1.0）。
        vxlan 的 flannel.1 也是这个地址；aws-vpc 和 gce 没有设备，出口是 eth0，用的是节点地址。""",
    needs=("access",),
)
def sources(lab):
    knock(lab.pod("ubuntu-zenlin"), "from-pod", 24)
    own = Text("the client pod's own address", "客户端 Pod 自己的地址")
    logged_sources(lab, POD1, "from-pod", "10.244.0.20", own)
    logged_sources(lab, POD2, "from-pod", "10.244.0.20", own)
    with lab.where_possible():
        lab.require_lab(LAB_NETWORK)
        from_nodes(lab, facts(lab))


def from_nodes(lab, here):
    """What the two pods see of callers on nodes."""
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
        here.source("zenlinnode1"),
        Text(f"other node: the address of node 1's {here.exit}", f"另一节点：节点 1 的 {here.exit} 地址"),
    )
    knock(lab.node("zenlin"), "from-master", 24)
    flannel = Text(f"the address of the master's {here.exit}", f"master 的 {here.exit} 地址")
    logged_sources(lab, POD1, "from-master", here.source("zenlin"), flannel)
    logged_sources(lab, POD2, "from-master", here.source("zenlin"), flannel)


@chapter.step(
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
    logged_sources(lab, POD2, "hairpin", IP1, Text("the other pod saw its real address", "另一个 Pod 看到的是它的真实地址"))
    with lab.where_possible():
        lab.require_lab(LAB_NETWORK)
        logged_sources(lab, POD1, "hairpin", "10.244.1.1", Text("it saw itself as 10.244.1.1, the bridge", "它看到的自己是网桥 10.244.1.1"))


@chapter.step(
    en="A pod's address works without any service",
    zh="不经过 Service，直接访问 Pod 地址",
    why_en="""Pod addresses are real: they are on network cards and in route tables. No rule of kube-proxy takes part. The article calls
        the pod's address “cluster ip” once; the cluster IP is the service's.""",
    why_zh="""Pod 地址是真实存在的：配在网卡上，也在路由表里，不需要 kube-proxy 的任何规则。
        文章有一处把 Pod 的地址叫作“cluster ip”；Cluster IP 其实是 Service 的地址。""",
)
def direct(lab):
    lab.pod("ubuntu-zenlinnode1").run(f"curl -s -m 2 http://{IP2}/").expect(f"pod: {POD2}", Text("from a pod on another node", "从另一节点的 Pod"))
    with lab.where_possible():
        lab.node("zenlinnode1").run(f"curl -s -m 2 'http://{IP2}/?direct-1'").expect(f"pod: {POD2}", Text("from another node", "从另一个节点"))
        lab.require_lab(LAB_NETWORK)
        here = facts(lab)
        logged_sources(
            lab,
            POD2,
            "direct",
            here.source("zenlinnode1"),
            Text(f"the node speaks as its {here.exit} here too: its route says so", f"节点在这里也用 {here.exit} 的地址：由路由决定"),
        )


@chapter.step(
    en="The cluster IP is nobody: ping finds no one",
    zh="Cluster IP 不属于任何机器：ping 不通",
    why_en="""The address exists only in the rules, and the rules match one protocol and one port. Anything else for it follows the
        default route out of the cluster, to a router that knows no such network. So ping says nothing about a service.""",
    why_zh="""这个地址只存在于规则里，而规则只匹配一种协议、一个端口。发往它的其他包都会沿默认路由离开集群，而外面的路由器不认识这个网段。
        所以不能用 ping 来判断 Service 是否正常。""",
)
def nobody(lab):
    pod = lab.pod("ubuntu-zenlinnode1")
    pod.run(f"ping -c 1 -W 0.2 {VIP}").expect_status(1, name=Text("ping fails", "ping 失败")).expect(
        "100% packet loss", Text("that address did not reply", "这个地址没有回应")
    )
    pod.run(f"curl -sS -m 0.3 http://{VIP}:80/").expect_status(
        7,
        28,
        name=Text("port 80 of the cluster IP is nobody either: the rules match 8000", "Cluster IP 的 80 端口也没有人：规则匹配的是 8000"),
    )
    with lab.where_possible():
        lab.require_lab(LAB_NETWORK)
        lab.node("zenlinnode1").run(f"ip route get {VIP}").expect(
            "via 10.229.52.1 dev eth0", Text("for the route table it is an address like any other", "在路由表看来，它只是个普通的外部地址")
        )


@chapter.step(
    en="One pod refuses a client: about half of its connections fail",
    zh="一个 Pod 拒绝某个客户端：大约一半的连接失败",
    why_en="""The dice do not know what waits behind one of their sides. In iptables mode the choice is made once, for the first packet, and
        cannot be taken back; kube-proxy's older userspace mode would dial the next pod. Here nginx runs and its pod stays ready: only
        this one client is turned away, which no probe of the kubelet sees.""",
    why_zh="""掷骰子的规则并不知道其中一面背后是什么情形。iptables 模式只在第一个包时选择一次，选了就不能反悔；
        kube-proxy 早期的 userspace 模式则会改拨下一个 Pod。这里 nginx 照常运行，Pod 也保持就绪，只有这一个客户端被拒之门外，
        kubelet 的任何探针都看不出来。""",
    needs=("access",),
    lab_only=LAB_REFUSAL,
)
def refusing(lab):
    pod, client = lab.pod(POD1), lab.pod("ubuntu-zenlinnode2")
    rule = f"INPUT -p tcp -s {CLIENTS['ubuntu-zenlinnode2'][1]} --dport 80 -j REJECT --reject-with tcp-reset"
    pod.run(f"iptables -I {rule}").expect_status()
    try:
        tries = client.run(
            f"curl -s -m 10 -H 'Connection: close' -o /dev/null -w '%{{http_code}}\\n' '{URL}?[1-100]' | sort | uniq -c",
            timeout=20,
        )
        lab.expect_even_split(
            Text("about half are answered (200), the others refused (000)", "大约一半有应答（200），其余被拒绝（000）"),
            tally(tries),
            ["000", "200"],
        )
        client.run(f"curl -sS -m 2 http://{IP1}/").expect_status(7, name=Text("refused at once by that pod", "被这个 Pod 立刻拒绝"))
    finally:
        pod.run(f"iptables -D {rule}").expect_status()
    again = client.run(f"curl -s -m 5 -H 'Connection: close' -o /dev/null -w '%{{http_code}}\\n' '{URL}?[1-24]' | sort | uniq -c", timeout=10)
    lab.expect_equal(Text("all connections are answered again", "所有连接又都有应答了"), tally(again), {"200": 24})


@chapter.step(
    en="One nginx stopped: the kubelet starts it again",
    zh="停掉一个 nginx：kubelet 会把它重新启动",
    why_en="""A container that ends is started again, in the same pod with the same address. While nginx is away the pod is not ready, and
        endpoints and rules follow.""",
    why_zh="""容器退出后，kubelet 会在同一个 Pod 里重新启动它，地址不变。nginx 不在的时候 Pod 处于未就绪状态，
        Endpoints 和规则也随之变化。""",
    needs=("access",),
)
def restarted(lab):
    def restarts():
        (status,) = lab.api.get("pods", POD1, "default")["status"]["containerStatuses"]
        return status["restartCount"] if status["ready"] else -1

    before = restarts()
    lab.pod(POD1).run("nginx -s stop").expect_status()
    lab.until(checks.equal(Text("started once more, and ready", "又启动了一次，并且就绪"), before + 1), restarts, timeout=15)
    with lab.where_possible():
        lab.require_lab(LAB_RULES)
        for node in lab.nodes:
            judge = checks.equal(Text(f"{node.name}: both pods are in the rules", f"{node.name}：两个 Pod 都在规则里"), "2\n")
            node.until("iptables-save -t nat | grep -c 'nginx-service.*DNAT --to-destination 10.244'", judge)
