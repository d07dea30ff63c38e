"""A worker has lost its way."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("A worker has lost its way", "一个节点迷路了"),
    level=1,
    story=Text(
        """Since this morning the visitor on one of the two workers does not get the page of the pod on the other one. Nobody has changed
        anything, they say. Pods on one and the same worker talk to each other as ever.""",
        """从今天早上起，一个工作节点上的访客打不开另一个节点上 Pod 的页面。大家都说什么也没改过。同一个节点上的 Pod 之间一切正常。""",
    ),
    hints=[
        Text(
            "Follow one packet: from the visitor to its node's bridge, and then? `lab exec WHO -- ip route get ADDRESS` asks a machine.",
            "跟着一个包走：从访客到所在节点的网桥，然后呢？用 `lab exec WHO -- ip route get 地址` 问一台机器。",
        ),
        Text(
            "Compare `route -n` of the three nodes, line by line.",
            "逐行比较三个节点的 `route -n`。",
        ),
        Text(
            "The pod network ${podNetwork} is flannel's. A node must hand packets for it to flannel's device.",
            "Pod 网络 ${podNetwork} 归 flannel 管。去往它的包，节点必须交给 flannel 的设备。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.do(lab.given.dice.choice(lab.given.workers), "ip route del ${podNetwork}")
