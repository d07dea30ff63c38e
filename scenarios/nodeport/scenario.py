"""The way into the cluster from outside: a node port, whom the pod sees, and what externalTrafficPolicy changes."""

from __future__ import annotations

import re

from lab.scenario import Pin, Scenario, Text, checks

NODES = {  # name: (address, whom the pod sees when the connection came by this node)
    "zenlin": ("10.229.43.65", "10.244.0.0"),
    "zenlinnode1": ("10.229.53.146", "10.244.1.1"),
    "zenlinnode2": ("10.229.45.161", "10.244.2.0"),
}
CLIENT = "192.168.88.10"
HOME = "zenlinnode1"
NAME = '-m comment --comment "default/zipkin:http"'
MARK = rf"(?m)^-A KUBE-NODEPORTS -p tcp {NAME} -m tcp --dport 30305 -j KUBE-MARK-MASQ$"
CATCH = rf"(?m)^-A KUBE-NODEPORTS -p tcp {NAME} -m tcp --dport 30305 -j KUBE-SVC-\w{{16}}$"
LOCAL = rf"(?m)^-A KUBE-NODEPORTS -p tcp {NAME} -m tcp --dport 30305 -j KUBE-XLB-\w{{16}}$"
RULES = "iptables-save -t nat | grep default/zipkin"

LAB_ONLY = Text("it needs a machine outside the cluster, and the rules of v1.7", "需要集群外的机器，以及 v1.7 的规则")

