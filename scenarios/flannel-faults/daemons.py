"""First chapter: flanneld killed on one node, etcd killed on the master."""

from __future__ import annotations

from lab.scenario import Chapter, Text, checks

from .cluster import BACK, NODE1, NODE2, POD0, POD1, POD2, alive, kill, loses, reaches

chapter = Chapter()


@chapter.step(
    en="flanneld is killed, and its node is cut off",
    zh="flanneld 被杀，所在节点与外界断开",
    why_en="""With udp, flanneld is the road: the kernel hands it each packet through the TUN device flannel0, and it sends the packet on in a
        UDP datagram. A TUN device lives as long as the process that opened it. So the device goes, and with it the route to all pods.
        What is left is the default route, and packets for other nodes' pods now go to the router, which has never heard of 10.244.0.0/16.""",
    why_zh="""用 udp 后端时，flanneld 自己就是路：内核通过 TUN 设备 flannel0 把每个包交给它，它再装进 UDP 数据报发出去。
        TUN 设备的寿命与打开它的进程一样长，所以设备没了，通往所有 Pod 的路由也没了。剩下的是默认路由：
        发往别的节点上 Pod 的包，现在都去了路由器，而路由器从没听说过 10.244.0.0/16。""",
)
def killed(lab):
    node = lab.node(NODE1)
    alive(lab, NODE1)
    reaches(lab, POD1, POD2, Text("before: pod to pod works", "之前：Pod 之间是通的"))
    reaches(lab, POD0, POD1, Text("also from the master's pod", "从 master 上的 Pod 也通"))
    node.run("ip route get 10.244.2.2").expect("dev flannel0", Text("the way to node 2's pods is flannel0", "去节点 2 的 Pod 走 flannel0"))
    kill(lab, NODE1, "flanneld")
    node.until("ip route | grep -c flannel0", checks.lines(Text("flannel0 is gone, and so is the route", "flannel0 没了，路由也没了"), ["0"]))
    node.run("ip route get 10.244.2.2").expect(
        "via 10.229.52.1 dev eth0", Text("what is left is the default route, to the router", "只剩默认路由，通向路由器")
    )


@chapter.step(
    en="What the sender sees",
    zh="发送方看到什么",
    why_en="""The node itself is told at once: the router has no route and says so. A pod on that node is told nothing. Its packet takes the same
        way to the same router, but the answer is addressed to 10.244.1.2, and for that address the router has no route either. Pods on other
        nodes hear nothing at all: their flanneld still sends to node 1, where nobody listens on port 8285. Pods of one node still reach
        each other over docker0.""",
    why_zh="""节点自己马上得到通知：路由器没有路由，会明说。节点上的 Pod 却什么也收不到：它的包走同一条路到同一台路由器，
        但路由器的答复要发往 10.244.1.2，而去这个地址它同样没有路由。别的节点上的 Pod 也毫无消息：
        它们的 flanneld 照样往节点 1 发，只是那里的 8285 端口已经没有人听。同一节点上的 Pod 之间仍可经 docker0 互通。""",
    needs=("killed",),
)
def sender(lab):
    unreachable = "From 10.229.52.1 icmp_seq=1 Destination Net Unreachable"
    lab.node(NODE1).run("ping -c 1 -W 1 10.244.2.2").expect(unreachable, Text("the node hears it from the router", "节点从路由器得知"))
    loses(lab, POD1, POD2, Text("its pod hears nothing", "它上面的 Pod 毫无消息"))
    loses(lab, POD2, POD1, Text("nor does a pod on another node", "别的节点上的 Pod 也一样"))
    reaches(lab, POD0, POD2, Text("the other two nodes do not care", "另外两个节点互不受影响"))


