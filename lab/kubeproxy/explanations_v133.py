"""The kinds of rules that today's kube-proxy (v1.33) has and v1.7 has not, in English and Chinese. Data for lab.kubeproxy.explain."""

from __future__ import annotations

from lab.kubeproxy.explanations import kind

_JUMPS = (
    kind(
        "FORWARD",
        "KUBE-SERVICES",
        (),
        "What this node passes on for others, pods' packets for instance, is looked up in the filter table's KUBE-SERVICES: so a service without "
        "back ends is refused to pods as well. v1.7 had no such jump.",
        "本节点替别人转发的包（例如 Pod 发出的）也要查 filter 表的 KUBE-SERVICES，所以没有后端的 Service 对 Pod 也会拒绝。v1.7 没有这条跳转。",
    ),
    kind(
        "FORWARD",
        "KUBE-EXTERNAL-SERVICES",
        (),
        "New connections that this node passes on are looked up in KUBE-EXTERNAL-SERVICES: some addresses from outside have no back end to go to.",
        "本节点转发的新连接要查 KUBE-EXTERNAL-SERVICES：有些面向外部的地址没有可用的后端。",
    ),
    kind(
        "INPUT",
        "KUBE-EXTERNAL-SERVICES",
        (),
        "New connections to this node are looked up in KUBE-EXTERNAL-SERVICES: some node ports have no back end to go to.",
        "发给本节点的新连接要查 KUBE-EXTERNAL-SERVICES：有些 NodePort 没有可用的后端。",
    ),
    kind(
        "INPUT",
        "KUBE-NODEPORTS",
        (),
        "The filter table's KUBE-NODEPORTS lets pass what comes to the health check ports of services.",
        "filter 表的 KUBE-NODEPORTS 放行发往各 Service 健康检查端口的包。",
    ),
    kind(
        "FORWARD",
        "KUBE-FORWARD",
        (),
        "What this node passes on goes through KUBE-FORWARD, which lets services' traffic pass even where the policy of FORWARD is to drop.",
        "本节点转发的包经过 KUBE-FORWARD：即使 FORWARD 的默认策略是丢弃，Service 的流量也能通过。",
    ),
    *(
        kind(
            chain,
            "KUBE-PROXY-FIREWALL",
            (),
            "New connections are looked up in KUBE-PROXY-FIREWALL, which drops those that still have a load balancer's address as their "
            "destination: who was let in has been given a back end's by now.",
            "新连接要查 KUBE-PROXY-FIREWALL：目的地址仍是负载均衡器地址的在那里丢弃，被放行的此时已经换成了后端的地址。",
        )
        for chain in ("INPUT", "OUTPUT", "FORWARD")
    ),
)

_MARKS = (
    kind(
        "KUBE-POSTROUTING",
        "RETURN",
        ("! --mark",),
        "A packet without the mark {mark} keeps its source address: the rest of this chain is not for it.",
        "没有标记 {mark} 的包保留源地址，这条链后面的规则与它无关。",
    ),
    kind(
        "KUBE-POSTROUTING",
        "MARK",
        (),
        "Takes the mark {mark} off again, so that nobody who sees the packet later, an overlay network for instance, takes it for marked.",
        "把标记 {mark} 去掉，免得后面再看到这个包的（例如 overlay 网络）还以为它带着标记。",
    ),
    kind(
        "KUBE-POSTROUTING",
        "MASQUERADE",
        (),
        "Only packets that had the mark come this far: each gets the address of the interface it leaves by as its source, so that the reply comes "
        "back to this node, which knows the connection.",
        "走到这里的都是带过标记的包：源地址换成它离开时所经接口的地址。这样回包会回到记得这个连接的本节点。",
    ),
)

