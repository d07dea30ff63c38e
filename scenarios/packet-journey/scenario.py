"""One packet at a time, followed hop by hop: every place, every rewrite, every rule, there and back, and where a lost one ended."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

WEB, NEAR, FAR = "10.244.2.61", "10.244.2.62", "10.244.1.62"
NODE2 = "10.229.45.161"

scenario = Scenario(
    title=Text("where does my packet go?", "我的包去了哪里？"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["web.yaml"],
    pins=[
        Pin("web", node="zenlinnode2", address=WEB),
        Pin("near", node="zenlinnode2", address=NEAR),
        Pin("far", node="zenlinnode1", address=FAR),
    ],
    lab_only=Text("it looks into every namespace on the packet's way", "要查看包经过的每个网络命名空间"),
    intro=Text(
        "`lab trace FROM TO` sends one marked packet and tells all that happened to it. Every step here is one such trace; you can type each of "
        "them yourself in a lab that is up (`lab up packet-journey`). The lines read: machine and interface, direction, time since the "
        "sending, the packet as it is there. The indented lines say what changed since the place before, and which rules the packet hit.",
        "`lab trace 起点 终点` 发出一个做了标记的包，并讲出它经历的一切。这里每一步都是这样一次追踪；在运行中的实验环境里（`lab up packet-journey`）"
        "你可以自己输入。每行依次是：机器和接口、方向、发出后的时间、包在那里的样子。缩进的行说明与上一处相比变了什么，以及包命中了哪些规则。",
    ),
)


@scenario.step(
    en="Neighbours: two pods on one bridge",
    zh="邻居：同一个网桥上的两个 Pod",
    why_en="""The shortest way there is: out of one pod, through the bridge, into the other. No router takes anything off the TTL, no address
        changes.""",
    why_zh="""最短的路：出一个 Pod，过网桥，进另一个 Pod。没有路由器减 TTL，地址也不变。""",
)
def neighbours(lab):
    journey = _follow(lab, "near", "pod/web", 80)
    lab.expect_equal(Text("only the pods and their node", "只经过两个 Pod 和它们的节点"), _machines(journey), ["near", "zenlinnode2", "web"])
    lab.expect_equal(Text("nothing was rewritten", "什么也没改写"), journey.changes_of("there") + journey.changes_of("back"), [])


@scenario.step(
    en="Across: a packet in a packet",
    zh="跨节点：包里的包",
    why_en="""Between the nodes the pod's packet is the payload of another one, from node to node. The router sees only that.""",
    why_zh="""在节点之间，Pod 的包是另一个包的载荷，外面那个包从节点发往节点。路由器只看得见外面的。""",
)
def across(lab):
    journey = _follow(lab, "far", "pod/web", 80)
    way = ["far", "zenlinnode1", "router", "zenlinnode2", "web"]
    lab.expect_equal(Text("by way of both nodes and the router", "经过两个节点和路由器"), _machines(journey), way)
    wrapped = ["encapsulation", "decapsulation"]
    lab.expect_equal(Text("wrapped once and unwrapped once, there", "去程：封装一次，解封一次"), journey.changes_of("there"), wrapped)
    lab.expect_equal(Text("and back", "回程也一样"), journey.changes_of("back"), wrapped)


@scenario.step(
    en="A service: three chains, one rewrite",
    zh="Service：三条链，一次改写",
    why_en="""The cluster IP lasts only until the first node's PREROUTING: KUBE-SERVICES knows it, KUBE-SVC chooses, KUBE-SEP writes the pod's
        address over it. On the way back the same node puts the cluster IP in again, so that the pod hears from whom it has asked.""",
    why_zh="""Cluster IP 只存在到第一个节点的 PREROUTING 为止：KUBE-SERVICES 认得它，KUBE-SVC 做选择，KUBE-SEP 用 Pod 的地址盖掉它。
        回程时，同一个节点再把 Cluster IP 放回去，这样 Pod 听到应答的，正是它问的那一位。""",
)
def service(lab):
    journey = _follow(lab, "far", "web.default", 8000)
    chains = list(dict.fromkeys(rule.chain[:8] for rule in journey.rules if rule.chain.startswith("KUBE-S")))
    lab.expect_equal(Text("the three kinds of chains, in order", "三种链，依次经过"), chains, ["KUBE-SER", "KUBE-SVC", "KUBE-SEP"])
    there, back = ["dnat", "encapsulation", "decapsulation"], ["encapsulation", "decapsulation", "un-dnat"]
    lab.expect_equal(Text("rewritten, wrapped, unwrapped", "改写、封装、解封"), journey.changes_of("there"), there)
    lab.expect_equal(Text("and all of it undone on the way back", "回程全部还原"), journey.changes_of("back"), back)


