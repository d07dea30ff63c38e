"""Second chapter: a node that was away gets its subnet back."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .etcd import BACK, ETCDCTL, NODES, key_of, loses, reaches, subnet_of, value_of

chapter = Chapter()


@chapter.step(
    en="A node that comes back gets its subnet",
    zh="节点回来，子网还是原来的",
    why_en="""This matters: the pods of node 2 have addresses of its subnet, and so has docker0. With another subnet after a restart, they
        would all be unreachable. Stopping flanneld releases nothing, the key stays. When flanneld starts, it first looks for a lease
        with its own address in it, and takes that one again for another 24 hours.""",
    why_zh="""这一点很重要：节点 2 的 Pod 和 docker0 用的都是它那个子网的地址，如果重启后换了子网，它们就都不可达了。
        停止 flanneld 不会释放租约，键还在。flanneld 启动时先找写着自己地址的租约，找到就接着用，再续 24 小时。""",
)
def back(lab):
    master, node, subnet = lab.node("node1"), lab.node("node2"), subnet_of(lab, "node2")
    reaches(lab, "pod1", "pod2", Text("pod 1 reaches pod 2", "pod1 能到达 pod2"))
    log = lab.log("node2")
    lab.say(en="flanneld on node 2 is told to end (SIGTERM).", zh="让节点 2 的 flanneld 退出（SIGTERM）。")
    lab.stop_flanneld("node2")
    log.expect("Starting shutdown...")
    node.run("ip route").lacks("flannel0", Text("flannel0 went with it, and its route", "flannel0 随之消失，路由也没了"))
    master.run(f"{ETCDCTL} get {key_of(subnet)}").expect_lines(
        [key_of(subnet), value_of(NODES["node2"])], Text("the lease is still there", "租约还在")
    )
    log = lab.log("node2")
    lab.say(en="flanneld on node 2 starts again.", zh="节点 2 的 flanneld 重新启动。")
    lab.start_flanneld("node2")
    log.expect(f"Found lease ({subnet}) for current IP ({NODES['node2']}), reusing")
    lab.expect_equal(Text("the same subnet as before", "子网与之前相同"), subnet_of(lab, "node2"), subnet)
    reaches(lab, "pod1", "pod2", BACK)


@chapter.step(
    en="Even when its lease is gone: subnet.env remembers",
    zh="租约没了也行：subnet.env 还记得",
    why_en="""Suppose node 2 was away for longer than a day, so its lease is gone. flanneld finds nothing under its address, but it finds
        the old subnet.env. If that subnet is still free, it takes it again. If somebody else has it by now, a new one is picked: flannel
        0.8 would take it over even then, and two nodes would share a subnet; later versions and this lab do not.""",
    why_zh="""假设节点 2 离开超过一天，租约已经没了。flanneld 按自己的地址找不到租约，但找得到以前的 subnet.env。只要那个子网还空着，就重新租它；
        如果已经归了别人，就另挑一个。flannel 0.8 在这种情况下也会硬接过来，结果两个节点共用一个子网；后来的版本和本实验都不会。""",
    needs=("back",),
)
def previous(lab):
    master, subnet = lab.node("node1"), subnet_of(lab, "node2")
    seen, log = lab.log("node1"), lab.log("node2")
    lab.say(en="flanneld on node 2 is stopped, and its lease deleted while it is away.", zh="停掉节点 2 的 flanneld，趁它不在删掉它的租约。")
    lab.stop_flanneld("node2")
    master.run(f"{ETCDCTL} del {key_of(subnet)}").expect("1", Text("the key is gone", "键已删除"))
    seen.expect(f"Subnet removed: {subnet}")
    lab.start_flanneld("node2")
    log.expect(f"Found previously leased subnet ({subnet}), reusing", f"Allocated lease ({subnet}) to current node ({NODES['node2']})")
    seen.expect(f"Subnet added: {subnet}")
    reaches(lab, "pod1", "pod2", BACK)


@chapter.step(
    en="A lease without an end: the reservation",
    zh="没有期限的租约：预留",
    why_en="""An operator can tie a subnet to a node: write the same key and value once more, but without a lease of etcd. Nothing runs out
        then, and flanneld leaves it so when it takes the key over. Written before a node's first start, such a key also decides which
        subnet it gets. The topology zenlin does that with the podCIDR of each node.""",
    why_zh="""管理员可以把子网固定给某个节点：把同样的键和值再写一遍，但不挂 etcd 租约。这样就没有到期一说，flanneld 接手时也保持原样。
        如果在节点第一次启动之前就写好，还能决定它拿到哪个子网。拓扑 zenlin 就是这样处理每个节点的 podCIDR 的。""",
)
def reservation(lab):
    master, subnet = lab.node("node1"), subnet_of(lab, "node3")
    key = key_of(subnet)
    master.run(f'{ETCDCTL} put {key} "$({ETCDCTL} get --print-value-only {key})"').expect("OK")
    endless = '"Lease" : 0'
    master.run(f"{ETCDCTL} get -w fields {key} | grep Lease").expect(endless, Text("the key hangs on no lease now", "键不再挂在任何租约上"))
    log = lab.log("node3")
    lab.say(en="flanneld on node 3 is restarted.", zh="重启节点 3 的 flanneld。")
    lab.stop_flanneld("node3")
    lab.start_flanneld("node3")
    log.expect(f"Found lease ({subnet}) for current IP ({NODES['node3']}), reusing")
    master.run(f"{ETCDCTL} get -w fields {key} | grep Lease").expect(endless, Text("flanneld left it without an end", "flanneld 没有给它加上期限"))


@chapter.step(
    en="A lease taken away from a running node",
    zh="运行中的节点被收回租约",
    why_en="""Deleting a lease is an order: the subnet is no longer yours. flannel 0.8 obeys and ends. With the udp backend it is flanneld
        itself that carries the packets, so the node is cut off at once, in both directions: its flannel0 is gone, and the other nodes have
        dropped their route to it. It comes back when somebody starts flanneld again, and as the subnet is still free, with the old one.""",
    why_zh="""删除租约等于下命令：这个子网不再归你。flannel 0.8 服从并退出。udp 后端的包是由 flanneld 自己搬运的，所以这个节点两个方向都立刻断开：
        它的 flannel0 没了，其他节点也撤掉了去它那里的路由。等有人重新启动 flanneld 才会恢复；子网还空着，所以仍是原来那个。""",
    needs=("previous",),
)
def revoked(lab):
    master, node, subnet = lab.node("node1"), lab.node("node2"), subnet_of(lab, "node2")
    seen, log = lab.log("node1"), lab.log("node2")
    try:
        master.run(f"{ETCDCTL} del {key_of(subnet)}").expect("1")
        log.expect("Lease has been revoked. Shutting down daemon.", "Exiting...")
        seen.expect(f"Subnet removed: {subnet}")
        gone = checks.lines(Text("flannel0 is gone", "flannel0 没了"), ["0"])
        node.until("ip -o link | grep -c flannel0", gone)
        loses(lab, "pod1", "pod2", Text("pod 1 no longer reaches pod 2", "pod1 到不了 pod2 了"))
        loses(lab, "pod2", "pod3", Text("nor does pod 2 reach anybody", "pod2 也到不了别人"))
    finally:
        lab.stop_flanneld("node2")
        lab.start_flanneld("node2")
    log.expect(f"Found previously leased subnet ({subnet}), reusing")
    reaches(lab, "pod1", "pod2", BACK)
