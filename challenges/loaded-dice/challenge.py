"""Loaded dice."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("Loaded dice", "灌铅的骰子"),
    level=2,
    story=Text(
        """The two pods of ${app} should share the work. Visitors on one of the workers always get the same one, however often they ask.""",
        """${app} 的两个 Pod 本该分担工作。可是某个工作节点上的访客，无论问多少次，得到的总是同一个 Pod。""",
    ),
    hints=[
        Text(
            "The choice between pods is made on the visitor's own node, by chance. Where does the chance stand?",
            "选哪个 Pod，是在访客所在的节点上随机决定的。这个“随机”写在哪里？",
        ),
        Text(
            "Of two pods the first must be chosen with probability one half. Compare the service's KUBE-SVC chain on the nodes.",
            "两个 Pod 时，选第一个的概率必须是二分之一。比较各节点上该 Service 的 KUBE-SVC 链。",
        ),
        Text(
            "Rules that somebody changed by hand would be put right by the next sync. Why was there none? `lab daemon WHO`.",
            "手工改过的规则，下一次同步就会被纠正。为什么没有同步？看 `lab daemon WHO`。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    node = lab.given.dice.choice(lab.given.workers)
    lab.units.act(node, "kube-proxy", "stop")
    loaded = lab.given.dice.choice(("0.00000000000", "1.00000000000"))
    lab.do(node, f"iptables-save -t nat | sed '/default\\/${{app}}:/s/--probability [0-9.]*/--probability {loaded}/' | iptables-restore -T nat")
