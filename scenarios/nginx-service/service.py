"""Second chapter: a service is eight rules on every node, and this is what each of them does."""

from __future__ import annotations

import re

from lab.scenario import Chapter, Text

from .article import (
    ANSWER,
    CATCH,
    CLIENTS,
    DICE,
    DNAT1,
    DNAT2,
    IP1,
    IP2,
    LAB_RULES,
    MARK1,
    MARK2,
    MARK_OUTSIDE,
    REST,
    RULES,
    SEP1,
    SEP2,
    SVC,
    VIP,
    chain_hash,
    counters,
)

chapter = Chapter()


@chapter.step(
    en="The service's network: eight rules, the same on all three nodes",
    zh="Service 网络：八条规则，三个节点完全相同",
    why_en="""kube-proxy watches services and their endpoints and writes these rules on every node, whether or not one of the service's
        pods runs there. The chain names are no accident: they are the first 16 characters of a base32 SHA-256 over the service's name
        and protocol, and over the pod's address and port too in the case of KUBE-SEP. So every node, and the article's cluster, comes to
        the same names.""",
    why_zh="""kube-proxy 监视 Service 及其 Endpoints，并在每个节点上写下这些规则，不管该节点上有没有这个 Service 的 Pod。
        链名不是随机的：对 Service 名加协议名（KUBE-SEP 链还要加上 Pod 的地址和端口）求 SHA-256，再做 base32，取前 16 个字符。
        所以各节点得到的名字一样，与文章里的集群也一样。""",
    lab_only=LAB_RULES,
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
        title = Text(f"{chain} is base32(sha256(“{text}”))", f"{chain} 就是 base32(sha256(“{text}”))")
        lab.expect_equal(title, chain[:9] + chain_hash(text), chain)
    lab.say(
        en="The article says that services live in “10.0.0.0”. Every cluster IP it shows is in 10.96.0.0/12. And what it calls "
        "“Netflix”, where these rules are loaded, is netfilter, the kernel's packet filter.",
        zh="文章说 Service 的网段是“10.0.0.0”，但它列出的 Cluster IP 全都在 10.96.0.0/12 里。"
        "另外，装载这些规则的是内核的包过滤框架 netfilter，文章误写成了“Netflix”。",
    )


@chapter.step(
    en="The service answers everywhere",
    zh="在哪里都能访问这个 Service",
    why_en="""The same address and port work from every node and from every pod. Which of the two pods answers is decided anew for
        each connection; its name stands in the page.""",
    why_zh="""无论从哪个节点、哪个 Pod，访问的都是同一个地址和端口。每个新连接由两个 Pod 中的哪一个应答，都是重新决定的；
        应答页面里写着那个 Pod 的名字。""",
)
def access(lab):
    for name in CLIENTS:
        lab.pod(name).run(f"curl -s -m 2 {VIP}:8000").expect("pod: nginx-deployment-", ANSWER)
    with lab.where_possible():
        for node in lab.nodes:
            node.run(f"curl -s -m 2 {VIP}:8000").expect("pod: nginx-deployment-", ANSWER)


@chapter.step(
    en="The rules one by one, with their counters",
    zh="逐条读规则，用计数器验证",
    why_en="""`iptables-save -c` puts in front of each rule how many packets it has matched. Only the first packet of a connection goes
        through the nat table; conntrack remembers the decision for the others and for the replies. So each connection adds exactly 1
        to every rule it meets.""",
    why_zh="""`iptables-save -c` 会在每条规则前面显示它匹配过多少个包。只有连接的第一个包经过 nat 表，
        之后的包和回包都由 conntrack 按记录处理。所以每个连接经过一条规则，计数正好加 1。""",
    needs=("access",),
    lab_only=LAB_RULES,
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


@chapter.step(
    en="conntrack remembers the choice",
    zh="conntrack 记住选择的结果",
    why_en="""Each line is one connection, seen twice: first as the client dialled it, then as the reply comes back. In the first half
        the destination is the cluster IP, in the second the source is the pod that was chosen. The kernel uses this record to turn the
        reply's source into the cluster IP again, so the client never learns the pod's address.""",
    why_zh="""每一行是一个连接，记了两遍：前半是客户端发起时的样子，后半是回包的样子。前半的目的地址是 Cluster IP，
        后半的源地址是被选中的 Pod。内核据此把回包的源地址改回 Cluster IP，客户端始终看不到 Pod 的地址。""",
    needs=("access",),
    lab_only=LAB_RULES,
)
def conntrack(lab):
    lab.node("zenlinnode1").run(f"conntrack -L -p tcp --orig-src 10.244.1.145 --orig-dst {VIP}").expect_match(
        rf"src=10\.244\.1\.145 dst={re.escape(VIP)} sport=\d+ dport=8000 "
        rf"src=({re.escape(IP1)}|{re.escape(IP2)}) dst=10\.244\.1\.145 sport=80 ",
        Text("cluster IP on the way out, pod address on the way back", "去程是 Cluster IP，回程是 Pod 地址"),
    )