scenario = Scenario(
    title=Text("from outside through a node port, and whom the pod sees", "从集群外经 NodePort 访问，以及 Pod 看到的来源地址"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["zipkin.yaml"],
    pins=[Pin("zipkin", node=HOME, address="10.244.1.60")],
    intro=Text(
        "The article's zipkin is its only service that machines outside can reach: 9411:30305 means port 9411 at the cluster IP and port "
        "30305 on every node. One pod is behind it, on node 1. In place of zipkin it runs a server that says whom it sees as its client.",
        "文章里只有 zipkin 能从集群外访问：9411:30305 表示 Cluster IP 上的 9411 端口，以及每个节点上的 30305 端口。"
        "它后面只有一个 Pod，在节点 1 上。这里的 Pod 跑的不是 zipkin，而是一个会报出客户端地址的服务程序。",
    ),
)


@scenario.step(
    en="Every node answers on port 30305",
    zh="每个节点的 30305 端口都有应答",
    why_en="""The client is outside the cluster: it has no kube-proxy and no way to pods. It dials each node in turn, and the same pod
        answers, although it runs on one node only.""",
    why_zh="""客户端在集群外，没有 kube-proxy，也到不了 Pod。它依次访问三个节点，应答的都是同一个 Pod，尽管这个 Pod 只在其中一个节点上。""",
)
def everywhere(lab):
    if lab.remote:  # no machine outside is known, but a pod can dial the nodes, too
        for name, address in lab.node_addresses().items():
            lab.caller.run(f"curl -s -m 3 http://{address}:30305/").expect("pod: zipkin", Text(f"by way of {name}", f"经由 {name}"))
    with lab.where_possible():
        lab.require_lab(LAB_ONLY)
        from_outside(lab)


def from_outside(lab):
    """The client outside the cluster dials every node."""
    client = lab.client()
    for name, (address, _) in NODES.items():
        client.run(f"curl -s -m 3 http://{address}:30305/").expect("pod: zipkin", Text(f"by way of {name}", f"经由 {name}"))
    client.run("curl -s -m 1 http://10.105.183.37:9411/").expect_status(
        7, 28, name=Text("the cluster IP means nothing out here", "Cluster IP 在外面没有意义")
    )


@scenario.step(
    en="What the rules are",
    zh="规则是怎样的",
    why_en="""The last rule of KUBE-SERVICES sends what is meant for the node itself to KUBE-NODEPORTS. There, one rule marks the packet for
        masquerading, and the next one sends it to the same KUBE-SVC chain that the cluster IP uses. kube-proxy also opens the port, so that
        no other program takes it.""",
    why_zh="""KUBE-SERVICES 的最后一条规则把发给节点本身的包转到 KUBE-NODEPORTS。那里先有一条规则打上伪装标记，
        下一条再转到 KUBE-SVC 链，与 Cluster IP 用的是同一条链。kube-proxy 还会自己占住这个端口，免得被别的程序拿去用。""",
    lab_only=LAB_ONLY,
)
def rules(lab):
    for node in lab.nodes:
        node.run("iptables-save -t nat | grep 'KUBE-SERVICES.*KUBE-NODEPORTS'").expect(
            "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", Text("only for the node's own addresses", "只管节点自己的地址")
        )
        shown = node.run("iptables-save -t nat | grep 'dport 30305'")
        shown.expect_match(MARK, Text(f"{node.name} marks", f"{node.name} 打标记"))
        shown.expect_match(CATCH, Text("and goes on to the service's chain", "再转到这个 Service 的链"))
        node.run("ss -Htln 'sport = :30305'").expect(":30305", Text("kube-proxy holds the port", "kube-proxy 占住了这个端口"))


@scenario.step(
    en="Whom the pod sees: the node, not the client",
    zh="Pod 看到的来源：是节点，不是客户端",
    why_en="""The mark makes the node put its own address into the packet as the source: that of the device by which the packet leaves for the
        pod, docker0 on the pod's own node and flannel's device on the others. So the reply comes back to the node that did the DNAT and
        can be turned back there. Without it, a pod on node 1 would answer a client that had dialled node 2 straight from node 1, and the
        client would know no such connection. The price: the pod does not learn who called.""",
    why_zh="""打了标记的包，节点会把来源改成自己的地址：即包发往 Pod 时所经设备的地址，在 Pod 所在节点是 docker0，在其他节点是 flannel 的设备。
        这样回包会先回到做过 DNAT 的那个节点，在那里还原。否则，客户端访问的是节点 2，节点 1 上的 Pod 却直接从节点 1 回包，
        客户端根本不认得这个连接。代价是：Pod 不知道是谁在访问。""",
    lab_only=LAB_ONLY,
)
def seen(lab):
    for name, (address, source) in NODES.items():
        lab.client().run(f"curl -s -m 3 http://{address}:30305/").expect_match(
            rf"(?m)^client: {re.escape(source)}:\d+$", Text(f"by way of {name} the pod sees {source}", f"经由 {name} 时，Pod 看到的是 {source}")
        )


@scenario.step(
    en="externalTrafficPolicy set to Local",
    zh="把 externalTrafficPolicy 设为 Local",
    why_en="""Local says: a node hands connections from outside only to pods of its own. It need not mask the source then, as the reply passes
        it anyway, and the pod sees the client. But a node without such a pod drops what comes. A load balancer in front must know which
        nodes to ask. Afterwards the policy is Cluster again.""",
    why_zh="""Local 的意思是：节点只把外来连接交给本节点上的 Pod。回包反正要经过这个节点，所以不必改来源，Pod 看到的就是客户端。
        但没有这种 Pod 的节点会丢弃到来的包，前面的负载均衡器必须知道该找哪些节点。这一步结束时，策略改回 Cluster。""",
    needs=("everywhere",),
    lab_only=LAB_ONLY,
)
def local(lab):
    client = lab.client()
    try:
        _policy(lab, "Local", LOCAL)
        client.run(f"curl -s -m 3 http://{NODES[HOME][0]}:30305/").expect_match(
            rf"(?m)^client: {re.escape(CLIENT)}:\d+$", Text("the pod sees the client itself", "Pod 看到的就是客户端")
        )
        for name in NODES:
            if name != HOME:
                client.run(f"curl -s -m 1 http://{NODES[name][0]}:30305/").expect_status(
                    28, name=Text(f"{name} has no such pod and drops it", f"{name} 上没有这样的 Pod，包被丢弃")
                )
                lab.node(name).run("curl -s -m 3 http://10.105.183.37:9411/").expect(
                    "pod: zipkin", Text("the cluster IP is not concerned", "Cluster IP 不受影响")
                )
    finally:
        _policy(lab, "Cluster", CATCH)
    client.run(f"curl -s -m 3 http://{NODES['zenlinnode2'][0]}:30305/").expect(
        "pod: zipkin", Text("with Cluster, it answers again", "改回 Cluster，又有应答")
    )


def _policy(lab, policy, rule):
    """Set the service's policy, with kubectl where there is one, and wait until every node has the rule that goes with it."""
    master = lab.node("zenlin")
    patch = f'{{"spec": {{"externalTrafficPolicy": "{policy}"}}}}'
    master.run(f"kubectl patch svc zipkin -p '{patch}'").expect_status(
        0, name=Text("patched (kubectl missing? see `lab doctor`)", "已修改（没有 kubectl？见 `lab doctor`）")
    )
    for node in lab.nodes:
        node.until(RULES, checks.matches(Text(f"{node.name} follows", f"{node.name} 已跟上"), rule))
