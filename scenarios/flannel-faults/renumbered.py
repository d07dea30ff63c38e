"""Second chapter: a node gets another address, and an operator puts right what follows."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .cluster import ADDRESS, ETCDCTL, NODE1, NODE2, POD0, POD1, POD2, SUBNETS, loses, reaches

chapter = Chapter()

NEW = "10.229.53.147"
KEY = f"{SUBNETS}10.244.1.0-24"


def renumber(lab, old, new):
    """Give node 1 another address. With the last address the kernel also takes the default route, so that is added again."""
    command = f"ip address del {old}/23 dev eth0 && ip address add {new}/23 dev eth0 && ip route add default via 10.229.52.1"
    lab.node(NODE1).run(command).expect_status()


def restart(lab):
    """Restart node 1's flanneld, whether it runs or not."""
    lab.stop_flanneld(NODE1)
    lab.start_flanneld(NODE1)


def subnets(lab):
    """All leases in etcd, shown: {subnet: value}."""
    lines = lab.node("zenlin").run(f"{ETCDCTL} get --prefix {SUBNETS}").lines
    return {key.removeprefix(SUBNETS): value for key, value in zip(lines[::2], lines[1::2], strict=False)}


def at(lab, address):
    """Whether node 1 has this address now, asked without showing it."""
    return f" {address}/23 " in lab.cluster.node(NODE1).run("ip -4 -o address show dev eth0").stdout


@chapter.step(
    en="A node gets another address, and the others do not know",
    zh="节点换了地址，别人并不知道",
    why_en="""Where to send packets for 10.244.1.0/24 stands in the lease: node 1's address at the time when its flanneld started. Nobody looks
        again while it runs. The address below changes by one, and the others go on sending to the old one.""",
    why_zh="""发往 10.244.1.0/24 的包该送到哪里，写在租约里：那是节点 1 的 flanneld 启动时的地址，运行期间不会有人再看一眼。
        下面把地址加一，其他节点照旧往老地址发。""",
)
def moved(lab):
    if at(lab, NEW):
        renumber(lab, NEW, ADDRESS)
    reaches(lab, POD2, POD1, Text("before: node 2 reaches node 1's pod", "之前：节点 2 能到节点 1 的 Pod"))
    renumber(lab, ADDRESS, NEW)
    lab.node(NODE2).run(f"ping -c 1 -W 1 {NEW}").expect(" 0% packet loss", Text("the node answers at its new address", "节点在新地址上有应答"))
    lab.node("zenlin").run(f"{ETCDCTL} get --print-value-only {KEY}").expect_lines(
        [f'{{"PublicIP":"{ADDRESS}"}}'], Text("but the lease names the old one", "租约里却还是老地址")
    )
    loses(lab, POD2, POD1, Text("so its pod gets nothing", "所以它的 Pod 什么也收不到"))


