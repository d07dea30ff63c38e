"""A node cut off from the master: what the master believes, what the node goes on doing, and how the two come together again."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text, checks

VIP, MASTER, CUT = "10.105.40.40", "10.229.43.65", "10.229.45.161"
POD1, POD2 = "web-1-here", "web-2-cut-off"
IP1, IP2 = "10.244.1.53", "10.244.2.199"
BOTH = [f"{IP1}:80", f"{IP2}:80"]

scenario = Scenario(
    lab_only=Text("it cuts a node off from the master", "要把一个节点与 master 隔断"),
    title=Text("a node cut off from the master", "一个与 master 失去联系的节点"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["web.yaml"],
    pins=[
        Pin(POD1, owner="web", node="zenlinnode1", address=IP1),
        Pin(POD2, owner="web", node="zenlinnode2", address=IP2),
        Pin("client-1", node="zenlinnode1", address="10.244.1.145"),
        Pin("client-2", node="zenlinnode2", address="10.244.2.246"),
    ],
    intro=Text(
        "The router drops all packets between the master and node 2. Node 1 still reaches both. From now on two views of the cluster exist: "
        "the master's, which hears nothing of node 2, and node 2's, which ends at the last thing it was told.",
        "路由器丢弃 master 与节点 2 之间的所有包，节点 1 仍能和双方通信。从这一刻起，集群就有了两种看法："
        "master 再也听不到节点 2 的消息；节点 2 则停留在它最后得知的状态。",
    ),
)


def cut(lab):
    """The router parts master and node 2, unless it does already."""
    for source, target in ((MASTER, CUT), (CUT, MASTER)):
        rule = f"FORWARD -s {source} -d {target} -j DROP"
        lab.host("router").run(f"iptables -C {rule} 2> /dev/null || iptables -I {rule}").expect_status()


def heal(lab):
    """The router lets everything pass again."""
    for source, target in ((MASTER, CUT), (CUT, MASTER)):
        rule = f"FORWARD -s {source} -d {target} -j DROP"
        lab.host("router").run(f"! iptables -C {rule} 2> /dev/null || iptables -D {rule}").expect_status()


def is_ready(lab, status):
    """Wait until the master says so of node 2."""
    name = Text(f"node 2 is {status}", f"节点 2 的状态是 {status}")
    lab.node("zenlin").until("kubectl get node zenlinnode2", checks.matches(name, rf"^zenlinnode2 +{status} "), timeout=40.0)


def in_rules(lab, node, targets):
    """Wait until one node's rules send to just these."""
    name = Text(f"{node}: the rules send to {' and '.join(targets)}", f"{node}：规则转往 {'、'.join(targets)}")
    command = "iptables-save -t nat | grep 'default/web.*DNAT' | grep -o '[^ ]*$' | sort"
    lab.node(node).until(command, checks.lines(name, targets), timeout=40.0)


def answers(lab, client, times, pods):
    """Every one of so many connections of a client is answered, by just these pods."""
    got = lab.pod(client).run(f"curl -s -m 10 -H 'Connection: close' 'http://{VIP}/?[1-{times}]' | grep '^pod: ' | sort | uniq -c", timeout=20)
    counts = {line.split()[2]: int(line.split()[0]) for line in got.lines}
    lab.expect_equal(Text(f"{client}: all {times} were answered", f"{client}：{times} 次都有应答"), sum(counts.values()), times)
    name = Text(f"{client}: by {' and '.join(pods)}", f"{client}：应答的是 {'、'.join(pods)}")
    lab.expect_equal(name, sorted(counts), pods)


@scenario.step(
    en="Before: one cluster, one view",
    zh="之前：一个集群，一种看法",
    why_en="""Each kubelet reports to the master every 3 seconds here (10 in a real cluster), and each kube-proxy watches the master's services and
        endpoints. All nodes have the same rules.""",
    why_zh="""这里每个 kubelet 每 3 秒向 master 报告一次（真实集群是 10 秒），每个 kube-proxy 都关注 master 上的 Service 和 Endpoints。
        所有节点的规则都相同。""",
)
def before(lab):
    heal(lab)
    is_ready(lab, "Ready")
    for node in lab.nodes:
        in_rules(lab, node.name, BOTH)
    answers(lab, "client-1", 40, [POD1, POD2])


