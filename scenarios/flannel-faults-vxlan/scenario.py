"""What breaks when flanneld dies with the vxlan backend: nothing that runs, everything that is new. flannel-faults has the udp side."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from lab.flannel import subnetfile
from lab.model.topology import Node
from lab.scenario import Scenario, Text, checks

NODE1, POD0, POD1, POD2 = "zenlinnode1", "pod-zenlin", "pod-zenlinnode1", "pod-zenlinnode2"
SUBNETS = "/coreos.com/network/subnets/"
ETCDCTL = "ETCDCTL_API=3 etcdctl"
NODE3 = Node(name="zenlinnode3", address=IPv4Interface("10.229.61.20/23"), gateway=IPv4Address("10.229.60.1"))

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flanneld dies and packets go on (vxlan)", "flanneld 挂了，包照样走（vxlan）"),
    topology="zenlin",
    backend="vxlan",
    backends=["vxlan"],
    manifests=["pods.yaml"],
    intro=Text(
        "The same fault as at the beginning of flannel-faults, on the same three nodes, with another backend. With udp, flanneld carries "
        "every packet itself. With vxlan it only fills three tables of the kernel, and the kernel does the rest. Kill it, and see what "
        "that difference is worth, and what it costs.",
        "故障与 flannel-faults 开头的相同，三个节点也相同，换了后端。udp 后端的每个包都由 flanneld 亲手搬运；"
        "vxlan 后端的 flanneld 只往内核的三张表里填内容，其余都由内核来做。把它杀掉，看看这个差别值多少，又要付出什么代价。",
    ),
)


@scenario.step(
    en="Three entries for every other node",
    zh="每个其他节点对应三条表项",
    why_en="""A packet for 10.244.2.2 needs three answers, and flanneld has put all three into the kernel. The route: it goes to 10.244.2.0, by
        flannel.1. The neighbour: 10.244.2.0 has this MAC address. The forwarding entry: frames for that MAC go to the machine
        10.229.45.161, wrapped in UDP. All three are marked PERMANENT or static: the kernel will not forget them by itself.""",
    why_zh="""发往 10.244.2.2 的包要得到三个答案，flanneld 已经把它们都放进了内核。路由：从 flannel.1 出去，交给 10.244.2.0。
        邻居：10.244.2.0 的 MAC 地址是这个。转发表：发给这个 MAC 的帧，用 UDP 包起来送到 10.229.45.161 这台机器。
        三条都是静态的（PERMANENT），内核自己不会忘掉。""",
)
def tables(lab):
    node, mac = lab.node(NODE1), _mac(lab, "zenlinnode2")
    node.run("ip route show 10.244.2.0/24").expect_lines(["10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink"], Text("the route", "路由"))
    node.run("ip neigh show 10.244.2.0").expect_lines([f"10.244.2.0 dev flannel.1 lladdr {mac} PERMANENT"], Text("the neighbour", "邻居"))
    node.run(f"bridge fdb show dev flannel.1 | grep {mac}").expect_lines(
        [f"{mac} dst 10.229.45.161 self permanent"], Text("the forwarding entry", "转发表项")
    )
    _reaches(lab, POD1, POD2, Text("pod to pod works", "Pod 之间是通的"))


@scenario.step(
    en="flanneld is killed, and not one packet is lost",
    zh="flanneld 被杀，一个包也没丢",
    why_en="""A ping runs from pod to pod, twenty times a second, while flanneld is killed. The device flannel.1 belongs to the kernel, not to a
        process, so it stays, with the tables. Compare flannel-faults: there the device was gone the moment its process was.""",
    why_zh="""让一个 Pod 以每秒二十次的速度 ping 另一个，同时杀掉 flanneld。flannel.1 是内核的设备，不属于哪个进程，所以设备和表都还在。
        对照 flannel-faults：那里进程一死，设备就没了。""",
    needs=("tables",),
)
def killed(lab):
    pod, node = lab.pod(POD1), lab.node(NODE1)
    if lab.daemon(NODE1, "flanneld").ended() is not None:  # a learner may repeat any step
        lab.start_flanneld(NODE1)
    before = node.run("ip route").lines
    pod.run("ping -i 0.05 -c 20 -W 1 10.244.2.2 > /run/ping.txt 2>&1 &").expect_status()
    pod.until("grep -c icmp_seq=5 /run/ping.txt", checks.lines(Text("the ping is under way", "ping 正在进行"), ["1"]))
    node.run(f"kill -KILL {lab.daemon(NODE1, 'flanneld').pid}").expect_status()
    ended = checks.equal(Text("flanneld has ended", "flanneld 已经退出"), True)
    lab.until(ended, lambda: lab.daemon(NODE1, "flanneld").ended() is not None)
    pod.until("tail -n 3 /run/ping.txt", checks.contains(Text("20 sent, 20 answered", "发出 20 个，收到 20 个"), "20 received"))
    node.run("ip route").expect_lines(before, Text("all routes are as they were", "路由原样未动"))
    node.run("ip -br link show dev flannel.1").expect("flannel.1", Text("and so is the device", "设备也还在"))


@scenario.step(
    en="A node that joins now is not learnt",
    zh="这时加入的节点，它学不到",
    why_en="""Tables do not fill themselves. A fourth node joins, and zenlin, whose flanneld is alive, learns of it at once. Node 1 has no route to
        it: a packet for its pods would take the default route. In the other direction it is no better: the new node knows node 1
        from its lease, its packets arrive, but the answers find no way back. So a dead flanneld goes unnoticed until the cluster changes,
        which is the cost of its being dispensable.""",
    why_zh="""表不会自己更新。第四个节点加入后，flanneld 还活着的 zenlin 立刻知道了它；节点 1 却没有去它那里的路由，
        发往它上面 Pod 的包只能走默认路由。反方向也好不到哪里去：新节点从租约里知道节点 1，包到得了，答复却找不到回去的路。
        所以 flanneld 死了，要到集群变化时才会被发现：平时可有可无，代价就在这里。""",
    needs=("killed",),
)
def unlearnt(lab):
    lab.say(en="A node zenlinnode3, 10.229.61.20, is plugged into the router.", zh="新节点 zenlinnode3（10.229.61.20）接到路由器上。")
    log = lab.log("zenlin")
    if _joined(lab):
        lab.remove_node(NODE3.name)
    lab.add_node(NODE3)
    subnet, gateway = _subnet3(lab)
    log.expect(f"Subnet added: {subnet}")
    lab.node("zenlin").until(f"ping -c 1 -W 0.5 {gateway}", checks.contains(Text("the master reaches it", "master 能到达它"), " 0% packet loss"))
    node = lab.node(NODE1)
    node.run(f"ip route show {subnet}").expect_lines([], Text("node 1 has no route to it", "节点 1 没有去它的路由"))
    node.run(f"ip route get {gateway}").expect("via 10.229.52.1 dev eth0", Text("only the default route would be left", "只剩默认路由可走"))
    lab.node(NODE3.name).run("ping -c 1 -W 0.3 10.244.1.2").expect(
        "100% packet loss", Text("node 1's pod cannot answer it", "节点 1 的 Pod 答不了它")
    )


@scenario.step(
    en="flanneld is back and catches up",
    zh="flanneld 回来，补上落下的",
    why_en="""The new flanneld finds the device as it wants it, so it keeps it, and its MAC address with it: had it changed, every other node
        would have to learn it. Then it reads all leases, adds what is missing, and takes away what belongs to nobody any more.""",
    why_zh="""新的 flanneld 发现设备正合要求，于是留用，MAC 地址也不变：要是变了，其他每个节点都得重新学。然后它读出所有租约，
        缺的补上，不再属于任何节点的删掉。""",
    needs=("unlearnt",),
)
def back(lab):
    node, (subnet, gateway) = lab.node(NODE1), _subnet3(lab)
    mac, log = _mac(lab, NODE1), lab.log(NODE1)
    lab.stop_flanneld(NODE1)
    lab.start_flanneld(NODE1)
    log.expect("Found lease (10.244.1.0/24) for current IP (10.229.53.146), reusing", f"Subnet added: {subnet}")
    node.until(
        f"ip route show {subnet}",
        checks.lines(Text("the route to the new node is there", "去新节点的路由有了"), [f"{subnet} via {gateway} dev flannel.1 onlink"]),
    )
    lab.expect_equal(Text("its own MAC address is the same", "自己的 MAC 地址没变"), _mac(lab, NODE1), mac)
    lab.node(NODE3.name).until(
        "ping -c 1 -W 0.5 10.244.1.2", checks.contains(Text("node 1's pod answers the new node", "节点 1 的 Pod 能答复新节点了"), " 0% packet loss")
    )


@scenario.step(
    en="A node burns down: its entries stay until its lease goes",
    zh="节点烧毁：租约消失之前，表项一直在",
    why_en="""Nobody tells the others that a machine has burnt. Its lease stands for up to 24 hours, and so do the route, the neighbour and the
        forwarding entry on every node; packets for it go nowhere. An operator who knows better deletes the key, and the entries go
        everywhere at once.""",
    why_zh="""机器烧毁了，没有谁来通知别的节点。它的租约最多还会留 24 小时，各节点上的路由、邻居和转发表项也跟着留着，发给它的包不知所终。
        知情的管理员把键删掉，各处的表项立刻消失。""",
    needs=("back",),
)
def burnt(lab):
    if not _joined(lab):
        lab.add_node(NODE3)
    node, (subnet, gateway) = lab.node(NODE1), _subnet3(lab)
    node.until(f"ip route show {subnet}", checks.contains(Text("node 1 has a route to it", "节点 1 有去它的路由"), gateway))
    lab.say(en="zenlinnode3 is gone, from one moment to the next.", zh="zenlinnode3 突然没了。")
    lab.remove_node(NODE3.name)
    node.run(f"ip route show {subnet}").expect_lines(
        [f"{subnet} via {gateway} dev flannel.1 onlink"], Text("node 1 still has its route", "节点 1 还留着去它的路由")
    )
    lab.node("zenlin").run(f"{ETCDCTL} del {SUBNETS}{gateway}-24").expect("1", Text("the lease is deleted", "租约已删除"))
    node.until(f"ip route show {subnet}; ip neigh show {gateway}", checks.lines(Text("route and neighbour are gone", "路由和邻居都没了"), []))
    node.until("bridge fdb show dev flannel.1 | grep -c 10.229.61.20", checks.lines(Text("the forwarding entry too", "转发表项也没了"), ["0"]))
    _reaches(lab, POD0, POD1, Text("the others go on as before", "其余照旧"))


def _joined(lab):
    return NODE3.name in [node.name for node in lab.nodes]


def _mac(lab, name):
    """The MAC address of a node's flannel.1, read without showing it."""
    return lab.cluster.node(name).run("cat /sys/class/net/flannel.1/address").stdout.strip()


def _subnet3(lab):
    """The new node's subnet and the address of its flannel.1, read from its subnet.env without showing it."""
    text = lab.cluster.node(NODE3.name).namespace.read_text("/run/flannel/subnet.env")
    network = subnetfile.parse(text).subnet
    return str(network), str(network.network_address)


def _reaches(lab, source, target, name):
    address = lab.pod_object(target).pod_ip
    lab.pod(source).until(f"ping -c 1 -W 0.5 {address}", checks.contains(name, " 0% packet loss"))
