"""sessionAffinity ClientIP: the choice of a pod that is remembered by client address, where it is remembered, and for how long."""

from __future__ import annotations

import re

from lab.scenario import Pin, Scenario, Text, checks

URL = "http://10.105.211.20:8000"
PODS = ["hello-1", "hello-2"]
NODE1, NODE2 = "10.229.53.146", "10.229.45.161"
MANY = range(100, 140)
"""The last numbers of 40 more addresses of the client outside: that chance alone sends all of them to one pod happens once in 2^39 runs."""

LAB_RULES = Text("it reads the rules of v1.7's kube-proxy", "要读 v1.7 的 kube-proxy 规则")

scenario = Scenario(
    title=Text("sessionAffinity: one client, one pod", "sessionAffinity：同一个客户端，同一个 Pod"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["hello.yaml"],
    pins=[
        Pin("hello-1", node="zenlinnode1", address="10.244.1.61"),
        Pin("hello-2", node="zenlinnode2", address="10.244.2.61"),
        Pin("ubuntu", node="zenlinnode1", address="10.244.1.145"),
    ],
    intro=Text(
        "A service chooses a pod anew for each connection, unless its sessionAffinity is ClientIP, as it is here: then the first choice "
        "counts for all further connections from that client address. The kernel keeps the list, on each node its own.",
        "默认情况下，Service 为每个新连接重新选择 Pod；sessionAffinity 设为 ClientIP 时（这里就是），第一次的选择对同一客户端地址以后的连接都有效。"
        "这份名单由内核保存，每个节点各有一份。",
    ),
)


@scenario.step(
    en="The rules: ask the list first, then throw dice",
    zh="规则：先查名单，再掷骰子",
    why_en="""Each KUBE-SEP chain has a list of client addresses with its own name. The first rules of the KUBE-SVC chain ask: was this source
        put on that list within the last 10800 seconds (three hours)? Only if no list has it do the rules with the random choice come. The
        DNAT rule puts the source on its list (--set).""",
    why_zh="""每条 KUBE-SEP 链都有一份同名的客户端地址名单。KUBE-SVC 链开头的几条规则先问：这个来源地址最近 10800 秒（三小时）内上过那份名单吗？
        所有名单上都没有，才轮到后面随机选择的规则。DNAT 规则同时把来源地址记到自己的名单上（--set）。""",
    lab_only=LAB_RULES,
)
def rules(lab):
    shown = lab.node("zenlinnode1").run("iptables-save -t nat | grep default/hello")
    found = re.findall(r"^-A KUBE-SVC-\S+ .*?-(?:m recent (--rcheck --seconds 10800 --reap)|m (statistic)|j KUBE-SEP)", shown.stdout, re.MULTILINE)
    kinds = ["list" if asked else "dice" if dice else "rest" for asked, dice in found]
    lab.expect_equal(
        Text("the service's chain: two lists, one throw of dice, the rest", "Service 的链：两份名单、一次掷骰子、剩下的"),
        kinds,
        ["list", "list", "dice", "rest"],
    )
    shown.expect_match(
        r"(?m)^-A (KUBE-SEP-\w{16}) .*-m recent --set --name \1 .*-j DNAT --to-destination 10\.244\.1\.61:8080$",
        Text("the DNAT to hello-1 remembers the client", "到 hello-1 的 DNAT 会记住客户端"),
    )


@scenario.step(
    en="100 connections of one client, one pod",
    zh="同一个客户端的 100 个连接，都到同一个 Pod",
    why_en="""Without affinity, chance alone would bring all 100 to one of two pods once in 2^99 runs, about 10^-30: far below one false
        verdict in a million. Which of the two pods it is, is left to chance.""",
    why_zh="""如果没有会话保持，100 个连接碰巧全到两个 Pod 中的同一个，概率是 2 的 99 次方分之一，约 10^-30，远小于百万分之一，不会误判。
        至于是哪一个 Pod，仍由随机决定。""",
)
def sticky(lab):
    _affinity(lab, "ClientIP")
    counts = _ask(lab, lab.pod("ubuntu"))
    lab.expect_equal(Text("one pod answered all 100", "100 个连接都由同一个 Pod 应答"), list(counts.values()), [100])


@scenario.step(
    en="Where the kernel remembers it",
    zh="内核记在哪里",
    why_en="""/proc/net/xt_recent has one file for each list. Our client is on exactly one of the two on node 1, where it lives. The other nodes
        know nothing of it: a client that comes by another node is a stranger there.""",
    why_zh="""/proc/net/xt_recent 下每份名单是一个文件。客户端在节点 1 上，它的地址只出现在节点 1 两份名单中的一份里。
        其他节点对它一无所知：同一个客户端如果从别的节点进来，在那里就是生客。""",
    needs=("sticky",),
    lab_only=LAB_RULES,
)
def remembered(lab):
    name = lab.node("zenlinnode1").run("grep -H 'src=10.244.1.145 ' /proc/net/xt_recent/*")
    name.expect_match(r"^/proc/net/xt_recent/KUBE-SEP-\w{16}:src=10\.244\.1\.145 ", Text("node 1 remembers the client", "节点 1 记得这个客户端"))
    lab.expect_equal(Text("on one list only", "只在一份名单上"), len(name.lines), 1)
    lab.node("zenlinnode2").run("grep -c 'src=10.244.1.145 ' /proc/net/xt_recent/* | grep -v ':0$'").expect_lines(
        [], Text("node 2 does not", "节点 2 不记得")
    )


@scenario.step(
    en="Other clients may get another pod, and so may one that comes by another node",
    zh="别的客户端可能分到别的 Pod，同一个客户端换个节点也一样",
    why_en="""The client outside takes 40 more addresses: for the service these are 40 clients. Each dials the node port of node 1 twice, then that
        of node 2. On one node everybody stays with the pod of the first time, and each pod has some of the 40. By node 2 some
        get the other pod, as its lists are its own. Chance alone would deny us either observation at most once in 2^39 runs,
        about 2 in 10^12. Afterwards the addresses are taken away.""",
    why_zh="""集群外的客户端再给自己加 40 个地址，在 Service 看来就是 40 个客户端。每个地址先访问两次节点 1 的 NodePort，再访问节点 2 的。
        在同一个节点上，谁都留在第一次分到的 Pod 那里，而 40 个客户端在两个 Pod 上都有；换到节点 2，有些就分到了另一个 Pod，因为它有自己的名单。
        碰巧看不到其中任何一种情况的概率，至多是 2 的 39 次方分之一，约 10^-12 的两倍。最后把这些地址删掉。""",
)
def others(lab):
    _affinity(lab, "ClientIP")
    client = lab.client()
    numbers = f"$(seq {MANY[0]} {MANY[-1]})"
    try:
        client.run(f"for n in {numbers}; do ip address replace 192.168.88.$n/24 dev eth0 || exit 1; done").expect_status()
        first, again, there = (_choices(client, numbers, node) for node in (NODE1, NODE1, NODE2))
    finally:
        client.run(f"for n in {numbers}; do ip address delete 192.168.88.$n/24 dev eth0; done; ip -br -4 address")
    lab.expect_equal(Text("40 clients were answered", "40 个客户端都有应答"), len(first), len(MANY))
    lab.expect_equal(Text("the second time each got the same pod", "第二次各自分到同一个 Pod"), again, first)
    lab.expect_equal(Text("each of the two pods has some of them", "两个 Pod 都分到了一些客户端"), sorted(set(first)), PODS)
    moved = sum(here != other for here, other in zip(first, there, strict=False))
    lab.expect_between(Text("by node 2, so many got the other pod", "换到节点 2，分到另一个 Pod 的个数"), moved, 1, len(MANY))


@scenario.step(
    en="Turned off: each connection is drawn anew",
    zh="关掉之后：每个连接重新抽签",
    why_en="""kubectl patch changes the service, kube-proxy on every node takes the rules with `recent` out, and the 100 connections fall on both
        pods. The bounds of the check are those that chance leaves once in a million runs.""",
    why_zh="""用 kubectl patch 修改 Service，各节点的 kube-proxy 随即撤掉带 recent 的规则，100 个连接又分到了两个 Pod 上。
        检查所用的范围，随机情况下一百万次里才会超出一次。""",
)
def off(lab):
    _affinity(lab, "None")
    lab.expect_even_split(Text("about half each", "大致各一半"), _ask(lab, lab.pod("ubuntu")), PODS)


def _affinity(lab, kind):
    """Set the service's sessionAffinity with kubectl, and wait until every node's rules have followed."""
    patch = f'{{"spec": {{"sessionAffinity": "{kind}"}}}}'
    lab.operator.run(f"kubectl patch svc hello -p '{patch}'").expect_status(
        0, name=Text("the apiserver took it (kubectl missing? see `lab doctor`)", "apiserver 已接受（没有 kubectl？见 `lab doctor`）")
    )
    if lab.remote:
        return _followed(lab, kind)
    wanted = "4" if kind == "ClientIP" else "0"
    for node in lab.nodes:
        node.until(
            "iptables-save -t nat | grep default/hello | grep -c 'm recent'",
            checks.matches(Text(f"{node.name}: rules with recent: {wanted}", f"{node.name}：带 recent 的规则数为 {wanted}"), f"^{wanted}$"),
        )


def _followed(lab, kind):
    """Wait until 40 connections show what was set: whatever makes a service there, its rules cannot be read."""
    name = Text("the service has followed", "Service 已跟上")
    many = f"for n in $(seq 40); do curl -s -m 5 -H 'Connection: close' {URL}/ | grep ^pod:; done | sort -u | wc -l"
    lab.pod("ubuntu").until(many, checks.matches(name, r"^\s*1$" if kind == "ClientIP" else r"^\s*2$"), timeout=60.0)


def _ask(lab, machine):
    """100 connections to the cluster IP: {pod: how many it answered}."""
    shown = machine.run(f"curl -s -m 5 '{URL}/[1-100]' | grep ^pod: | sort | uniq -c", timeout=20)
    return {pod: int(count) for count, _, pod in (line.split() for line in shown.lines)}


def _choices(client, numbers, node):
    """Which pod answers each of the client's addresses by way of one node, in the order of the addresses."""
    command = f"for n in {numbers}; do curl -s -m 3 --interface 192.168.88.$n http://{node}:30800/; done | grep ^pod:"
    return [line.split()[1] for line in client.run(command, timeout=30).lines]