@scenario.step(
    en="The cut: node 2 becomes NotReady",
    zh="切断：节点 2 变成 NotReady",
    why_en="""Nobody tells the master that a node is cut off: it only hears nothing any more. After a grace period, 4 seconds here and 40 in a real
        cluster, it takes the node for NotReady and its pods for not ready. So they leave the endpoints, and the rules of those nodes
        that can hear the master.""",
    why_zh="""没有人会告诉 master 某个节点被切断了，它只是再也收不到消息。过了宽限期（这里 4 秒，真实集群 40 秒），
        它就把节点标为 NotReady，节点上的 Pod 也算作未就绪。于是这些 Pod 离开 Endpoints，也离开那些还能听到 master 的节点的规则。""",
)
def parted(lab):
    cut(lab)
    lab.node("zenlinnode2").run(f"ping -c 1 -W 0.3 {MASTER}").expect_status(1, name=Text("node 2 cannot reach the master", "节点 2 到不了 master"))
    is_ready(lab, "NotReady")
    left = checks.lines(Text("its pod has left the endpoints", "它的 Pod 已离开 Endpoints"), [IP1])
    lab.node("zenlin").until("kubectl get endpoints web -o jsonpath='{.subsets[*].addresses[*].ip}'", left, timeout=15.0)
    for node in ("zenlin", "zenlinnode1"):
        in_rules(lab, node, [f"{IP1}:80"])
    answers(lab, "client-1", 40, [POD1])


@scenario.step(
    en="On the other side nothing has changed",
    zh="在另一边，什么也没变",
    why_en="""kube-proxy without a master keeps its last rules: old knowledge is better than none. The pods of node 2 run on, and reach each other,
        their services, and node 1, for the router parts only node 2 and the master. “Not ready” is what the master believes.""",
    why_zh="""kube-proxy 联系不上 master 时保留最后的规则：旧的信息总比没有好。节点 2 的 Pod 照常运行，能访问彼此、访问 Service，也能访问节点 1，
        因为路由器切断的只是节点 2 与 master。“未就绪”只是 master 的看法。""",
)
def other(lab):
    cut(lab)
    is_ready(lab, "NotReady")
    in_rules(lab, "zenlinnode2", BOTH)
    answers(lab, "client-2", 40, [POD1, POD2])
    lab.pod("client-1").run(f"curl -s -m 5 http://{IP2}/").expect(
        f"pod: {POD2}", Text("by its own address the pod answers node 1, too", "用 Pod 自己的地址，从节点 1 也能访问到它")
    )


@scenario.step(
    en="Old knowledge grows stale",
    zh="旧的信息会过时",
    why_en="""Now the service changes its port. Node 1 follows at once. Node 2 hears nothing of it, and still serves the old port.""",
    why_zh="""现在改动 Service 的端口。节点 1 马上跟上；节点 2 毫不知情，仍然服务于旧的端口。""",
)
def stale(lab):
    cut(lab)
    is_ready(lab, "NotReady")
    change = 'kubectl patch service web --type=json -p \'[{"op": "replace", "path": "/spec/ports/0/port", "value": %d}]\''
    rule = f"iptables-save -t nat | grep 'KUBE-SERVICES -d {VIP}/32 .*-j KUBE-SVC' | grep -o 'dport [0-9]*'"
    try:
        lab.node("zenlin").run(change % 81).expect_status()
        lab.node("zenlinnode1").until(rule, checks.lines(Text("node 1 has the new port", "节点 1 是新端口"), ["dport 81"]), timeout=15.0)
        lab.node("zenlinnode2").run(rule).expect_lines(["dport 80"], Text("node 2 has the old one", "节点 2 还是旧端口"))
    finally:
        lab.node("zenlin").run(change % 80).expect_status()
    lab.node("zenlinnode1").until(rule, checks.lines(Text("node 1 has port 80 again", "节点 1 又是 80 端口"), ["dport 80"]), timeout=15.0)


@scenario.step(
    en="Healed: one view again",
    zh="恢复：又是一种看法",
    why_en="""The kubelet's next report reaches the master, and the pods count as ready again. None of them was started anew: the lab's master, unlike
        a real one after five minutes, does not evict the pods of a lost node.""",
    why_zh="""kubelet 的下一次报告到达 master，Pod 又算作就绪。没有一个 Pod 重新启动过：
        真实的 master 五分钟后会驱逐失联节点上的 Pod，而实验环境的 master 不这样做。""",
)
def healed(lab):
    heal(lab)
    is_ready(lab, "Ready")
    for node in lab.nodes:
        in_rules(lab, node.name, BOTH)
    answers(lab, "client-1", 40, [POD1, POD2])
    lab.node("zenlin").run(f"kubectl get pod {POD2}").expect_match(
        rf"^{POD2} +1/1 +Running +0 ", Text("the same pod, never restarted", "还是那个 Pod，从未重启")
    )
