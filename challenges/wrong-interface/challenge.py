"""A letter-box that nobody knows."""

from __future__ import annotations

from lab.challenge import Challenge, Text

challenge = Challenge(
    title=Text("A letter-box that nobody knows", "没人知道的信箱"),
    level=2,
    story=Text(
        """One of the workers was rebooted. Now its pods reach nobody on other nodes, and nobody reaches them. flanneld runs.""",
        """一个工作节点重启过。现在它上面的 Pod 访问不了别的节点，别的节点也访问不了它们。flanneld 在运行。""",
    ),
    hints=[
        Text(
            "flannel packs a pod's packet into a datagram between two nodes. Capture UDP port 8285 at the worker's eth0 in both directions.",
            "flannel 把 Pod 的包装进两个节点之间的数据报。在这个工作节点的 eth0 上双向抓 UDP 8285 端口。",
        ),
        Text(
            "Every node publishes in etcd where its flanneld can be reached: `etcdctl get --prefix /coreos.com/network/subnets`. Is "
            "each of those addresses one that the others can send to?",
            "每个节点都在 etcd 里公布自己的 flanneld 在哪里：`etcdctl get --prefix /coreos.com/network/subnets`。每个地址别人都能发到吗？",
        ),
        Text(
            "flanneld takes the address of one interface. Its log says of which, at its start; `lab daemon WHO flanneld` says where "
            "its extra flags stand.",
            "flanneld 用某一个接口的地址。启动日志里写着是哪个；`lab daemon WHO flanneld` 会告诉你它的附加参数写在哪里。",
        ),
    ],
)


@challenge.fault
def fault(lab):
    lab.set_flags(lab.given.dice.choice(lab.given.workers), "flanneld", "--iface docker0")
