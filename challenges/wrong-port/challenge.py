"""The service that refuses everybody."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("The service that refuses everybody", "谁都拒绝的 Service"),
    level=1,
    story=Text(
        """The service of ${app} refuses every connection. The pods behind it are well: by their own addresses they answer.""",
        """${app} 的 Service 拒绝所有连接。它后面的 Pod 都正常：按各自的地址访问都有应答。""",
    ),
    hints=[
        Text(
            "The refusal comes from somewhere. A capture in the pod shows whether the connection arrives there.",
            "拒绝总有个来处。在 Pod 里抓包，看连接有没有到那里。",
        ),
        Text(
            "A service has a port, and its pods have one: `lab kubectl describe service ${app}`.",
            "Service 有端口，Pod 也有端口：`lab kubectl describe service ${app}`。",
        ),
        Text(
            "What does the last rule of the service's way, the DNAT, put in as port, and on what port does nginx listen?",
            "Service 那串规则的最后一条（DNAT）填进去的端口是多少？nginx 又在哪个端口上监听？",
        ),
    ],
)


@challenge.fault
def fault(lab):
    ports = [{"port": 80, "protocol": "TCP", "targetPort": lab.given.dice.choice((8080, 8000, 81, 8888))}]
    lab.patch("services", lab.given.app, {"spec": {"ports": ports}})
    lab.settle()
