"""A node that keeps packets to itself."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("A node that keeps packets to itself", "一个把包留给自己的节点"),
    level=1,
    story=Text(
        """After a colleague has hardened one of the workers by a checklist from the internet, its pods are alone: each of them still reaches its
        own node, and nothing beyond.""",
        """一位同事照着网上的清单给一个工作节点做了“加固”，之后它上面的 Pod 就成了孤岛：到本节点还通，再往外就不通了。""",
    ),
    hints=[
        Text(
            "A pod's packet arrives at its node's bridge, addressed to somebody else. Who carries it on?",
            "Pod 的包到达本节点的网桥，目的地却是别人。由谁转交？",
        ),
        Text(
            "Capture on both sides of the node: it comes in by docker0; does it leave by another interface? Is a rule to blame, or "
            "the kernel itself?",
            "在节点两侧抓包：包从 docker0 进来，有没有从别的接口出去？是规则拦的，还是内核自己不转？",
        ),
        Text(
            "A Linux machine is no router until it is told to be one: look at the net.ipv4 settings, `sysctl -a`.",
            "Linux 机器不会自动当路由器，要有人告诉它：看 `sysctl -a` 里 net.ipv4 的设置。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.do(lab.given.dice.choice(lab.given.workers), "sysctl -w net.ipv4.ip_forward=0")
