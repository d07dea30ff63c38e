"""Two nodes, one subnet."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("Two nodes, one subnet", "两个节点，一个子网"),
    level=3,
    story=Text(
        """A worker was set up again from a backup of another one. Its new pods start, become ready even, and nobody on the other nodes finds
        them.""",
        """一个工作节点是用另一个节点的备份重装的。新的 Pod 能启动，甚至显示就绪，可是其他节点上谁也找不到它们。""",
    ),
    hints=[
        Text(
            "Write down the addresses of all pods, and the node of each: `lab kubectl get pods -o wide`.",
            "记下所有 Pod 的地址和所在节点：`lab kubectl get pods -o wide`。",
        ),
        Text(
            "Each node owns a subnet, and flannel leads packets for it there. On each node, compare docker0's address with flannel's subnet.env.",
            "每个节点有自己的子网，flannel 按子网把包送过去。在每个节点上对照 docker0 的地址和 flannel 的 subnet.env。",
        ),
        Text(
            "A pod keeps its address for life, and the kubelet looks at the bridge when it makes one. What must change first, and "
            "who must be born again?",
            "Pod 的地址一生不变，kubelet 在创建时查看网桥。先要改什么？谁要重新来过？",
        ),
    ],
)


@challenge.fault
def fault(lab):
    given = lab.given
    node = given.dice.choice(given.workers)
    other = next(one for one in given.workers if one != node)
    bridge = lab.bridges[other][0]
    lab.do(node, f"ip address flush dev docker0 && ip address add {bridge} dev docker0")
    lab.units.act(node, "kubelet", "restart")
    lab.await_node(node)
    lab.replace_pod(lab.pod_on(node), ready=False)
