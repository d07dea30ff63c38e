"""The kinds of rules on a node, and what each of them does, in English and Chinese. Data for lab.kubeproxy.explain.

Those that only today's kube-proxy has are in lab.kubeproxy.explanations_v133.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.model.text import Text


@dataclass(frozen=True)
class Kind:
    """Rules that do the same.

    chain, target   names, or beginnings of names that end with a dash
    properties      options that a rule of the kind has, and more words that lab.kubeproxy.explain finds in it
    text            a template with the values that lab.kubeproxy.explain gives
    """

    chain: str
    target: str
    properties: frozenset[str]
    text: Text


def kind(chain: str, target: str, properties: tuple[str, ...], en: str, zh: str) -> Kind:
    """A kind, with its text in both languages."""
    return Kind(chain, target, frozenset(properties), Text(en, zh))


_JUMPS = (
    kind(
        "PREROUTING",
        "KUBE-SERVICES",
        (),
        "Every new connection that reaches this node, from a pod or from outside, is looked up in KUBE-SERVICES before the node decides "
        "where to send it.",
        "到达本节点的每个新连接，不论来自 Pod 还是外部，都先在 KUBE-SERVICES 里查一遍，之后节点才决定往哪里转发。",
    ),
    kind(
        "OUTPUT",
        "KUBE-SERVICES",
        (),
        "What processes on this node itself send is looked up in KUBE-SERVICES too: in the nat table to find a back end, in the filter "
        "table to refuse services that have none.",
        "本节点自己的进程发出的包也要查 KUBE-SERVICES：在 nat 表里是为了选后端，在 filter 表里是为了拒绝没有后端的 Service。",
    ),
    kind(
        "INPUT",
        "KUBE-SERVICES",
        (),
        "Packets for this node itself are looked up in the filter table's KUBE-SERVICES, which refuses services without back ends.",
        "发给本节点自己的包要查 filter 表的 KUBE-SERVICES，没有后端的 Service 在那里被拒绝。",
    ),
    kind(
        "POSTROUTING",
        "KUBE-POSTROUTING",
        (),
        "Before a packet leaves, KUBE-POSTROUTING decides whether its source becomes an address of this node.",
        "包离开之前，由 KUBE-POSTROUTING 决定是否把源地址换成本节点的地址。",
    ),
    kind("INPUT", "KUBE-FIREWALL", (), "Marked packets that come to this node are dropped there.", "进入本节点的包，带丢弃标记的在那里丢弃。"),
    kind(
        "OUTPUT",
        "KUBE-FIREWALL",
        (),
        "Marked packets of this node's own processes are dropped there.",
        "本节点进程发出的包，带丢弃标记的在那里丢弃。",
    ),
)

_MARKS = (
    kind(
        "KUBE-MARK-MASQ",
        "MARK",
        (),
        "Puts the mark {mark} on the packet. It changes nothing yet: KUBE-POSTROUTING looks for it at the very end.",
        "给包打上标记 {mark}。此时什么也没改，最后由 KUBE-POSTROUTING 来看这个标记。",
    ),
    kind(
        "KUBE-POSTROUTING",
        "MASQUERADE",
        ("--mark",),
        "A packet with the mark {mark} gets the address of the interface it leaves by as its source, so that the reply comes back to this "
        "node, which knows the connection.",
        "带标记 {mark} 的包，源地址换成它离开时所经接口的地址。这样回包会回到记得这个连接的本节点。",
    ),
    kind(
        "KUBE-MARK-DROP",
        "MARK",
        (),
        "Puts the mark {mark} on the packet: KUBE-FIREWALL drops it, if it comes by there.",
        "给包打上标记 {mark}：经过 KUBE-FIREWALL 时会被丢弃。",
    ),
    kind(
        "KUBE-FIREWALL",
        "DROP",
        ("--mark",),
        "A packet with the mark {mark} is dropped without an answer.",
        "带标记 {mark} 的包被丢弃，不作任何回应。",
    ),
)

_PORTALS = (
    kind(
        "KUBE-SERVICES",
        "KUBE-MARK-MASQ",
        ("cluster IP", "! -s"),
        "A packet for {service}, {destination} {protocol} port {port}, that does not come from a pod (source outside of {source}) is marked: it "
        "will leave with an address of this node, and the pod's reply comes back here.",
        "发往 {service}（{destination}，{protocol} 端口 {port}）的包，如果来源不是 Pod（源地址不在 {source} 内），就打上标记："
        "离开时换用本节点的地址，Pod 的回包就会回到这里。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-MARK-MASQ",
        ("cluster IP",),
        "Every packet for {service}, {destination} {protocol} port {port}, is marked, pods' packets included (--masquerade-all).",
        "凡是发往 {service}（{destination}，{protocol} 端口 {port}）的包都打上标记，Pod 发出的也不例外（--masquerade-all）。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-SVC-",
        ("cluster IP",),
        "A packet for the cluster IP of {service}, {destination} {protocol} port {port}, goes to {target}, which chooses a back end. No "
        "interface has this address; it exists only in rules like this one.",
        "发往 {service} 的 Cluster IP（{destination}，{protocol} 端口 {port}）的包，转到 {target} 去选后端。"
        "没有任何网卡配置这个地址，它只存在于这样的规则里。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-MARK-MASQ",
        ("external IP",),
        "A packet for the external IP of {service}, {destination} {protocol} port {port}, is marked: the reply has to come back by this node.",
        "发往 {service} 的外部 IP（{destination}，{protocol} 端口 {port}）的包打上标记：回包必须经过本节点。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-SVC-",
        ("external IP", "! --physdev-is-in"),
        "The external IP {destination} leads to a back end of {service} for whoever is outside: not for packets that came in by a bridge, as "
        "pods' do, nor for this node's own.",
        "外部来的包，发往外部 IP {destination} 就转去选 {service} 的后端；从网桥进来的（例如 Pod 发出的）和本节点自己发出的不算。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-SVC-",
        ("external IP", "--dst-type"),
        "If the external IP {destination} is one of this node's own addresses, every packet for it goes on to a back end of {service}.",
        "如果外部 IP {destination} 正是本节点的地址，发给它的包一律转去选 {service} 的后端。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-FW-",
        (),
        "A packet for the load balancer's address {destination} {protocol} port {port} goes to {target}, which decides who may use {service} "
        "this way.",
        "发往负载均衡器地址 {destination}（{protocol} 端口 {port}）的包，转到 {target}，由它决定谁可以这样访问 {service}。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-NODEPORTS",
        (),
        "The last rule: a packet that no service's address matched, but that is for an address of this node, is looked up among the node ports.",
        "最后一条规则：没有匹配任何 Service 地址、但目的地是本节点地址的包，再到 NodePort 里查一遍。",
    ),
    kind(
        "KUBE-SERVICES",
        "REJECT",
        ("--dst-type",),
        "{service} has no back end now: a connection to its node port {port} is refused at once, by an ICMP message.",
        "{service} 现在没有后端：访问它的 NodePort {port} 会立即收到 ICMP 拒绝消息。",
    ),
    kind(
        "KUBE-SERVICES",
        "REJECT",
        (),
        "{service} has no back end now: a connection to {destination} {protocol} port {port} is refused at once, by an ICMP message. In v1.7 this "
        "holds for the node itself; a pod's packet does not pass here and times out.",
        "{service} 现在没有后端：访问 {destination} 的 {protocol} 端口 {port} 会立即收到 ICMP 拒绝消息。在 v1.7 里这只对节点自己有效；"
        "Pod 发出的包不经过这里，只能等到超时。",
    ),
)

_OUTSIDE = (
    kind(
        "KUBE-NODEPORTS",
        "KUBE-MARK-MASQ",
        (),
        "A packet for port {port} of this node, the node port of {service}, is marked: the chosen pod may be on another node, and its reply has "
        "to come back by this one.",
        "发往本节点端口 {port}（{service} 的 NodePort）的包打上标记：选中的 Pod 可能在别的节点上，回包必须经过本节点。",
    ),
    kind(
        "KUBE-NODEPORTS",
        "KUBE-SVC-",
        (),
        "Then it goes to {target}, which chooses a back end as for the cluster IP, on any node.",
        "然后转到 {target}，与访问 Cluster IP 一样选后端，后端可以在任何节点上。",
    ),
    kind(
        "KUBE-NODEPORTS",
        "KUBE-XLB-",
        (),
        "A packet for node port {port} of {service} goes to {target}, which knows only the back ends on this node (externalTrafficPolicy Local). "
        "It is not marked, so the pod sees the client's own address.",
        "发往 {service} 的 NodePort {port} 的包转到 {target}，那里只有本节点上的后端（externalTrafficPolicy: Local）。"
        "包不打标记，Pod 看到的是客户端自己的地址。",
    ),
    kind(
        "KUBE-FW-",
        "KUBE-MARK-MASQ",
        (),
        "What came for the load balancer's address of {service} is marked, because the chosen pod may be on another node.",
        "发往 {service} 负载均衡器地址的包打上标记，因为选中的 Pod 可能在别的节点上。",
    ),
    kind(
        "KUBE-FW-",
        "KUBE-MARK-DROP",
        (),
        "Whoever no rule above has let through may not use {service} by the load balancer: the packet is marked to be dropped.",
        "上面的规则都没有放行的来源，不许通过负载均衡器访问 {service}：包打上丢弃标记。",
    ),
    kind(
        "KUBE-FW-",
        "KUBE-",
        ("-s",),
        "Packets from {source} may use {service} by the load balancer (loadBalancerSourceRanges) and go to {target}.",
        "来自 {source} 的包可以通过负载均衡器访问 {service}（loadBalancerSourceRanges），转到 {target}。",
    ),
    kind(
        "KUBE-FW-",
        "KUBE-",
        (),
        "Everybody may use {service} by the load balancer: the packet goes to {target}.",
        "任何来源都可以通过负载均衡器访问 {service}：包转到 {target}。",
    ),
    kind(
        "KUBE-XLB-",
        "KUBE-SVC-",
        (),
        "Pods (source in {source}) may use any back end, also of another node: their packets go to {target}.",
        "Pod（源地址在 {source} 内）可以使用任何后端，包括别的节点上的：它们的包转到 {target}。",
    ),
    kind(
        "KUBE-XLB-",
        "KUBE-MARK-DROP",
        (),
        "No back end of {service} is on this node: what comes from outside is marked to be dropped, so that a load balancer turns to other nodes.",
        "本节点上没有 {service} 的后端：外部来的包打上丢弃标记，让负载均衡器改用别的节点。",
    ),
    kind(
        "KUBE-XLB-",
        "KUBE-SEP-",
        ("--probability",),
        "With a chance of {percent} % this back end on this node is chosen: {target}.",
        "以 {percent}% 的概率选中本节点上的这个后端：{target}。",
    ),
    kind(
        "KUBE-XLB-",
        "KUBE-SEP-",
        (),
        "What is left goes to this back end on this node, the last in the list: {target}.",
        "剩下的都交给列表里最后一个本节点后端：{target}。",
    ),
)

_CHOICE = (
    kind(
        "KUBE-SVC-",
        "KUBE-SEP-",
        ("--rcheck",),
        "A client that got the back end of {target} within the last {minutes} minutes gets it again (sessionAffinity ClientIP).",
        "{minutes} 分钟内曾被分到 {target} 这个后端的客户端，这次还分到它（sessionAffinity: ClientIP）。",
    ),
    kind(
        "KUBE-SVC-",
        "KUBE-SEP-",
        ("--probability",),
        "The dice: with a chance of {percent} % a connection to {service} goes to {target}; otherwise the next rule has its turn.",
        "掷骰子：访问 {service} 的连接以 {percent}% 的概率转到 {target}，否则轮到下一条规则。",
    ),
    kind(
        "KUBE-SVC-",
        "KUBE-SEP-",
        (),
        "Whatever is left goes to {target}: the last back end of {service} in the list needs no dice.",
        "剩下的全部转到 {target}：{service} 列表里的最后一个后端不用再掷骰子。",
    ),
    kind(
        "KUBE-SEP-",
        "KUBE-MARK-MASQ",
        (),
        "A hairpin: if the client is {source} itself, the pod has chosen itself through {service}. Its packet is marked to get another source "
        "address; otherwise the pod would receive a packet from itself and answer past this node.",
        "发夹（hairpin）：如果客户端就是 {source} 自己，即 Pod 通过 {service} 又选中了自己，就给包打上标记，换掉源地址；"
        "否则 Pod 收到的是自己发来的包，会绕过本节点直接应答。",
    ),
    kind(
        "KUBE-SEP-",
        "DNAT",
        ("--set",),
        "The destination becomes {backend}, the pod's address and port, and the client is written down in the list {chain}, so that it gets the "
        "same pod next time.",
        "目的地址改成 {backend}，即 Pod 的地址和端口；同时把客户端记入名单 {chain}，下次还分到这个 Pod。",
    ),
    kind(
        "KUBE-SEP-",
        "DNAT",
        (),
        "The destination becomes {backend}, the pod's address and port. conntrack remembers this for the rest of the connection and undoes it in "
        "the replies.",
        "目的地址改成 {backend}，即 Pod 的地址和端口。conntrack 记住这次改写，用于该连接后面的包，并在回包里改回去。",
    ),
)

_FLANNEL = (
    kind(
        "POSTROUTING",
        "RETURN",
        ("-s", "-d"),
        "flannel: what goes from pod to pod (from {source} to {destination}) keeps its source address.",
        "flannel：Pod 之间的包（从 {source} 到 {destination}）保留源地址。",
    ),
    kind(
        "POSTROUTING",
        "MASQUERADE",
        ("-s", "! -d"),
        "flannel: what a pod sends to the world (from {source}, and not to a multicast address in {destination}) leaves with this node's address, "
        "because nobody out there knows the pods' addresses.",
        "flannel：Pod 发往外部的包（来自 {source}，且不是发往组播地址 {destination}）换用本节点的地址，因为外面没有人认识 Pod 的地址。",
    ),
    kind(
        "POSTROUTING",
        "RETURN",
        ("! -s", "-d"),
        "flannel: what comes from outside for a pod of this node (to {destination}) keeps its source address: the pod sees the real client.",
        "flannel：外部发给本节点 Pod（{destination}）的包保留源地址：Pod 看到的是真正的客户端。",
    ),
    kind(
        "POSTROUTING",
        "MASQUERADE",
        ("! -s", "-d"),
        "flannel: what comes from outside for a pod of another node (to {destination}) leaves with this node's address, so that the reply comes "
        "back the same way.",
        "flannel：外部发给别的节点上 Pod（{destination}）的包换用本节点的地址，回包才会原路返回。",
    ),
)

KINDS = (*_JUMPS, *_MARKS, *_PORTALS, *_OUTSIDE, *_CHOICE, *_FLANNEL)
"""The kinds of v1.7, kubelet and flannel. Where two fit, the one with more properties stands first."""
