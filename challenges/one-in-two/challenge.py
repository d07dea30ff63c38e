"""Your neighbour does not answer you."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("Your neighbour does not answer you", "邻居不理你"),
    level=3,
    story=Text(
        """Visitors on one of the workers get an answer from the service of ${app} about every second time. By their own addresses both pods
        answer always, and from all other nodes the service is well.""",
        """某个工作节点上的访客访问 ${app} 的 Service，大约每两次才有一次应答。按地址直接访问两个 Pod 都没问题，从其他节点访问 Service 也正常。""",
    ),
    hints=[
        Text(
            "Which of the two pods fails: the one on the visitor's own worker, or the other?",
            "失败的是哪个 Pod：访客本节点上的，还是另一个？",
        ),
        Text(
            "Capture inside the visitor: who answers, from which address? That is not whom it has asked.",
            "在访客里抓包：谁在应答，来自哪个地址？那可不是它问的那位。",
        ),
        Text(
            "The way back must pass the same iptables that changed the address on the way there. Between two ports of one bridge a "
            "packet does so only if the kernel is told: net.bridge.",
            "回来的路必须再经过去时改过地址的 iptables。在同一个网桥的两个端口之间，只有内核被告知时才会这样：net.bridge。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.do(lab.given.dice.choice(lab.given.workers), "sysctl -w net.bridge.bridge-nf-call-iptables=0")
