"""A service with nobody behind it."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("A service with nobody behind it", "后面没有人的 Service"),
    level=1,
    story=Text(
        """${app} has moved to a new release. Its two pods run and answer, and its service says: connection refused.""",
        """${app} 刚换了新版本。两个 Pod 在运行，也都有应答，可是访问 Service 得到的是“连接被拒绝”。""",
    ),
    hints=[
        Text(
            "Who refuses? A service without anybody behind it has a rule of its own: `iptables -S KUBE-SERVICES`.",
            "是谁拒绝的？后面没有人的 Service 有一条专门的规则：`iptables -S KUBE-SERVICES`。",
        ),
        Text(
            "`lab kubectl get endpoints`: which addresses stand behind which service?",
            "`lab kubectl get endpoints`：哪个 Service 后面有哪些地址？",
        ),
        Text(
            "A service finds its pods by labels. Compare its selector with `lab kubectl get pods --show-labels`.",
            "Service 靠标签找 Pod。把它的 selector 与 `lab kubectl get pods --show-labels` 对照。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    name = lab.given.app
    wrong = lab.given.dice.choice((f"{name}-v2", f"{name}s", name[1:], name.upper()))
    lab.patch("services", name, {"spec": {"selector": {"app": wrong}}})
    lab.await_endpoints(0)
    lab.settle()
