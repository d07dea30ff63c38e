"""What a rule of the table `ip kube-proxy` does, in one or two sentences, in English and Chinese. Pure.

A kind is recognised by its chain and by words of the rule; both as kube-proxy writes it and as `nft list` prints it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lab.errors import UsageError
from lab.model.text import Text


@dataclass(frozen=True)
class Kind:
    """Rules that do the same.

    chains   names, or beginnings of names that end with a dash
    pattern  what is in the rule; its groups are the values that the text names, beside `service`
    """

    chains: tuple[str, ...]
    pattern: re.Pattern[str]
    text: Text


def explain(chain: str, rule: str) -> Text:
    """What a rule of a chain does. Raises UsageError for one that kube-proxy does not write."""
    kind = kind_of(chain, rule)
    found = kind.pattern.search(rule) if kind else None
    if kind is None or found is None:
        raise UsageError(f"`{rule.strip()}` in chain {chain} is no rule of kube-proxy's, so there is no explanation for it")
    values = {"service": _service(chain), **found.groupdict()}
    return Text(kind.text.en.format_map(values), kind.text.zh.format_map(values))


def kind_of(chain: str, rule: str) -> Kind | None:
    """The kind of a rule, None for a foreign one."""
    for kind in KINDS:
        if any(chain.startswith(name) if name.endswith("-") else chain == name for name in kind.chains) and kind.pattern.search(rule):
            return kind
    return None


def _service(chain: str) -> str:
    """The service of a chain: `ns1/svc1` for service-ULMVA6XW-ns1/svc1/tcp/p80, with `:p80` as its port has a name; empty for others."""
    parts = chain.split("__")[0].split("-", 2)[-1].split("/")
    if len(parts) != 4:
        return ""
    return f"{parts[0]}/{parts[1]}" + (f":{parts[3]}" if parts[3] else "")


def _kind(chains: str, pattern: str, en: str, zh: str) -> Kind:
    return Kind(tuple(chains.split()), re.compile(pattern), Text(en, zh))


_HOOKS = (
    _kind(
        "filter-prerouting-pre-dnat filter-output-pre-dnat",
        "jump firewall-check",
        "Before any address is changed, each new connection is looked up among the load balancers' addresses that not everybody may use.",
        "在改写任何地址之前，每个新连接先查一查：目的地是不是只许部分来源使用的负载均衡器地址。",
    ),
    _kind(
        "filter-input",
        "jump nodeport-endpoints-check",
        "New connections to this node are looked up among the node ports that have no back end to go to.",
        "发给本节点的新连接要查一查：是不是没有可用后端的 NodePort。",
    ),
    _kind(
        "filter-input filter-forward filter-output",
        "jump service-endpoints-check",
        "New connections are looked up among the services that have no back end to go to.",
        "新连接要查一查：是不是没有可用后端的 Service。",
    ),
    _kind(
        "filter-forward filter-output",
        "jump cluster-ips-check",
        "What still has an address of the service network as its destination was taken by no service: such new connections end there.",
        "目的地仍是 Service 网段地址的新连接，说明没有 Service 接手，在那里了结。",
    ),
    _kind(
        "nat-prerouting",
        "jump services",
        "Every new connection that reaches this node, from a pod or from outside, is looked up among the services before the node decides where to "
        "send it.",
        "到达本节点的每个新连接，不论来自 Pod 还是外部，都先在各 Service 里查一遍，之后节点才决定往哪里转发。",
    ),
    _kind("nat-output", "jump services", "What processes on this node itself send is looked up, too.", "本节点自己的进程发出的包也要查。"),
    _kind(
        "nat-postrouting",
        "jump masquerading",
        "Before a packet leaves, it is decided whether its source becomes an address of this node.",
        "包离开之前，决定是否把源地址换成本节点的地址。",
    ),
)

_MAPS = (
    _kind(
        "services",
        "vmap @service-ips",
        "Destination address, protocol and port are looked up in the map service-ips, in one step however many services there are; the entry "
        "says in which chain to go on.",
        "用目的地址、协议和端口查 map service-ips，不论有多少个 Service 都是一步；条目指明接着走哪条链。",
    ),
    _kind(
        "services",
        "vmap @service-nodeports",
        "If the destination is this node's own address for node ports, protocol and port are looked up in the map service-nodeports.",
        "如果目的地是本节点用于 NodePort 的地址，就用协议和端口查 map service-nodeports。",
    ),
    _kind(
        "firewall-check",
        "vmap @firewall-ips",
        "The load balancers' addresses with source ranges are in this map; an entry leads to the chain that looks at the source.",
        "限制来源的负载均衡器地址都在这张 map 里，条目指向检查来源的链。",
    ),
    _kind(
        "service-endpoints-check",
        "vmap @no-endpoint-services",
        "Addresses of services that have no back end are in this map: they are refused, or dropped where other nodes have some (policy Local).",
        "没有后端的 Service 地址都在这张 map 里：拒绝；如果别的节点上有后端（Local 策略），则丢弃。",
    ),
    _kind(
        "nodeport-endpoints-check",
        "vmap @no-endpoint-nodeports",
        "Node ports that have no back end are in this map: they are refused, or dropped where other nodes have some (policy Local).",
        "没有后端的 NodePort 都在这张 map 里：拒绝；如果别的节点上有后端（Local 策略），则丢弃。",
    ),
    _kind(
        "cluster-ips-check",
        "@cluster-ips reject",
        "A cluster IP that exists, but a port that its service does not have: refused by an ICMP message.",
        "Cluster IP 存在，但 Service 没有这个端口：用 ICMP 消息拒绝。",
    ),
    _kind(
        "cluster-ips-check",
        r"ip daddr (?:\{ )?(?P<network>[\d./]+)(?: \})? drop",
        "An address of the service network {network} that no service has: dropped, before it leaves the node for nowhere.",
        "Service 网段 {network} 里没有分配给任何 Service 的地址：丢弃，免得它离开节点却无处可去。",
    ),
)

_ENDS = (
    _kind(
        "mark-for-masquerade",
        "mark set",
        "Puts the mark for masquerading on the packet. It changes nothing yet: the chain masquerading looks for it at the very end.",
        "给包打上伪装标记。此时什么也没改，最后由 masquerading 链来看这个标记。",
    ),
    _kind("masquerading", "return", "A packet without the mark keeps its source address.", "没有标记的包保留源地址。"),
    _kind(
        "masquerading",
        "mark set",
        "Takes the mark off again, so that nobody who sees the packet later takes it for marked.",
        "把标记去掉，免得后面再看到这个包的还以为它带着标记。",
    ),
    _kind(
        "masquerading",
        "masquerade",
        "Gives the packet the address of the interface it leaves by as its source, and a port by chance, so that the reply comes back to this "
        "node, which knows the connection.",
        "源地址换成离开时所经接口的地址，源端口随机，这样回包会回到记得这个连接的本节点。",
    ),
    _kind("reject-chain", "reject", "Refuses the connection by an ICMP message.", "用 ICMP 消息拒绝这个连接。"),
)

_SERVICES = (
    _kind(
        "service-",
        r"ip daddr (?P<ip>\S+) (?P<protocol>\w+) dport (?P<port>\S+) ip saddr != (?P<cidr>\S+) jump mark-for-masquerade",
        "A packet for {service}, {ip} {protocol} port {port}, that does not come from a pod (source outside of {cidr}) is marked: it will leave "
        "with an address of this node, and the pod's reply comes back here.",
        "发往 {service}（{ip}，{protocol} 端口 {port}）的包，如果来源不是 Pod（源地址不在 {cidr} 内），就打上标记："
        "离开时换用本节点的地址，Pod 的回包就会回到这里。",
    ),
    _kind(
        "service-",
        r"ip daddr (?P<ip>\S+) (?P<protocol>\w+) dport (?P<port>\S+) jump mark-for-masquerade",
        "Every packet for {service}, {ip} {protocol} port {port}, is marked, pods' packets included (--masquerade-all).",
        "凡是发往 {service}（{ip}，{protocol} 端口 {port}）的包都打上标记，Pod 发出的也不例外（--masquerade-all）。",
    ),
    _kind(
        "service- local-",
        r"ip saddr @affinity-\S+ goto endpoint-\S*__(?P<ip>[\d.]+)/(?P<port>\d+)",
        "A client that is in this set got the back end {ip}:{port} not long ago, and gets it again (sessionAffinity ClientIP).",
        "在这个集合里的客户端不久前分到过后端 {ip}:{port}，这次还分到它（sessionAffinity: ClientIP）。",
    ),
    _kind(
        "service-",
        r"numgen random mod (?P<count>\d+) vmap",
        "The dice: one random number below {count} is looked up in a map, and leads to the chain of one of the {count} back ends of {service}.",
        "掷骰子：取一个小于 {count} 的随机数去查 map，转到 {service} 的 {count} 个后端之一的链。",
    ),
    _kind(
        "local-",
        r"numgen random mod (?P<count>\d+) vmap",
        "The same dice among the {count} back ends of {service} on this node alone (externalTrafficPolicy Local).",
        "同样掷骰子，但只在本节点上 {service} 的 {count} 个后端里选（externalTrafficPolicy: Local）。",
    ),
    _kind(
        "firewall-",
        r"ip saddr != (?:\{ )?(?P<ranges>[^}]*?)(?: \})? drop",
        "Only packets from {ranges} may use {service} by the load balancer (loadBalancerSourceRanges): all others are dropped.",
        "只有来自 {ranges} 的包可以通过负载均衡器访问 {service}（loadBalancerSourceRanges），其余丢弃。",
    ),
)

_OUTSIDE = (
    _kind(
        "external-",
        "fib saddr type local jump mark-for-masquerade",
        "What this node itself sends to {service} by an outside address is marked: the chosen back end may be on another node.",
        "本节点自己经外部地址访问 {service} 的包打上标记：选中的后端可能在别的节点上。",
    ),
    _kind(
        "external-",
        "fib saddr type local goto service-",
        "This node's own packets may use any back end of {service}.",
        "本节点自己发出的包可以使用 {service} 的任何后端。",
    ),
    _kind(
        "external-",
        r"ip saddr (?P<cidr>\S+) goto service-",
        "Pods (source in {cidr}) may use any back end of {service}, also of another node.",
        "Pod（源地址在 {cidr} 内）可以使用 {service} 的任何后端，包括别的节点上的。",
    ),
    _kind(
        "external-",
        "jump mark-for-masquerade",
        "What came from outside for {service} is marked: the chosen back end may be on another node, and its reply has to come back by this one.",
        "外部来访 {service} 的包打上标记：选中的后端可能在别的节点上，回包必须经过本节点。",
    ),
    _kind(
        "external-",
        "goto service-",
        "Then a back end of {service} is chosen as for the cluster IP, on any node.",
        "然后与访问 Cluster IP 一样为 {service} 选后端，后端可以在任何节点上。",
    ),
    _kind(
        "external-",
        "goto local-",
        "What really comes from outside gets a back end of {service} on this node (externalTrafficPolicy Local), and keeps its source address.",
        "真正从外部来的包分给本节点上 {service} 的后端（externalTrafficPolicy: Local），源地址不变。",
    ),
)

_ENDPOINTS = (
    _kind(
        "endpoint-",
        r"ip saddr (?P<ip>\S+) jump mark-for-masquerade",
        "A hairpin: if the client is {ip} itself, the pod has chosen itself through {service}. Its packet is marked to get another source address; "
        "otherwise the pod would receive a packet from itself and answer past this node.",
        "发夹（hairpin）：如果客户端就是 {ip} 自己，即 Pod 通过 {service} 又选中了自己，就给包打上标记，换掉源地址；"
        "否则 Pod 收到的是自己发来的包，会绕过本节点直接应答。",
    ),
    _kind(
        "endpoint-",
        r"update @affinity-\S+ \{ ip saddr",
        "The client is written down in this back end's set, for as long as the affinity lasts, so that it gets the same back end next time.",
        "把客户端记入这个后端的集合，在会话保持的时间内有效，下次还分到它。",
    ),
    _kind(
        "endpoint-",
        r"dnat to (?P<backend>\S+)",
        "The destination becomes {backend}, the pod's address and port. conntrack remembers this for the rest of the connection and undoes it in "
        "the replies.",
        "目的地址改成 {backend}，即 Pod 的地址和端口。conntrack 记住这次改写，用于该连接后面的包，并在回包里改回去。",
    ),
)

KINDS = (*_HOOKS, *_MAPS, *_ENDS, *_SERVICES, *_OUTSIDE, *_ENDPOINTS)
"""All kinds. Where two fit, the one that asks for more stands first."""
