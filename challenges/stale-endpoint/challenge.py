"""A node that lives in the past."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("A node that lives in the past", "活在过去的节点"),
    level=2,
    story=Text(
        """One of the pods of ${app} was replaced an hour ago. Since then visitors on one of the workers fail about every second time; on the
        other nodes everything is well.""",
        """一小时前，${app} 的一个 Pod 被替换了。从那以后，某个工作节点上的访客大约每两次就失败一次；其他节点上一切正常。""",
    ),
    hints=[
        Text(
            "Where do the failing connections go? `conntrack -L` on the node, or a capture, tells the address that was chosen.",
            "失败的连接去了哪里？在那个节点上用 `conntrack -L` 或抓包，看选中的地址。",
        ),
        Text(
            "All nodes should have the same rules. Compare `iptables-save -t nat` of two of them.",
            "所有节点的规则应该相同。比较两个节点的 `iptables-save -t nat`。",
        ),
        Text(
            "Somebody has to write those rules. Is it there, and does it do anything? A process can be alive and yet stand still: "
            "`ps` has a column for its state.",
            "这些规则要有人来写。它在吗？在做事吗？进程可以活着却一动不动：`ps` 有一列是状态。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    node, dice = lab.given.dice.choice(lab.given.workers), lab.given.dice
    lab.freeze(node, "kube-proxy")
    lab.replace_pod(dice.choice(sorted(lab.app_pods())))