@chapter.step(
    en="A restart of flanneld makes it another node",
    zh="重启 flanneld，它成了“另一个节点”",
    why_en="""flannel knows a node by its address alone. Under the new one there is no lease; subnet.env remembers 10.244.1.0/24, but that subnet
        is leased, by a machine with the old address. That this machine is itself, flanneld cannot know. flannel 0.8 takes the subnet over
        all the same; later versions and this lab do not, since the other machine might be alive. So the node gets a new subnet, and now
        two things on it disagree: flannel0 is in the new subnet, docker0 and the pods are in the old one.""",
    why_zh="""flannel 只凭地址认节点。新地址名下没有租约；subnet.env 记得 10.244.1.0/24，但这个子网租给了一台用老地址的机器。那台机器就是它自己，
        flanneld 却无从知道。flannel 0.8 会直接接过来；后来的版本和本实验不会，因为对方也许还活着。于是节点拿到一个新子网，
        机器上就有了两种说法：flannel0 在新子网里，docker0 和 Pod 还在老子网里。""",
    needs=("moved",),
)
def another(lab):
    log, node = lab.log(NODE1), lab.node(NODE1)
    leased = NEW in lab.cluster.node("zenlin").run(f"{ETCDCTL} get --prefix {SUBNETS}").stdout
    lab.say(en="flanneld on node 1 is restarted.", zh="重启节点 1 的 flanneld。")
    restart(lab)
    came = ["Found lease ("] if leased else ["Picking subnet in range 10.244.0.0 ... 10.244.255.0", "Allocated lease ("]
    log.expect(f"Using interface with name eth0 and address {NEW}", *came)
    found = subnets(lab)
    mine = [subnet for subnet, value in found.items() if NEW in value]
    lab.expect_equal(Text("the new address has one lease", "新地址有一个租约"), len(mine), 1)
    lab.expect_equal(Text("10.244.1.0/24 still belongs to the old address", "10.244.1.0/24 仍归老地址"), found.get("10.244.1.0-24"), _value(ADDRESS))
    node.run("ip -4 -o address show dev flannel0").lacks("inet 10.244.1.0/", Text("flannel0 left the old subnet", "flannel0 离开了老子网"))
    node.run("ip -4 -o address show dev docker0").expect("inet 10.244.1.1/24", Text("docker0 did not", "docker0 还在老子网"))
    loses(lab, POD2, POD1, Text("and its pods are unreachable still", "它的 Pod 依然不可达"))


@chapter.step(
    en="The operator's repair: tell etcd who has the subnet",
    zh="管理员的修复：在 etcd 里写明子网归谁",
    why_en="""The pods cannot move to another subnet without being made anew, so the subnet has to follow the node: the value of its key gets the
        new address. The other nodes see the change at once and send to the right place. The new lease is deleted, which also ends the flanneld
        that runs on it; started again, it finds 10.244.1.0/24 under its address, and flannel0 and docker0 agree.""",
    why_zh="""Pod 不重建就换不了子网，所以只能让子网跟着节点走：把那个键的值改成新地址，其他节点马上看到变化，往正确的地方发。
        再删掉新租约，用着它的 flanneld 随之退出；重新启动后，它在自己的地址名下找到 10.244.1.0/24，flannel0 与 docker0 又一致了。""",
    needs=("another",),
)
def repaired(lab):
    master, log, seen = lab.node("zenlin"), lab.log(NODE1), lab.log(NODE2)
    if at(lab, ADDRESS):
        renumber(lab, ADDRESS, NEW)
        restart(lab)
    wrong = [subnet for subnet, value in subnets(lab).items() if NEW in value and subnet != "10.244.1.0-24"]
    try:
        master.run(f"{ETCDCTL} put {KEY} '{_value(NEW)}'").expect("OK")
        seen.expect("Subnet added: 10.244.1.0/24")
        for subnet in wrong:
            master.run(f"{ETCDCTL} del {SUBNETS}{subnet}").expect("1")
        log.expect("Lease has been revoked. Shutting down daemon.")
        restart(lab)
        log.expect(f"Found lease (10.244.1.0/24) for current IP ({NEW}), reusing")
        lab.node(NODE1).run("ip -4 -o address show dev flannel0").expect("inet 10.244.1.0/16", Text("flannel0 is home again", "flannel0 回到老子网"))
        reaches(lab, POD2, POD1, Text("node 2 reaches node 1's pod", "节点 2 能到节点 1 的 Pod 了"))
        reaches(lab, POD1, POD0, Text("and it reaches the master's", "它也能到 master 的 Pod"))
    finally:
        lab.say(en="The node gets its old address back, in the same way.", zh="用同样的办法把节点的地址改回去。")
        renumber(lab, NEW, ADDRESS)
        master.run(f"{ETCDCTL} put {KEY} '{_value(ADDRESS)}'")
        restart(lab)
    reaches(lab, POD2, POD1, Text("all is as it was", "一切照旧"))


def _value(address):
    return f'{{"PublicIP":"{address}"}}'
