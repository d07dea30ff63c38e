"""Endpoints and rules follow a scale and a rolling update, while a client keeps asking: what is promised, and what is not."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text, checks

from .asking import ASKER, VIP, asking, forget, in_rules, now, running, settle

LAB_RULES = Text("it reads the rules of v1.7's kube-proxy", "要读 v1.7 的 kube-proxy 规则")
LAB_TABLES = Text("it reads conntrack on a node", "要读节点上的 conntrack")

scenario = Scenario(
    title=Text("scaling and a rolling update under load", "在访问不断时扩缩容和滚动更新"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["web.yaml"],
    pins=[Pin("asker", node="zenlinnode1", address=ASKER)],
    intro=Text(
        "A deployment changes: more pods, fewer pods, new pods for old ones. Each time the endpoints follow the pods, and the rules of every "
        "node follow the endpoints, while a client asks all the time. The steps say which of its connections are safe and which are not.",
        "一个 Deployment 在变化：Pod 变多、变少、新的替换旧的。每一次，Endpoints 跟着 Pod 变，每个节点的规则再跟着 Endpoints 变，"
        "其间有一个客户端不停地访问。各步会说明它的哪些连接有保证，哪些没有。",
    ),
)


def spread(lab, pods):
    """100 connections for each pod fall evenly on them."""
    lab.expect_even_split(
        Text("each pod got its share", "每个 Pod 都得到自己的一份"), shares(lab, len(pods) * 100), [f"pod: {name}" for name in pods]
    )


def shares(lab, times):
    """{line: count} of the pages that so many connections got."""
    forget(lab)
    url = f"http://{VIP}/?[1-{times}]"
    got = lab.pod("asker").run(f"curl -s -m 20 -H 'Connection: close' '{url}' | grep '^pod: ' | sort | uniq -c", timeout=30)
    counts = {line.split(None, 1)[1]: int(line.split(None, 1)[0]) for line in got.lines}
    lab.expect_equal(Text(f"all {times} were answered", f"{times} 次都有应答"), sum(counts.values()), times)
    return counts


def nothing_failed_outside(lab, asked):
    """What holds for each change that takes pods away."""
    lab.say(
        en=f"In this run {len(asked.failed)} of {len(asked.connections)} connections failed.",
        zh=f"这一次，{len(asked.connections)} 个连接中有 {len(asked.failed)} 个失败。",
    )
    name = Text("no connection failed before the change, nor after all rules had it", "变化之前、以及所有规则更新之后，没有连接失败")
    lab.expect_equal(name, asked.outside, [])


@scenario.step(
    en="Two pods: endpoints and rules",
    zh="两个 Pod：Endpoints 与规则",
    why_en="""Who is behind a service is written in its endpoints: the addresses of those pods that match its selector and are ready. Every node's
        kube-proxy makes its rules from them, one DNAT rule an address.""",
    why_zh="""Service 背后有谁，写在它的 Endpoints 里：符合选择器、并且已经就绪的 Pod 的地址。
        每个节点的 kube-proxy 据此生成规则，一个地址一条 DNAT。""",
)
def two(lab):
    pods = settle(lab, 2)
    shown = lab.operator.run("kubectl get endpoints web")
    for name in pods:
        shown.expect(f"{lab.pod_object(name).pod_ip}:80", Text(f"the endpoints name {name}", f"Endpoints 里有 {name}"))
    spread(lab, pods)


@scenario.step(
    en="Scale to five, and nobody notices",
    zh="扩到五个，谁也没有察觉",
    why_en="""A new pod enters the endpoints when its readiness probe has passed, not when it starts. From then on new connections may fall on it.
        Connections that exist stay where they are: conntrack has their target. So adding pods breaks nothing, and that is a promise.

        The dice get more sides: with five pods the rules say 1/5, 1/4, 1/3, 1/2 and the rest, each of what the rules before it left over.""",
    why_zh="""新 Pod 不是一启动就进入 Endpoints，而要等就绪探针通过。之后，新的连接才可能落到它头上；
        已有的连接留在原处，目标记在 conntrack 里。所以增加 Pod 不会弄断任何连接，这一点有保证。

        骰子的面变多了：五个 Pod 时，规则依次写着 1/5、1/4、1/3、1/2 和其余全部，每一条都只分前面剩下的部分。""",
)
def grow(lab):
    settle(lab, 2)
    with asking(lab) as asked:
        pods = settle(lab, 5)
    lab.expect_equal(Text("not one connection failed", "没有一个连接失败"), asked.failed, [])
    with lab.where_possible():
        lab.require_lab(LAB_RULES)
        lab.node("zenlinnode2").run("iptables-save -t nat | grep 'default/web.*probability' | grep -o 'probability 0[.0-9]*'").expect_match(
            r"0\.2\d*\nprobability 0\.25\d*\nprobability 0\.33\d*\nprobability 0\.5", Text("1/5, 1/4, 1/3, 1/2", "依次为 1/5、1/4、1/3、1/2")
        )
    spread(lab, pods)


@scenario.step(
    en="Back to two: what meets a pod that is just going",
    zh="缩回两个：碰上正在离开的 Pod",
    why_en="""Deleting a pod starts two things that do not wait for each other: the kubelet ends its processes, and its address leaves the
        endpoints and then the rules of each node. A connection that is dialled in between goes to a pod that listens no more, and fails; one that
        was open in a pod that ends is cut. Kubernetes does not promise otherwise. A program that serves on for a few seconds after SIGTERM, or a
        preStop hook that sleeps, closes the gap: nginx ends at once here.

        What is promised: when all rules have the change, nothing goes to the old pods any more.""",
    why_zh="""删除一个 Pod 会引发两件互不等待的事：kubelet 结束它的进程；它的地址离开 Endpoints，再离开每个节点的规则。
        在这个间隙里发起的连接会去到一个已经不再监听的 Pod，于是失败；已经建立的连接，如果对端的 Pod 结束，也会中断。
        Kubernetes 对此不作保证。让程序收到 SIGTERM 后继续服务几秒，或者用一个睡几秒的 preStop 钩子，可以填上这个间隙；
        这里的 nginx 一收到信号就结束。

        有保证的是：所有规则更新之后，不会再有任何连接去往旧的 Pod。""",
)
def shrink(lab):
    settle(lab, 5)
    with asking(lab) as asked:
        pods = settle(lab, 2)
        asked.settled = now(lab)
    nothing_failed_outside(lab, asked)
    late = {answer for begin, _, answer in asked.connections if begin > asked.settled}
    lab.expect_equal(Text("afterwards only pods that stayed answered", "之后应答的都是留下的 Pod"), sorted(late - set(pods)), [])
    spread(lab, pods)


@scenario.step(
    en="A rolling update: another image, one pod after the other",
    zh="滚动更新：换镜像，一个接一个",
    why_en="""Another image is another pod template, so the deployment makes a second ReplicaSet. With maxSurge 1 and maxUnavailable 0 it adds one
        new pod, waits until that is ready, takes an old one away, and so on: there are always two ready pods. The gap of the step before
        exists here as well, once for each old pod.""",
    why_zh="""换了镜像就是换了 Pod 模板，于是 Deployment 建立第二个 ReplicaSet。maxSurge 是 1、maxUnavailable 是 0：
        先加一个新 Pod，等它就绪，再撤掉一个旧的，如此往复，任何时候都有两个就绪的 Pod。
        上一步说的间隙这里也有，每个旧 Pod 一次。""",
)
def roll(lab):
    old, master = settle(lab, 2), lab.operator
    (container,) = lab.api.get("deployments", "web", "default")["spec"]["template"]["spec"]["containers"]
    image = "nginx:1.9" if container["image"] == "nginx:1.8" else "nginx:1.8"
    with asking(lab) as asked:
        master.run(f"kubectl set image deployment/web nginx={image}").expect("image updated", Text("the template is changed", "模板已改"))
        master.run("kubectl rollout status deployment web --timeout=60s", timeout=70).expect(
            "successfully rolled out", Text("the new pods are ready, the old ones are gone", "新 Pod 就绪，旧 Pod 已撤下")
        )
        new = running(lab)
        in_rules(lab, new)
        asked.settled = now(lab)
    lab.expect_equal(Text("no pod of before is left", "之前的 Pod 一个不剩"), sorted(set(old) & set(new)), [])
    nothing_failed_outside(lab, asked)
    answered = {answer for _, _, answer in asked.connections}
    lab.expect_equal(
        Text("the client was served by old pods, then by new ones", "客户端先由旧 Pod、后由新 Pod 应答"),
        (bool(answered & set(old)), bool(answered & set(new))),
        (True, True),
    )
    master.run("kubectl get replicasets -l app=web").expect_match(
        r"^web-\S+ +0 +0 +0 ", Text("the old ReplicaSet stays, with no pods, for an undo", "旧的 ReplicaSet 还在，Pod 数为 0，以备回退")
    )
    spread(lab, new)


@scenario.step(
    en="No pod at all: refused on the node",
    zh="一个 Pod 也没有：在节点上被拒绝",
    why_en="""For a service without endpoints kube-proxy writes a REJECT rule into the filter table, so that a client hears at once that nobody is
        there. In v1.7 the rule stands on the way of the node's own packets only. A pod's packet passes it by and leaves for the router,
        as one for any address outside. Today's kube-proxy catches it, too.

        What got no target stays without one: rules of the table nat are for the first packet of a connection only, and conntrack takes a new
        packet with the same addresses and ports for one more of the old connection, two minutes long if nobody has answered that.""",
    why_zh="""Service 没有 Endpoints 时，kube-proxy 在 filter 表里写一条 REJECT 规则，让客户端马上知道没有人在。
        在 v1.7 里，只有节点自己发出的包会经过这条规则；Pod 的包碰不到它，像去任何外部地址那样去了路由器。
        今天的 kube-proxy 连这种包也会拦下。

        当时没有得到目标的连接，以后也得不到：nat 表的规则只管一个连接的第一个包，而地址和端口都相同的新包，
        会被 conntrack 当作旧连接的又一个包；没有应答的连接，它要记两分钟。""",
)
def none(lab):
    settle(lab, 2)
    try:
        settle(lab, 0)
        port = 61000 + int(10 * now(lab)) % 4000  # another one for each repetition, and none that the system gives: it stays taken for a minute
        if lab.remote:
            unanswered(lab, port)
        with lab.where_possible():
            lab.require_lab(LAB_RULES)
            refused(lab, port)
    finally:
        pods = settle(lab, 2)
    with lab.where_possible():
        lab.require_lab(LAB_TABLES)
        remembered(lab, port)
    spread(lab, pods)


def rejected(node):
    """How many packets the REJECT rule of the service has met."""
    shown = node.run("iptables-save -c -t filter | grep 'default/web'").stdout
    return int(shown.removeprefix("[").partition(":")[0])


def asking_from(port):
    """The command by which a pod connects from a port of its choice."""
    return f"curl -sS -m 2 --local-port {port} http://{VIP}/"


def unanswered(lab, port):
    """A pod gets no answer from the service."""
    name = Text("from a pod: no answer either", "从 Pod 访问：同样没有应答")
    lab.pod("asker").run(asking_from(port)).expect_status(7, 28, name=name)


def remembered(lab, port):
    """A new connection from the port of one that went nowhere follows it, until conntrack has forgotten that one."""
    client, node = lab.pod("asker"), lab.node("zenlinnode1")
    node.run(f"conntrack -L -p tcp --orig-src {ASKER} --orig-port-src {port}").expect(
        "[UNREPLIED]", Text("conntrack remembers the attempt, which got no target", "conntrack 还记得那次没有得到目标的尝试")
    )
    client.run(asking_from(port)).expect_status(7, 28, name=Text("the pods are back, but not for this port", "Pod 回来了，但这个端口仍然连不上"))
    node.run(f"conntrack -D -p tcp --orig-src {ASKER} --orig-port-src {port}").expect_status()
    client.run(asking_from(port)).expect("pod: ", Text("forgotten, and answered", "忘掉之后就有应答"))


def refused(lab, port):
    """A node is refused by the rule, which a pod's packets do not meet."""
    node = lab.node("zenlinnode1")
    judge = checks.contains(Text("a REJECT rule instead of DNAT", "DNAT 没有了，换成一条 REJECT"), "-j REJECT")
    node.until("iptables-save -t filter | grep 'default/web'", judge, timeout=10.0)
    before = rejected(node)
    node.run(f"curl -sS -m 5 http://{VIP}/").expect_status(7, name=Text("from the node: refused at once", "从节点访问：马上被拒绝"))
    after = rejected(node)
    lab.expect_equal(Text("by that rule", "正是被这条规则拒绝"), after - before, 1)
    unanswered(lab, port)
    lab.expect_equal(Text("but its packets did not meet the rule", "但它的包没有经过这条规则"), rejected(node) - after, 0)
