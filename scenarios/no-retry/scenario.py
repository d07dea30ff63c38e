"""A back end that does not answer, met by two modes of kube-proxy side by side: iptables cannot try another one, userspace does."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

URL = "http://10.105.211.21:8000"
NODE = "zenlinnode2"
RULES = "iptables-save -t nat | grep default/hello"
REFUSE = "INPUT -p tcp --dport 8080 -j REJECT --reject-with tcp-reset"

scenario = Scenario(
    lab_only=Text("it changes a node's kube-proxy, and uses iptables inside a pod", "要更换节点上的 kube-proxy，还要在 Pod 里使用 iptables"),
    title=Text("a pod refuses: iptables and userspace mode side by side", "一个 Pod 拒绝连接：iptables 与 userspace 两种模式对照"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["hello.yaml"],
    pins=[
        Pin("hello-1", node="zenlinnode1", address="10.244.1.61"),
        Pin("hello-2", node="zenlinnode2", address="10.244.2.61"),
        Pin("ubuntu-1", node="zenlinnode1", address="10.244.1.145"),
        Pin("ubuntu-2", node="zenlinnode2", address="10.244.2.145"),
    ],
    intro=Text(
        "The article says that iptables mode cannot retry by itself when the pod it chose does not answer, and that userspace mode can. Here "
        "node 1 keeps the iptables mode and node 2 gets a kube-proxy in userspace mode; then one of two pods refuses connections.",
        "文章说，iptables 模式选中的 Pod 没有应答时，它自己不会重试，而 userspace 模式会。这里让节点 1 保持 iptables 模式，"
        "节点 2 换成 userspace 模式的 kube-proxy，然后让两个 Pod 中的一个拒绝连接。",
    ),
)


@scenario.step(
    en="Node 2 changes to userspace mode",
    zh="节点 2 换成 userspace 模式",
    why_en="""The rules outlive the kube-proxy that wrote them, so the first deed of one in another mode is to clean up. In userspace mode the rules
        only REDIRECT (or DNAT) a service's address to a port at which kube-proxy itself listens; it takes the connection, dials a pod,
        and copies bytes to and fro.""",
    why_zh="""kube-proxy 停掉以后，它写的规则还在，所以换一种模式启动时，第一件事就是清理。userspace 模式的规则只把发往 Service 地址的包
        REDIRECT（或 DNAT）到 kube-proxy 自己监听的端口；连接由它接下，它再去连某个 Pod，然后来回搬运数据。""",
)
def userspace(lab):
    log = lab.log(NODE, "kube-proxy")
    lab.stop_kube_proxy(NODE)
    lab.start_kube_proxy(NODE, mode="userspace")
    log.expect("Using userspace Proxier.", "Tearing down pure-iptables proxy rules.")
    lab.node(NODE).run(RULES).expect_match("-j (REDIRECT|DNAT) ", Text("the rules lead to kube-proxy's own port", "规则通向 kube-proxy 自己的端口"))
    lab.node("zenlinnode1").run(RULES).expect("--to-destination 10.244.1.61:8080", Text("node 1's lead to the pods", "节点 1 的规则直接通向 Pod"))
    for name in ("ubuntu-1", "ubuntu-2"):
        lab.expect_equal(Text(f"{name}: all 40 connections answered", f"{name}：40 个连接都有应答"), _answered(lab, name), 40)


@scenario.step(
    en="One pod refuses: who notices?",
    zh="一个 Pod 拒绝连接：谁会察觉？",
    why_en="""hello-1 resets every connection now; it stays among the endpoints, as nothing probes it. On node 1 the dice send about half
        of the connections to it, and the clients get an error: the kernel had decided with the first packet. On node 2 kube-proxy
        sees its dial fail and dials the other pod. That on node 1 all 40 fare alike happens by chance once in 2^39 runs,
        about 2 in 10^12. Afterwards hello-1 answers again.""",
    why_zh="""hello-1 现在会重置所有连接；由于没有探针检查它，它仍留在 Endpoints 里。在节点 1 上，约一半连接随机落到它头上，
        客户端就得到错误：内核在第一个包时就已经选定了。在节点 2 上，kube-proxy 发现连不上，就改连另一个 Pod。
        节点 1 的 40 个连接碰巧全成或全败的概率是 2 的 39 次方分之一，约 10^-12 的两倍。最后让 hello-1 恢复应答。""",
    needs=("userspace",),
)
def refused(lab):
    pod = lab.pod("hello-1")
    pod.run(f"iptables -I {REFUSE}").expect_status()
    try:
        lab.node("zenlin").run("curl -s -m 3 http://10.244.1.61:8080/").expect_status(7, name=Text("hello-1 refuses", "hello-1 拒绝连接"))
        lab.expect_between(
            Text("iptables on node 1: some of 40 are answered, not all", "节点 1 的 iptables：40 个中有应答的，不是全部"),
            _answered(lab, "ubuntu-1"),
            0,
            39,
        )
        lab.expect_equal(Text("userspace on node 2: all 40 are answered", "节点 2 的 userspace：40 个全都有应答"), _answered(lab, "ubuntu-2"), 40)
    finally:
        pod.run(f"iptables -D {REFUSE}").expect_status()
    lab.say(
        en="The price of the retry: every byte goes through a process, and a pod sees the node's address instead of its client's. Today's "
        "answer is a readiness probe, which takes such a pod out of the endpoints; kube-proxy has had no userspace mode since v1.26.",
        zh="重试是有代价的：每个字节都要经过一个用户态进程，Pod 看到的来源也变成了节点的地址。如今的做法是就绪探针，"
        "它会把这样的 Pod 从 Endpoints 里摘掉；v1.26 起，kube-proxy 已经没有 userspace 模式了。",
    )


def _answered(lab, name):
    """How many of 40 connections from this pod to the service were answered."""
    shown = lab.pod(name).run(f"for n in $(seq 40); do curl -s -m 3 {URL}/; done | grep -c ^pod:", timeout=60)
    return int(shown.stdout or 0)