_FILTER = (
    kind(
        "KUBE-FORWARD",
        "DROP",
        (),
        "A packet that belongs to no connection the kernel knows of is dropped: nobody would undo the change of its address, and it would "
        "break the connection that it comes from.",
        "不属于内核已知的任何连接的包丢弃：没有人会为它改回地址，放过去反而会弄断它原来的连接。",
    ),
    kind(
        "KUBE-FORWARD",
        "ACCEPT",
        ("--mark",),
        "A packet with the mark {mark} goes to a service and will be masqueraded: it may pass.",
        "带标记 {mark} 的包是去往 Service、之后要伪装的：放行。",
    ),
    kind(
        "KUBE-FORWARD",
        "ACCEPT",
        (),
        "What belongs to a connection that was let pass, replies for instance, may pass.",
        "属于已放行连接的包（例如回包）：放行。",
    ),
    kind(
        "KUBE-FIREWALL",
        "DROP",
        ("-d",),
        "127.0.0.0/8 is this machine's own: kube-proxy lets the kernel route it, so that node ports answer there, and this rule drops what others "
        "send to it.",
        "127.0.0.0/8 只属于本机：为了让 NodePort 在那里也能应答，kube-proxy 允许内核路由它；别人发往它的包由这条规则丢弃。",
    ),
    kind(
        "KUBE-EXTERNAL-SERVICES",
        "REJECT",
        ("--dst-type",),
        "{service} has no back end now: a connection to its node port {port} is refused at once, by an ICMP message.",
        "{service} 现在没有后端：访问它的 NodePort {port} 会立即收到 ICMP 拒绝消息。",
    ),
    kind(
        "KUBE-EXTERNAL-SERVICES",
        "REJECT",
        (),
        "{service} has no back end now: a connection to {destination} {protocol} port {port} is refused at once, by an ICMP message.",
        "{service} 现在没有后端：访问 {destination} 的 {protocol} 端口 {port} 会立即收到 ICMP 拒绝消息。",
    ),
    kind(
        "KUBE-EXTERNAL-SERVICES",
        "DROP",
        ("--dst-type",),
        "{service} has back ends, but none on this node (externalTrafficPolicy Local): what comes to its node port {port} is dropped, so that a load "
        "balancer turns to other nodes.",
        "{service} 有后端，但不在本节点上（externalTrafficPolicy: Local）：发往它的 NodePort {port} 的包丢弃，让负载均衡器改用别的节点。",
    ),
    kind(
        "KUBE-EXTERNAL-SERVICES",
        "DROP",
        (),
        "{service} has back ends, but none on this node (externalTrafficPolicy Local): what comes for {destination} {protocol} port {port} is "
        "dropped.",
        "{service} 有后端，但不在本节点上（externalTrafficPolicy: Local）：发往 {destination}（{protocol} 端口 {port}）的包丢弃。",
    ),
    kind(
        "KUBE-PROXY-FIREWALL",
        "DROP",
        (),
        "Whoever may use {service} by the load balancer's address {destination} has a back end's address as the destination by now; what still goes "
        "to {destination} {protocol} port {port} is dropped (loadBalancerSourceRanges).",
        "允许通过负载均衡器地址 {destination} 访问 {service} 的，目的地址此时已换成后端的；仍发往 {destination}（{protocol} 端口 {port}）的包丢弃"
        "（loadBalancerSourceRanges）。",
    ),
    kind(
        "KUBE-NODEPORTS",
        "ACCEPT",
        (),
        "Port {port} of this node tells load balancers whether {service} has a back end here: it may always be asked.",
        "本节点的端口 {port} 告诉负载均衡器 {service} 在这里有没有后端，随时可以来问。",
    ),
)

