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
    "endpoints": Text("{n} pods behind it", "后面有 {n} 个 Pod"),
    "endpoint": Text("1 pod behind it", "后面有 1 个 Pod"),
    "no_endpoints": Text("no pod behind it", "后面没有 Pod"),
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