@chapter.step(
    en="flanneld is back, with the same subnet",
    zh="flanneld 回来，子网不变",
    why_en="""A killed flanneld releases nothing, and nobody else would: its lease stands in etcd with the node's address in it. The new one
        finds it, makes flannel0 again, and the kernel adds the route. docker0 and the pods never noticed.""",
    why_zh="""被杀的 flanneld 来不及释放什么，别人也不会替它释放：租约还在 etcd 里，写着这个节点的地址。
        新进程找到它，重新创建 flannel0，内核随之加上路由。docker0 和 Pod 从头到尾没有察觉。""",
    needs=("killed",),
)
def restarted(lab):
    log = lab.log(NODE1)
    lab.stop_flanneld(NODE1)
    lab.start_flanneld(NODE1)
    log.expect("Found lease (10.244.1.0/24) for current IP (10.229.53.146), reusing")
    lab.node(NODE1).run("ip route").expect(
        "10.244.0.0/16 dev flannel0 proto kernel scope link src 10.244.1.0", Text("the route is there again", "路由又有了")
    )
    reaches(lab, POD1, POD2, BACK)
    reaches(lab, POD0, POD1, Text("from the master as well", "从 master 也通了"))


@chapter.step(
    en="etcd dies: packets do not care",
    zh="etcd 挂了：转发不受影响",
    why_en="""etcd is asked when something changes, not when a packet goes by: each flanneld keeps the table of subnets in its memory. While
        etcd is away nothing can change: no node joins, none gets a subnet, and leases are not renewed (within 24 hours nobody notices).""",
    why_zh="""只有在发生变化时才会去问 etcd，而不是每个包都问：各个 flanneld 把子网表记在自己的内存里。etcd 不在的时候，什么都变不了：
        没有节点能加入或拿到子网，租约也不能续（24 小时之内不会有人察觉）。""",
    needs=("restarted",),
)
def etcd_down(lab):
    master = lab.node("zenlin")
    if lab.daemon("zenlin", "etcd").ended() is not None:
        lab.start_etcd()
    kill(lab, "zenlin", "etcd")
    master.until("ss -Hltn 'sport = :2379' | wc -l", checks.lines(Text("nobody answers for etcd", "etcd 的端口没有人监听了"), ["0"]))
    reaches(lab, POD1, POD2, Text("pods reach each other as before", "Pod 之间照常互通"))
    reaches(lab, POD0, POD1, Text("in all directions", "各个方向都一样"))


@chapter.step(
    en="A flanneld that starts without etcd waits",
    zh="没有 etcd 时启动的 flanneld 会等待",
    why_en="""A restart now is a bad idea: the old process knew the subnets, the new one knows nothing and cannot ask. It does not give up, it
        asks again every second. As soon as etcd is back, it finds its lease and works, without anybody's help. A new node would wait
        in the same way.""",
    why_zh="""这时重启 flanneld 可不是好主意：旧进程知道子网表，新进程什么都不知道，也没处问。它不会放弃，每秒再问一次；
        etcd 一恢复，它就找到租约开始工作，不需要谁来帮忙。此时若有新节点加入，也会这样等着。""",
    needs=("etcd_down",),
)
def etcd_back(lab):
    log = lab.log(NODE2)
    lab.stop_etcd()
    try:
        lab.say(en="flanneld on node 2 is restarted while etcd is away.", zh="趁 etcd 不在，重启节点 2 的 flanneld。")
        lab.stop_flanneld(NODE2)
        lab.start_flanneld(NODE2, wait=False)
        log.expect("Couldn't fetch network config: etcd does not answer")
        loses(lab, POD1, POD2, Text("node 2 is cut off meanwhile", "这期间节点 2 是断开的"))
        reaches(lab, POD0, POD1, Text("the others are not", "其他节点不受影响"))
    finally:
        lab.say(en="etcd starts again, on the data that it left.", zh="etcd 在原有数据上重新启动。")
        lab.start_etcd()
    log.expect("Found lease (10.244.2.0/24) for current IP (10.229.45.161), reusing", "Finished starting backend.", timeout=10.0)
    reaches(lab, POD1, POD2, BACK, timeout=10.0)
