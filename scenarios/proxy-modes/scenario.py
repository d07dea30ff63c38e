"""One service in three modes of kube-proxy at the same time, a mode a node: rules, choice, counters, sources, times, and what each leaves out."""

from __future__ import annotations

import re

from lab.scenario import Pin, Scenario, Text, checks

IP, NOBODY, UNUSED = "10.105.211.22", "10.105.211.23", "10.105.211.99"
URL = f"http://{IP}:8000"
MODES = {"zenlin": "nftables", "zenlinnode1": "iptables", "zenlinnode2": "userspace"}
PODS = ["hello-0", "hello-1", "hello-2"]
TABLE = "nft list table ip kube-proxy"
RULES = "iptables-save -t nat | grep default/hello:"

scenario = Scenario(
    lab_only=Text("it changes kube-proxy and its modes on the nodes", "要在节点上更换 kube-proxy 及其模式"),
    title=Text("one service, three modes side by side: iptables, userspace, nftables", "一个 Service，三种模式对照：iptables、userspace、nftables"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["hello.yaml"],
    pins=[
        Pin(f"{name}-{n}", node=node, address=f"10.244.{n}.{last}") for name, last in (("hello", 61), ("ubuntu", 145)) for n, node in enumerate(MODES)
    ],
    intro=Text(
        "Each node has a kube-proxy of its own, and each may work in another way: what a service is must not depend on it. Here node 1 has "
        "the iptables mode, node 2 the userspace mode that came before it, and the master the nftables mode of today. On each node a pod asks the "
        "same service, behind which stand three pods, one on each node.",
        "每个节点都有自己的 kube-proxy，各自可以用不同的方式工作，Service 的含义不应因此改变。这里节点 1 用 iptables 模式，"
        "节点 2 用比它更早的 userspace 模式，master 用如今的 nftables 模式。每个节点上都有一个 Pod 去访问同一个 Service，"
        "它背后有三个 Pod，每个节点一个。",
    ),
)


@scenario.step(
    en="Three nodes, three modes",
    zh="三个节点，三种模式",
    why_en="""The mode is a flag, --proxy-mode, so a node changes it when its kube-proxy is started anew. Rules outlive the kube-proxy that wrote
        them: the first deed of a new one is to take away those of the other modes, or packets would meet both. What it uses now it says at the
        port of its metrics.""",
    why_zh="""模式由参数 --proxy-mode 指定，重新启动 kube-proxy 就能更换。旧的 kube-proxy 停了，它写的规则还在，
        所以新的 kube-proxy 第一件事就是清掉其他模式的规则，否则包会同时遇到两套。它现在用哪种模式，可以到它的 metrics 端口上去问。""",
)
def modes(lab):
    log = lab.log("zenlinnode2", "kube-proxy")
    for node, mode in MODES.items():
        _restart(lab, node)
        lab.node(node).run("curl -s 127.0.0.1:10249/proxyMode").expect_lines([mode], Text(f"{node}: {mode} mode", f"{node}：{mode} 模式"))
    log.expect("Using userspace Proxier.", "Tearing down pure-iptables proxy rules.")
    lab.node("zenlin").run("iptables-save | grep -c KUBE-S").expect_lines(
        ["0"], Text("the master has no service rules of iptables left", "master 上不再有 iptables 的 Service 规则")
    )


@scenario.step(
    en="The same service, written three ways",
    zh="同一个 Service 的三种写法",
    why_en="""iptables: the packet is compared with one service after the other in KUBE-SERVICES, then dice lead it to the chain of a pod, whose rule
        writes the pod's address into it. Two rules for the service, one throw of dice and two rules for each pod: 2 + 3 + 6.

        userspace: two rules, one for packets of pods and one for those of the node itself, and no pod's address in them. They lead to a port at
        which kube-proxy listens; whom to ask is decided there.

        nftables: address, protocol and port are looked up in a map, in one step however many services there are. The map leads to the service's
        chain, and there one random number leads, again by a map, to the chain of a pod.""",
    why_zh="""iptables：包在 KUBE-SERVICES 里逐个与各 Service 比较，匹配后掷骰子转到某个 Pod 的链，由那里的规则写入 Pod 的地址。
        Service 两条规则，每个 Pod 一条骰子、两条自己的：2 + 3 + 6。

        userspace：两条规则，一条管 Pod 发出的包，一条管节点自己发出的包，里面没有任何 Pod 的地址。它们通向 kube-proxy 监听的端口，
        该找谁在那里决定。

        nftables：用地址、协议和端口查一张 map，不论有多少个 Service 都是一步。map 指向这个 Service 的链，
        链里取一个随机数，再通过一张 map 指向某个 Pod 的链。""",
    needs=("modes",),
)
def rules(lab):
    shown = lab.node("zenlinnode1").run(RULES)
    lab.expect_equal(Text("iptables: 2 + 3 + 6 rules", "iptables：2 + 3 + 6 条规则"), len(shown.lines), 11)
    shown.expect("--to-destination 10.244.1.61:8080", Text("iptables: the pods' addresses are in the rules", "iptables：规则里有 Pod 的地址"))
    portals = lab.node("zenlinnode2").run(RULES)
    lab.expect_equal(Text("userspace: two rules", "userspace：两条规则"), len(portals.lines), 2)
    portals.expect_match(
        rf"-A KUBE-PORTALS-CONTAINER -d {IP}/32 .* -j REDIRECT --to-ports \d+",
        Text("userspace: pods' packets go to kube-proxy's own port", "userspace：Pod 的包转到 kube-proxy 自己的端口"),
    )
    portals.lacks("10.244.", Text("userspace: no pod's address", "userspace：没有 Pod 的地址"))
    lab.node("zenlin").run(f"{TABLE} | grep -o '{IP} . tcp . 8000 : .*/tcp/'").expect_match(
        r"goto service-\w{8}-default/hello/tcp/$", Text("nftables: the map leads to the service's chain", "nftables：map 指向 Service 的链")
    )
    _nft_chain(lab).expect_match(
        r"numgen random mod 3 vmap \{ 0 : goto endpoint-", Text("nftables: one random number for three pods", "nftables：一个随机数，三个 Pod")
    )


@scenario.step(
    en="Who is chosen: chance, or each in turn",
    zh="选中谁：随机，还是轮流",
    why_en="""On each node the pod asks 60 times, and all are answered: for a client a service is a service. In iptables and nftables mode chance
        decides for each connection alone, so the three numbers differ a little from 20; the bounds of the check are those that chance leaves once
        in a million runs. kube-proxy in userspace mode goes round: exactly 20 each.""",
    why_zh="""每个节点上的 Pod 各访问 60 次，次次都有应答：对客户端来说，Service 就是 Service。iptables 和 nftables 模式下，每个连接单独随机，
        三个数会与 20 略有出入；检查所用的范围，随机情况下一百万次里才会超出一次。userspace 模式的 kube-proxy 则是轮流：每个恰好 20 次。""",
    needs=("modes",),
)
def choice(lab):
    for number, (node, mode) in enumerate(MODES.items()):
        counts = _ask(lab, number, 60, "pod")
        lab.expect_equal(Text(f"{node}: all 60 were answered", f"{node}：60 次都有应答"), sum(counts.values()), 60)
        if mode == "userspace":
            lab.expect_equal(Text("userspace: 20 each", "userspace：各 20 次"), counts, dict.fromkeys(PODS, 20))
        else:
            lab.expect_even_split(Text(f"{mode}: about a third each", f"{mode}：大致各三分之一"), counts, PODS)


@scenario.step(
    en="What counts the connections",
    zh="连接数记在哪里",
    why_en="""30 more connections from each node. The nat table sees only the first packet of a connection, so the counters of its rules count
        connections. In iptables mode the service's rule counts 30, and the pods' DNAT rules count how they fell. In userspace mode the rule for
        pods' packets counts 30; how they fell is in no rule. kube-proxy's nftables rules have no counters at all: the kernel's list of connections,
        conntrack, shows where each of them went.

        The same list on node 2 shows what the rules of userspace mode did: they turned the connection to 10.244.2.1, which is node 2 itself.""",
    why_zh="""每个节点再发起 30 个连接。nat 表只看到一个连接的第一个包，所以那里的规则计数就是连接数。iptables 模式下，Service 的规则加了 30，
        各个 Pod 的 DNAT 规则记着分配情况。userspace 模式下，入口规则加了 30，怎么分配的则不在任何规则里。
        kube-proxy 的 nftables 规则根本没有计数器，要看内核的连接表 conntrack，每个连接去了哪里都在其中。

        节点 2 上的同一张表显示了 userspace 模式的规则做了什么：把连接转到了 10.244.2.1，也就是节点 2 自己。""",
    needs=("modes",),
)
def counters(lab):
    asked = {"zenlinnode1": "hello: cluster IP.* -j KUBE-SVC-", "zenlinnode2": "KUBE-PORTALS-CONTAINER .*default/hello:"}
    dnat = "default/hello:.* -j DNAT"
    before = {node: _count(lab, node, rule) for node, rule in asked.items()}
    fell = _count(lab, "zenlinnode1", dnat)
    for node in ("zenlin", "zenlinnode2"):
        lab.node(node).run(f"conntrack -D -p tcp -d {IP}")
    for number in range(3):
        _ask(lab, number, 30, "pod")
    for (node, rule), mode in zip(asked.items(), ("iptables", "userspace"), strict=True):
        lab.expect_equal(Text(f"{mode}: the service's rule counted 30", f"{mode}：Service 的规则记了 30"), _count(lab, node, rule) - before[node], 30)
    lab.expect_equal(
        Text("iptables: the pods' rules together counted 30", "iptables：各 Pod 的规则合计 30"), _count(lab, "zenlinnode1", dnat) - fell, 30
    )
    lab.node("zenlin").run(f"{TABLE} | grep -c counter").expect_lines(["0"], Text("nftables: no counter", "nftables：没有计数器"))
    all_pods = {f"10.244.{number}.61" for number in range(3)}
    found = _replies(lab, "zenlin")
    lab.expect_equal(Text("nftables: conntrack has 30", "nftables：conntrack 里有 30 个"), sum(found.values()), 30)
    lab.expect_equal(Text("nftables: to no others than the three pods", "nftables：去的都是这三个 Pod"), sorted(found.keys() - all_pods), [])
    found = _replies(lab, "zenlinnode2")
    lab.expect_equal(
        Text("userspace: conntrack has 30, to node 2 itself", "userspace：conntrack 里有 30 个，都到节点 2 自己"), found, {"10.244.2.1": 30}
    )


@scenario.step(
    en="Whom the pods see",
    zh="Pod 看到的来源是谁",
    why_en="""Rules change the destination and leave the source: in iptables and nftables mode every pod sees the pod that asks. In userspace mode
        there are two connections, and the second begins at kube-proxy. So the pods see an address of node 2: its bridge's, if the pod is on
        node 2, or its flannel device's. Who has to know the clients, for a log or a firewall, is not served by this mode.""",
    why_zh="""规则只改目的地址，来源不动：iptables 和 nftables 模式下，每个 Pod 看到的都是发起访问的那个 Pod。userspace 模式有两个连接，
        第二个从 kube-proxy 发起，所以 Pod 看到的是节点 2 的地址：同一网桥上的 Pod 看到网桥的地址，别的节点上的 Pod 看到 flannel 设备的地址。
        需要知道客户端是谁的（看日志、设防火墙），都没法用这种模式。""",
    needs=("modes",),
)
def sources(lab):
    for number, mode in ((0, "nftables"), (1, "iptables")):
        seen = _ask(lab, number, 30, "client")
        lab.expect_equal(Text(f"{mode}: the pod that asks", f"{mode}：发起访问的 Pod"), seen, {f"10.244.{number}.145": 30})
    seen = _ask(lab, 2, 30, "client")
    lab.expect_equal(Text("userspace: two addresses of node 2", "userspace：节点 2 的两个地址"), seen, {"10.244.2.0": 20, "10.244.2.1": 10})


@scenario.step(
    en="What a connection takes",
    zh="一个连接要多久",
    why_en="""Each node's pod asks the pod of its own node, so the way is equally short: first by its address, then by the service, of which only
        the answers of that pod are timed. Connecting, asking and the whole answer, the median. In the kernel's modes the service costs some
        look-ups for one packet. In userspace mode each byte passes through a process, and a second connection has to be made.

        These are times of this machine, now, with a kube-proxy in Python: look at them, nothing is judged by them.""",
    why_zh="""每个节点的 Pod 访问本节点的 Pod，路一样短：先直接用它的地址，再经过 Service，但只算由这个 Pod 应答的那些。
        时间包括建立连接、请求和完整的应答，取中位数。内核里完成的两种模式，Service 的代价是为一个包多查几次；
        userspace 模式下，每个字节都要经过一个进程，还要再建一个连接。

        这是这台机器此刻的时间，kube-proxy 又是 Python 写的：看看就好，不据此判断什么。""",
    needs=("modes",),
)
def times(lab):
    table = []
    for number, (node, mode) in enumerate(MODES.items()):
        counted, direct = _median(lab, number, f"http://10.244.{number}.61:8080", 40)
        lab.expect_equal(Text(f"{node}: 40 answers by the pod's address", f"{node}：直接访问有 40 个应答"), counted, 40)
        counted, served = _median(lab, number, URL, 120)
        lab.expect_between(Text(f"{node}: of 120 by the service, this pod's", f"{node}：经 Service 的 120 个里由它应答的"), counted, 1, 120)
        table.append(f"{node:<12} {mode:<10} {direct * 1000:7.2f} ms {served * 1000:7.2f} ms {(served - direct) * 1000:+7.2f} ms")
    lab.show(table, en="node, mode, by the pod's address, by the service, difference", zh="节点、模式、直接访问、经 Service、相差")


@scenario.step(
    en="A pod leaves the service: what has to be written",
    zh="一个 Pod 离开 Service：要改写什么",
    why_en="""hello-0 loses the label that the service selects by, so it leaves the endpoints, and gets no new connections. iptables mode deletes its
        chain and throws dice with two sides from now on. nftables mode writes the service's chain anew; the map of services stays as it is. In
        userspace mode the kernel does not notice: kube-proxy's own list is all there is to change. Afterwards hello-0 gets its label back.""",
    why_zh="""hello-0 失去了 Service 选择所用的标签，于是离开 Endpoints，不再有新连接去找它。iptables 模式删掉它的链，从此掷两面的骰子；
        nftables 模式重写 Service 的链，Service 的 map 不变；userspace 模式下内核毫无察觉，只需改 kube-proxy 自己的名单。最后把标签还给 hello-0。""",
    needs=("modes",),
)
def change(lab):
    node1, node2 = lab.node("zenlinnode1"), lab.node("zenlinnode2")
    before = node2.run(RULES).stdout
    try:
        _label(lab, "app-")
        node1.until(RULES, checks.lacks(Text("iptables: hello-0 is gone from the rules", "iptables：规则里没有 hello-0 了"), "10.244.0.61"))
        lab.expect_equal(Text("iptables: 2 + 2 + 4 rules", "iptables：2 + 2 + 4 条规则"), len(node1.run(RULES).lines), 8)
        _nft_chain(lab, Text("nftables: one random number for two pods", "nftables：一个随机数，两个 Pod"), "numgen random mod 2 vmap")
        lab.pod("ubuntu-2").until(
            f"curl -s -m 3 -H 'Connection: close' '{URL}/[1-3]' | grep -c hello-0",
            checks.lines(Text("userspace: three in a row without hello-0", "userspace：连续三次都不是 hello-0"), ["0"]),
        )
        lab.expect_equal(Text("userspace: the rules are what they were", "userspace：规则与原来一样"), node2.run(RULES).stdout, before)
        lab.expect_equal(Text("userspace: 15 each", "userspace：各 15 次"), _ask(lab, 2, 30, "pod"), {"hello-1": 15, "hello-2": 15})
    finally:
        _label(lab, "app=hello")
        node1.until(RULES, checks.contains(Text("hello-0 is back", "hello-0 回来了"), "10.244.0.61"))


@scenario.step(
    en="Nobody there: three different answers",
    zh="没有后端：三种不同的回应",
    why_en="""The service `nobody` has no pods. nftables mode refuses whoever asks. v1.7's iptables mode has its refusals where the node's own
        packets pass, but not where those of pods do: they are sent on to the router, which knows no such network. It says so, but not more often
        than the kernel's limit for such messages allows; in a real network often nothing comes back at all. Today's iptables mode refuses both.
        In userspace mode kube-proxy has accepted the connection before it looks for a pod: the client is connected, and gets an end without a word.

        A port that the service does not have, and an address of the service network that no service has: nftables mode knows both, refuses
        the first and drops the second. For the others these are packets like any other, and the router gets them.""",
    why_zh="""Service nobody 没有 Pod。nftables 对谁都拒绝。v1.7 的 iptables 模式把拒绝规则放在节点自己的包经过的地方，Pod 的包不经过那里，
        于是被送到路由器，而路由器不认识这个网络。它会说一声，但内核限制这类消息的频率，所以不是次次都说；
        真实网络里常常什么回应都没有。如今的 iptables 模式两者都拒绝。
        userspace 模式下，kube-proxy 先接受了连接才去找 Pod：客户端连上了，却一句话没收到就结束了。

        Service 没有的端口，以及 Service 网段里没有分配的地址：nftables 模式都认得，前者拒绝，后者丢弃。
        对另外两种模式，这些只是普通的包，都送到了路由器。""",
    needs=("modes",),
)
def nobody(lab):
    refused, lost, dropped, ended = "Connection refused", "Network is unreachable|timed out", "timed out", "Empty reply from server|Connection reset"
    for number, (node, pods, nodes) in enumerate((("zenlin", refused, refused), ("zenlinnode1", lost, refused), ("zenlinnode2", ended, ended))):
        mode = MODES[node]
        _outcome(lab.pod(f"ubuntu-{number}"), f"{NOBODY}:8000", Text(f"{mode}, no pods, asked by a pod", f"{mode}，没有后端，Pod 来访"), pods)
        _outcome(lab.node(node), f"{NOBODY}:8000", Text(f"{mode}, no pods, asked by the node", f"{mode}，没有后端，节点来访"), nodes)
    for number, mode in enumerate(MODES.values()):
        pod, known = lab.pod(f"ubuntu-{number}"), mode == "nftables"
        _outcome(pod, f"{IP}:8001", Text(f"{mode}, a port it does not have", f"{mode}，没有的端口"), refused if known else lost)
        _outcome(pod, f"{UNUSED}:8000", Text(f"{mode}, nobody's address", f"{mode}，没有分配的地址"), dropped if known else lost)


@scenario.step(
    en="kube-proxy is killed: who goes on?",
    zh="kube-proxy 被杀：谁还能继续？",
    why_en="""In iptables and nftables mode kube-proxy only writes rules. Without it nothing follows changes any more, but the rules stand, and every
        connection is answered. In userspace mode it is on the way of each connection: the rules still lead to its port, where nobody listens. Then
        it is started again. kube-proxy had the userspace mode up to v1.25; it has the nftables mode since v1.29, for general use since v1.33.""",
    why_zh="""iptables 和 nftables 模式下，kube-proxy 只负责写规则。它不在了，变化就没人跟进，但规则还在，连接照样都有应答。
        userspace 模式下，每个连接都要经过它：规则仍然通向它的端口，那里却没有人监听了。最后重新启动它。
        userspace 模式保留到 v1.25；nftables 模式从 v1.29 开始出现，v1.33 起正式可用。""",
    needs=("modes",),
)
def killed(lab):
    try:
        for node in MODES:
            lab.stop_kube_proxy(node, kill=True)
        for number, mode in ((0, "nftables"), (1, "iptables")):
            counts = _ask(lab, number, 20, "pod")
            lab.expect_equal(Text(f"{mode}: all 20 are answered", f"{mode}：20 次都有应答"), sum(counts.values()), 20)
        _outcome(lab.pod("ubuntu-2"), f"{IP}:8000", Text("userspace: refused", "userspace：被拒绝"), "Connection refused")
    finally:
        for node in MODES:
            _restart(lab, node)
    counts = _ask(lab, 2, 30, "pod")
    lab.expect_equal(Text("userspace: started again, it answers", "userspace：重新启动后又能应答"), counts, dict.fromkeys(PODS, 10))


def _restart(lab, node):
    lab.stop_kube_proxy(node)
    lab.start_kube_proxy(node, MODES[node])


def _ask(lab, number, times, what):
    """So many connections from a node's pod to the service: {what the pods say of themselves or of their client: how often}."""
    shown = lab.pod(f"ubuntu-{number}").run(
        f"curl -s -m 5 -H 'Connection: close' '{URL}/[1-{times}]' | grep ^{what}: | cut -d: -f2 | sort | uniq -c", timeout=30
    )
    return {name: int(count) for count, name in (line.split() for line in shown.lines)}


def _nft_chain(lab, name=None, has=""):
    """The chain of the service in the nftables table; with a name, as soon as it has these words."""
    command = f"{TABLE} | sed -n '/chain service-.*default.hello.tcp/,/}}/p'"
    return lab.node("zenlin").until(command, checks.contains(name, has)) if name else lab.node("zenlin").run(command)


def _count(lab, node, rule):
    """The sum of the packets that iptables rules of a node have counted."""
    shown = lab.node(node).run(f"iptables-save -c -t nat | grep '{rule}'")
    return sum(int(found) for found in re.findall(r"^\[(\d+):", shown.stdout, re.MULTILINE))


def _replies(lab, node):
    """The connections to the service that a node's kernel knows: {where the replies come from: how many}."""
    shown = lab.node(node).run(f"conntrack -L -p tcp -d {IP} 2>/dev/null | grep -o 'src=[0-9.]*' | sed -n 'n;p' | sort | uniq -c")
    return {name.removeprefix("src="): int(count) for count, name in (line.split() for line in shown.lines)}


def _median(lab, number, url, times):
    """How many answers came from the pod of the same node, and their median time in seconds."""
    own = f"""awk '/^pod:/ {{pod = $2}} /^[0-9.]+$/ && pod == "hello-{number}"'"""
    middle = "sort -n | awk '{t[NR] = $1} END {print NR, t[int((NR + 1) / 2)]}'"
    asking = f"curl -s -m 5 -H 'Connection: close' -w '%{{time_total}}\\n' '{url}/[1-{times}]'"
    shown = lab.pod(f"ubuntu-{number}").run(f"{asking} | {own} | {middle}", timeout=30)
    counted, _, median = shown.stdout.strip().partition(" ")
    return int(counted or 0), float(median or 0)


def _label(lab, change):
    lab.node("zenlin").run(f"kubectl label pod hello-0 {change} --overwrite").expect_status(
        0, name=Text("the apiserver took it (kubectl missing? see `lab doctor`)", "apiserver 已接受（没有 kubectl？见 `lab doctor`）")
    )


def _outcome(machine, where, name, expected):
    """What curl says of a connection that fails. One that is refused gets time for more than one try: the kernel limits refusals, too."""
    words = "Connection refused|Network is unreachable|Empty reply from server|Connection reset|timed out"
    patience = 1 if "timed out" in expected else 5
    machine.run(f"curl -sv -m {patience} http://{where}/ 2>&1 | grep -Eo '{words}' | tail -n 1").expect_match(f"^({expected})$", name)
