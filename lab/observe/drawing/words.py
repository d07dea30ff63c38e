"""The words in pictures, in both languages."""

from __future__ import annotations

from typing import Literal

from lab.model.text import Text

Language = Literal["en", "zh"]

WORDS = {
    "nodes": Text("{n} nodes", "{n} 个节点"),
    "node": Text("1 node", "1 个节点"),
    "facts": Text("Kubernetes {kubernetes}, flannel {backend}, kube-proxy {mode}", "Kubernetes {kubernetes}，flannel {backend}，kube-proxy {mode}"),
    "facts_docker": Text("Kubernetes {kubernetes}, docker alone, kube-proxy {mode}", "Kubernetes {kubernetes}，只有 docker，kube-proxy {mode}"),
    "networks": Text("pods {pods}     services {services}", "Pod {pods}   Service {services}"),
    "networks_docker": Text("pods: docker's range on every node   services {services}", "Pod：每个节点都用 docker 自己的网段   Service {services}"),
    "master": Text("master", "主节点"),
    "worker": Text("worker", "工作节点"),
    "outside": Text("outside the cluster", "集群之外"),
    "router": Text("forwards between networks", "在网络之间转发"),
    "cloud": Text("and the cloud's route table", "以及云的路由表"),
    "carries": Text("flanneld wraps, UDP :{port}", "flanneld 封装，UDP :{port}"),
    "fills": Text("flanneld fills its tables", "flanneld 填写它的表"),
    "routes": Text("flanneld writes routes", "flanneld 写路由"),
    "cloudly": Text("flanneld writes the cloud's routes", "flanneld 写云的路由"),
    "flanneld_gone": Text("flanneld does not run", "flanneld 没有运行"),
    "leases": Text("flanneld leases a subnet only", "flanneld 只租子网"),
    "device_udp": Text("TUN, to flanneld", "TUN，通向 flanneld"),
    "device_vxlan": Text("VXLAN, UDP :{port}", "VXLAN，UDP :{port}"),
    "rules": Text("routes, kube-proxy's {mode} rules", "路由、kube-proxy 的 {mode} 规则"),
    "rules_userspace": Text("routes, rules to kube-proxy's own ports", "路由、通向 kube-proxy 端口的规则"),
    "unknown_subnet": Text("subnet leased at boot", "启动时租得子网"),
    "idle": Text("idle", "闲置"),
    "more": Text("and {n} more", "另有 {n} 个"),
    "no_address": Text("address at boot", "启动时得到地址"),
    "not_ready": Text("not ready", "未就绪"),
    "waiting": Text("Pods that the scheduler places at boot", "启动时由调度器安排的 Pod"),
    "virtual": Text("Services: on no machine, only in kube-proxy's rules on every node", "Service：不在任何机器上，只在每个节点的 kube-proxy 规则里"),
    "endpoints": Text("{n} back ends", "{n} 个后端"),
    "endpoint": Text("1 back end", "1 个后端"),
    "no_endpoints": Text("no back end", "没有后端"),
    "headless": Text("no address of its own", "没有自己的地址"),
    "address_at_boot": Text("address chosen at boot", "启动时分配地址"),
    "switch": Text("switch of {network}", "交换机 {network}"),
    "wired": Text("Nodes with a wire of their own to the router", "各有一根网线直连路由器的节点"),
    "pods": Text("{n} pods", "{n} 个 Pod"),
    "pod": Text("1 pod", "1 个 Pod"),
    "legend_wire": Text("wire (veth pair)", "网线（veth 对）"),
    "legend_tunnel": Text("way of wrapped packets", "封装后的包走的路"),
    "legend_control": Text("writes or tells", "写入或告知"),
    "legend_service": Text("in rules only", "只存在于规则中"),
    "every_node": Text("Every node: the kernel, with kube-proxy's {mode} rules", "每个节点：内核，以及 kube-proxy 的 {mode} 规则"),
    "writes": Text("writes the rules, carries no packet", "写规则，不碰数据包"),
    "watches": Text("tells of services and endpoints", "通报 Service 与 Endpoints"),
    "any_client": Text("client", "客户端"),
    "any_client_is": Text("a pod, a node, or from outside", "Pod、节点，或来自集群之外"),
    "any_node": Text("any node", "任一节点"),
    "service_chain": Text("the service's chain", "Service 的链"),
    "end_chain": Text("the pod's own chain", "Pod 自己的链"),
    "in_turn": Text("kube-proxy, in user space", "kube-proxy，在用户态"),
    "relayed": Text("a second connection", "第二条连接"),
    "statistic": Text("rolls dice for each new connection", "每个新连接掷一次骰子"),
    "numgen": Text("numgen random, one look into a map", "numgen random，查一次映射表"),
    "round_robin": Text("the next one in turn", "轮流选下一个"),
    "sticky": Text("the client's pod of before, else dice", "先找该客户端之前的 Pod，否则掷骰子"),
    "only_one": Text("only one pod to choose", "只有一个 Pod 可选"),
    "nobody": Text("nobody to choose", "没有可选的 Pod"),
    "the_rest": Text("the rest", "其余"),
    "refused": Text("no pod: refused", "没有 Pod：拒绝"),
    "no_rules": Text("No cluster IP, so no rules: DNS names the pods themselves.", "没有 cluster IP，也就没有规则：DNS 直接给出各个 Pod。"),
    "flannel_heading": Text("flannel {backend}", "flannel {backend}"),
    "a_pod": Text("a pod on {node}", "{node} 上的某个 Pod"),
    "hop_pod_out": Text("sends to the other pod's address", "发往另一个 Pod 的地址"),
    "hop_pod_in": Text("the packet as it was sent", "收到原样的包"),
    "hop_bridge_out": Text("the pods' bridge, their gateway", "Pod 的网桥，也是网关"),
    "hop_bridge_in": Text("the route of this node's subnet", "本节点子网的路由"),
    "hop_tun_out": Text("the route of {subnet} leads here", "{subnet} 的路由指向这里"),
    "hop_tun_in": Text("the kernel gets the packet back", "包回到内核"),
    "hop_flanneld_out": Text("wraps it in UDP to the other flanneld", "装进 UDP，发给对方的 flanneld"),
    "hop_flanneld_in": Text("unwraps it", "拆开"),
    "hop_vxlan_out": Text("the kernel wraps it, flanneld's tables say whereto", "内核封装，去向由 flanneld 填的表决定"),
    "hop_vxlan_in": Text("the kernel unwraps it", "内核拆开"),
    "hop_card_out": Text("the outer packet leaves the node", "外层包离开节点"),
    "hop_card_in": Text("the outer packet comes in", "外层包到达"),
    "hop_card_out_plain": Text("the pod's packet leaves as it is", "Pod 的包原样离开"),
    "hop_card_in_plain": Text("the pod's packet comes in as it is", "Pod 的包原样到达"),
    "hop_router": Text("forwards by the outer address only", "只按外层地址转发"),
    "hop_router_cloud": Text("the cloud's route: this subnet is on that node", "云的路由：这个子网在那个节点上"),
    "hop_router_lost": Text("knows no way to pods' addresses", "不认识 Pod 的地址"),
    "hop_switch": Text("one layer 2: no router between", "同一个二层网络：中间没有路由器"),
    "lost_alloc": Text(
        "alloc leases subnets only: nobody carries the packet, and no router knows its address.",
        "alloc 只租子网：没有人运送这个包，也没有路由器认识它的地址。",
    ),
    "lost_host_gw": Text(
        "host-gw names the other node as a gateway, and a gateway must be on the same layer 2.",
        "host-gw 把对方节点当作网关，而网关必须在同一个二层网络里。",
    ),
    "never_arrives": Text("the packet never comes here", "包到不了这里"),
    "payload": Text("payload", "载荷"),
    "payload_is": Text("what the pod says", "Pod 要说的内容"),
    "inner_ip": Text("inner IP", "内层 IP"),
    "outer_ip": Text("outer IP", "外层 IP"),
    "inner_ethernet": Text("inner Ethernet", "内层以太网"),
    "on_the_wire": Text("between the nodes, from the inside out", "节点之间的包，由内到外"),
    "on_the_wire_plain": Text("between the nodes, as the pod sent it", "节点之间的包，与 Pod 发出时相同"),
    "pod_mtu": Text("MTU of a pod: {mtu}", "Pod 的 MTU：{mtu}"),
    "leases_in_etcd": Text("etcd: whose subnet is where", "etcd：哪个子网在哪个节点"),
    "journey": Text("Journey: {source} → {target}", "旅程：{source} → {target}"),
    "leg_there": Text("there", "去程"),
    "leg_back": Text("back", "回程"),
    "leg_error": Text("error", "差错报文"),
    "direction_in": Text("comes in", "进入"),
    "direction_out": Text("goes out", "离开"),
    "rules_met": Text("rules met:", "遇到的规则："),
}


def say(key: str, language: Language, **values: object) -> str:
    """The word or sentence, with its values filled in."""
    return pick(WORDS[key], language).format(**values)


def pick(text: Text, language: Language) -> str:
    """The text in that language."""
    return text.zh if language == "zh" else text.en


def count(key: str, number: int, language: Language) -> str:
    """`{n} pods`, or `1 pod`; the key is the plural's."""
    return say(key.removesuffix("s") if number == 1 else key, language, n=number)
