"""What each of flannel's backends makes of the nodes: the facts that the steps compare with, and what has to be said about them."""

from __future__ import annotations

from dataclasses import dataclass

from lab.scenario import Text

from .article import NODES

ROUTER_HOP = Text(
    "Here flannel wraps nothing: its backend has entered the pods' subnets in the router's table. Node 2, the router and node 1 route the "
    "reply, and 61 is left.",
    "这里 flannel 什么也不封装：它的后端已经把各个 Pod 子网写进了路由器的路由表。回包经过节点 2、路由器和节点 1 三次路由，剩下 61。",
)
FULL_SIZE = Text(
    "The article shows MTU 1500 and the mask 255.255.255.255 in a pod. With this backend 1500 is right: nothing is put in front of a packet. "
    "The mask is the subnet's /24.",
    "文章里 Pod 的 MTU 是 1500，掩码是 255.255.255.255。用这个后端时 1500 是对的：包前面什么也不加。掩码则是子网的 /24。",
)


@dataclass(frozen=True)
class Facts:
    """One backend.

    device    flannel's device on a node, empty for none; prefix: the prefix length of its address
    mtu       of pods, bytes
    hops      machines and processes that take 1 off a packet's TTL between pods of two nodes
    way       what `ip route get` says on node 1 of a pod on node 2
    routes    the name of the check of a node's route table
    size      a remark on the MTU; ttl: a remark on the hops, None where the step's own text says it
    """

    device: str
    prefix: int
    mtu: int
    hops: int
    way: str
    routes: Text
    size: Text
    ttl: Text | None = None

    @property
    def behind(self):
        """What the pods of other nodes are behind; the Chinese with the blanks that a foreign word has around it."""
        return Text(self.device, f" {self.device} ") if self.device else Text("the router", "路由器")

    @property
    def exit(self):
        """The device by which packets for them leave."""
        return self.device or "eth0"

    def source(self, node):
        """Whom a pod of another node sees when this node itself calls: the address of the device by which the packet left."""
        address, _, _, pods = NODES[node]
        return f"{pods}.0" if self.device else address

    def pod_routes(self, own):
        """The rows of `route -n` that lead to pods, in its order, on the node whose pod subnet begins with `own`."""
        here = (f"{own}.0", "0.0.0.0", "255.255.255.0", "U", "docker0")
        if self.device == "flannel0":
            everywhere = ("10.244.0.0", "0.0.0.0", "255.255.0.0", "U", "flannel0")
            # The kernel lists the longer mask first where two routes begin alike, as the master's do.
            return [here, everywhere] if here[0] == everywhere[0] else [everywhere, here]
        others = [pods for _, _, _, pods in NODES.values() if pods != own] if self.device else []
        return sorted([here, *((f"{pods}.0", f"{pods}.0", "255.255.255.0", "UG", self.device) for pods in others)])


UDP = Facts(
    "flannel0",
    16,
    1472,
    4,
    "dev flannel0",
    Text("four routes: default, own segment, all pods, own pods", "四条路由：默认路由、本网段、全部 Pod、本节点 Pod"),
    Text(
        "The article shows MTU 1500 and the mask 255.255.255.255 in a pod. The udp backend puts 20 bytes of IP and 8 bytes of UDP "
        "in front of each packet, so 1500 - 28 = 1472 are left.",
        "文章里 Pod 的 MTU 是 1500，掩码是 255.255.255.255。其实 udp 后端要在每个包前面加上 20 字节 IP 头和 8 字节 UDP 头，"
        "只剩下 1500 − 28 = 1472。",
    ),
)
VXLAN = Facts(
    "flannel.1",
    32,
    1450,
    2,
    "dev flannel.1",
    Text("five routes: default, own segment, and one for each node's pods", "五条路由：默认路由、本网段，以及每个节点的 Pod 各一条"),
    Text(
        "The article shows MTU 1500 and the mask 255.255.255.255 in a pod. The vxlan backend puts 50 bytes in front of each packet: IP 20, "
        "UDP 8, VXLAN 8, Ethernet 14. So 1500 - 50 = 1450 are left.",
        "文章里 Pod 的 MTU 是 1500，掩码是 255.255.255.255。其实 vxlan 后端要在每个包前面加上 50 字节：IP 头 20、UDP 头 8、VXLAN 头 8、"
        "以太网头 14，只剩下 1500 − 50 = 1450。",
    ),
    Text(
        "Here the vxlan device wraps the packet inside the kernel. That is no hop, and no flanneld takes part: only the two nodes route the "
        "reply, and 62 is left.",
        "这里由内核里的 vxlan 设备封装，不算一跳，flanneld 也不参与：只有两个节点对回包做路由，剩下 62。",
    ),
)
CLOUD = Facts(
    "",
    0,
    1500,
    3,
    "via 10.229.52.1 dev eth0",
    Text("three routes: default, own segment, own pods", "三条路由：默认路由、本网段、本节点 Pod"),
    FULL_SIZE,
    ROUTER_HOP,
)
BACKENDS = {"udp": UDP, "vxlan": VXLAN, "aws-vpc": CLOUD, "gce": CLOUD}


def facts(lab):
    """What holds for the backend that this lab runs with."""
    return BACKENDS[lab.topology.flannel.backend.type]


def lease_value(lab, node):
    """The value of a node's lease in etcd; vxlan's also has the MAC address of the node's device."""
    address = NODES[node][0]
    if lab.topology.flannel.backend.type != "vxlan":
        return f'{{"PublicIP":"{address}"}}'
    mac = lab.node(node).run("cat /sys/class/net/flannel.1/address").stdout.strip()
    return f'{{"PublicIP":"{address}","BackendType":"vxlan","BackendData":{{"VtepMAC":"{mac}"}}}}'
