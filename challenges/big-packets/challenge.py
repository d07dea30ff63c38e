"""Small pages load, big ones do not."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("Small pages load, big ones do not", "小页面能开，大页面打不开"),
    level=3,
    story=Text(
        """A provider has moved the nodes to a new network, whose routers do not carry fragments; that is their policy, and yours to live with.
        ping works, small pages load. Big ones from a pod on the other worker never end.""",
        """服务商把节点搬到了新网络，那里的路由器不转发分片；这是对方的规定，只能接受。ping 正常，小页面也能打开，
        但另一个工作节点上 Pod 的大页面永远加载不完。""",
    ),
    hints=[
        Text(
            "How big is the biggest packet that gets through? `ping -M do -s SIZE` from pod to pod; in between, nobody says no. "
            "Where does it vanish?",
            "能过去的最大的包有多大？在 Pod 之间用 `ping -M do -s 大小` 试；中间没有谁说“不”。它在哪里消失的？",
        ),
        Text(
            "Capture at eth0 of the sending worker: what becomes of a packet of 1500 bytes that gets 28 bytes of new headers?",
            "在发送方节点的 eth0 上抓包：1500 字节的包再加 28 字节的新报头，会变成什么？",
        ),
        Text(
            "What flannel's device takes must fit with its headers into what eth0 takes. `ip link` on both workers, and subnet.env "
            "says what it should be.",
            "flannel 设备收的包，加上它的报头后必须装得进 eth0。看两个工作节点的 `ip link`；subnet.env 里写着应该是多少。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.do(lab.topology.router, "iptables -t raw -A PREROUTING -f -j DROP")
    for node in lab.given.workers:
        lab.do(node, "ip link set flannel0 mtu 1500 && ip link set docker0 mtu 1500")
        lab.do(node, "for port in /sys/class/net/docker0/brif/*; do ip link set ${port##*/} mtu 1500; done")
    for pod in ("visitor-1", "visitor-2", *lab.app_pods()):
        lab.do(pod, "ip link set eth0 mtu 1500")
