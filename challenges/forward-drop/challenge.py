"""The day docker was updated."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("The day docker was updated", "升级 docker 的那一天"),
    level=1,
    story=Text(
        """One of the workers got a new docker last night. Since then its pods reach each other, and the nodes reach them, but pods of different
        nodes do not.""",
        """昨晚一个工作节点升级了 docker。从那以后，它上面的 Pod 之间能通，节点也能访问它们，但不同节点的 Pod 之间不通。""",
    ),
    hints=[
        Text(
            "The packets reach the node and do not leave it. Something decides that.",
            "包到了节点就出不去，一定有什么东西在决定。",
        ),
        Text(
            "iptables has three chains in its filter table. Which of them does a packet pass that is neither from nor for the node itself?",
            "iptables 的 filter 表有三条内置链。既不是节点发出、也不是发给节点的包，经过哪一条？",
        ),
        Text(
            "`iptables -L FORWARD -v -n`: look at the counters, and at the line with the chain's name.",
            "`iptables -L FORWARD -v -n`：看计数器，也看写着链名的那一行。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.do(lab.given.dice.choice(lab.given.workers), "iptables -P FORWARD DROP")