_WAYS_IN = (
    kind(
        "KUBE-SERVICES",
        "KUBE-EXT-",
        ("external IP",),
        "A packet for the external IP of {service}, {destination} {protocol} port {port}, goes to {target}, where everything from outside goes.",
        "发往 {service} 的外部 IP（{destination}，{protocol} 端口 {port}）的包转到 {target}，外部来的都去那里。",
    ),
    kind(
        "KUBE-SERVICES",
        "KUBE-EXT-",
        (),
        "A packet for the load balancer's address {destination} {protocol} port {port} of {service} goes to {target}, where everything from outside "
        "goes.",
        "发往 {service} 的负载均衡器地址 {destination}（{protocol} 端口 {port}）的包转到 {target}，外部来的都去那里。",
    ),
    kind(
        "KUBE-NODEPORTS",
        "KUBE-EXT-",
        (),
        "A packet for port {port} of this node, the node port of {service}, goes to {target}, where everything from outside goes.",
        "发往本节点端口 {port}（{service} 的 NodePort）的包转到 {target}，外部来的都去那里。",
    ),
    kind(
        "KUBE-FW-",
        "",
        (),
        "A rule that does nothing but say what happens to all others: they leave this chain with the load balancer's address as their destination, "
        "and KUBE-PROXY-FIREWALL drops them.",
        "这条规则什么也不做，只说明其余的会怎样：它们离开这条链时，目的地址仍是负载均衡器的地址，由 KUBE-PROXY-FIREWALL 丢弃。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-MARK-MASQ",
        ("--src-type",),
        "What this node itself sends to {service} by an outside address is marked: the chosen back end may be on another node.",
        "本节点自己经外部地址访问 {service} 的包打上标记：选中的后端可能在别的节点上。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-MARK-MASQ",
        (),
        "What came from outside for {service} is marked: the chosen back end may be on another node, and its reply has to come back by this one.",
        "外部来访 {service} 的包打上标记：选中的后端可能在别的节点上，回包必须经过本节点。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-SVC-",
        ("-s",),
        "Pods (source in {source}) may use any back end of {service}, also of another node: their packets go to {target}.",
        "Pod（源地址在 {source} 内）可以使用 {service} 的任何后端，包括别的节点上的：它们的包转到 {target}。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-SVC-",
        ("--src-type",),
        "This node's own packets may use any back end of {service}, too: they go to {target}.",
        "本节点自己发出的包也可以使用 {service} 的任何后端：转到 {target}。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-SVC-",
        (),
        "Then it goes to {target}, which chooses a back end as for the cluster IP, on any node.",
        "然后转到 {target}，与访问 Cluster IP 一样选后端，后端可以在任何节点上。",
    ),
    kind(
        "KUBE-EXT-",
        "KUBE-SVL-",
        (),
        "What really comes from outside goes to {target}, which has the back ends on this node only (externalTrafficPolicy Local). It is not "
        "marked, so the pod sees the client's own address.",
        "真正从外部来的包转到 {target}，那里只有本节点上的后端（externalTrafficPolicy: Local）。包不打标记，Pod 看到的是客户端自己的地址。",
    ),
)

_CHOICE = (
    kind(
        "KUBE-SVC-",
        "KUBE-MARK-MASQ",
        ("! -s",),
        "A packet for {service}, {destination} {protocol} port {port}, that does not come from a pod (source outside of {source}) is marked: it "
        "will leave with an address of this node, and the pod's reply comes back here.",
        "发往 {service}（{destination}，{protocol} 端口 {port}）的包，如果来源不是 Pod（源地址不在 {source} 内），就打上标记："
        "离开时换用本节点的地址，Pod 的回包就会回到这里。",
    ),
    kind(
        "KUBE-SVC-",
        "KUBE-MARK-MASQ",
        (),
        "Every packet for {service}, {destination} {protocol} port {port}, is marked, pods' packets included (--masquerade-all).",
        "凡是发往 {service}（{destination}，{protocol} 端口 {port}）的包都打上标记，Pod 发出的也不例外（--masquerade-all）。",
    ),
    kind(
        "KUBE-SVL-",
        "KUBE-SEP-",
        ("--rcheck",),
        "A client that got the back end of {target} within the last {minutes} minutes gets it again (sessionAffinity ClientIP).",
        "{minutes} 分钟内曾被分到 {target} 这个后端的客户端，这次还分到它（sessionAffinity: ClientIP）。",
    ),
    kind(
        "KUBE-SVL-",
        "KUBE-SEP-",
        ("--probability",),
        "With a chance of {percent} % this back end on this node is chosen: {target}.",
        "以 {percent}% 的概率选中本节点上的这个后端：{target}。",
    ),
    kind(
        "KUBE-SVL-",
        "KUBE-SEP-",
        (),
        "What is left goes to this back end on this node, the last in the list: {target}.",
        "剩下的都交给列表里最后一个本节点后端：{target}。",
    ),
)

KINDS = (*_JUMPS, *_MARKS, *_FILTER, *_WAYS_IN, *_CHOICE)
"""The kinds of today's. Where two fit, the one with more properties stands first."""