@scenario.step(
    en="To oneself: why a pod is masqueraded before its own door",
    zh="访问自己：为什么 Pod 在自己门前也要伪装",
    why_en="""The pod asks the service and is itself the answer. Without another source address it would answer itself directly, from an address that
        it has not asked. So KUBE-SEP marks it, and POSTROUTING gives it the bridge's address.""",
    why_zh="""Pod 访问 Service，而后端正是它自己。如果源地址不换，它会直接回答自己，而那个地址并不是它问的。
        所以 KUBE-SEP 先打标记，POSTROUTING 再换上网桥的地址。""",
)
def hairpin(lab):
    journey = _follow(lab, "web", "web.default", 8000)
    lab.expect_equal(Text("both addresses changed", "两个地址都变了"), sorted(journey.changes_of("there")), ["dnat", "masquerade"])
    lab.expect_equal(Text("it never left the node", "没有离开过节点"), [one for one in _machines(journey) if one != "web"], ["zenlinnode2"])


@scenario.step(
    en="From outside: a node port on the wrong node",
    zh="从外面来：NodePort 在“错误”的节点上",
    why_en="""The client dials node 1, the pod lives on node 2. Node 1 sends the packet on and puts its own address in as the source; otherwise the
        answer would go straight to the client, who has never heard of that pod.""",
    why_zh="""客户端访问节点 1，Pod 却在节点 2 上。节点 1 把包转过去，并把源地址换成自己的；否则应答会直接发给客户端，而客户端从没听说过那个 Pod。""",
)
def outside(lab):
    journey = _follow(lab, "client", "zenlinnode1", 30830)
    changes = journey.changes_of("there")
    wanted = ["dnat", "encapsulation", "masquerade"]
    lab.expect_equal(Text("rewritten, masqueraded, wrapped", "改写、伪装、封装"), sorted({*changes} - {"decapsulation"}), wanted)
    lab.expect_equal(Text("and answered by the node that was asked", "由被访问的节点应答"), journey.arrived, True)


@scenario.step(
    en="Refused: a service with nobody behind it",
    zh="被拒绝：后面没有人的 Service",
    why_en="""kube-proxy writes a rule for this, too: without it the packet would look for a machine with the cluster IP, and there is none. On the
        node itself it is refused at once.""",
    why_zh="""这种情况 kube-proxy 也写了规则：没有它，包会去找一台拥有 Cluster IP 的机器，而这样的机器并不存在。在节点上访问，立刻就被拒绝。""",
)
def refused(lab):
    journey = _follow(lab, "zenlinnode1", "nobody.default", 8000)
    lab.expect_equal(Text("lost for want of endpoints", "因为没有端点而丢失"), journey.loss and journey.loss.kind, "no-endpoints")
    lab.expect_equal(Text("on the node itself", "就在节点上"), journey.loss and journey.loss.machine, "zenlinnode1")


@scenario.step(
    en="Lost: a rule that somebody wrote",
    zh="丢失：有人写的一条规则",
    why_en="""A rule on node 2 drops what is for the pod. The sender learns nothing; the trace says which rule it was.""",
    why_zh="""节点 2 上有一条规则丢弃发给这个 Pod 的包。发送方什么也不知道；追踪会说出是哪条规则。""",
)
def lost(lab):
    node = lab.node("zenlinnode2")
    node.run(f"iptables -I FORWARD -d {WEB} -p tcp --dport 80 -j DROP").expect_status()
    try:
        journey = _follow(lab, "far", "pod/web", 80, patience=0.3)
    finally:
        node.run(f"iptables -D FORWARD -d {WEB} -p tcp --dport 80 -j DROP").expect_status()
    loss = journey.loss
    lab.expect_equal(Text("a rule did it", "是规则干的"), loss and loss.kind, "rule")
    lab.expect_equal(Text("on node 2", "在节点 2 上"), loss and loss.machine, "zenlinnode2")
    found = loss.rule.chain if loss and loss.rule else ""
    lab.expect_equal(Text("in its FORWARD chain", "在它的 FORWARD 链里"), found, "FORWARD")
    lab.expect_equal(Text("without it all is well", "去掉它就一切正常"), lab.trace("far", "pod/web", 80).arrived, True)


def _follow(lab, source, target, port, patience=None):
    journey = lab.trace(source, target, port, patience=patience)
    lab.show_journey(journey, en=f"One packet: lab trace {source} {target}:{port}", zh=f"追踪一个包：lab trace {source} {target}:{port}")
    return journey


def _machines(journey):
    """The machines of the way there, each once where it comes up."""
    return list(dict.fromkeys(hop.machine for hop in journey.leg("there")))
