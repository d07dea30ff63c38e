"""First chapter: how a node comes by its subnet."""

from __future__ import annotations

from lab.scenario import Chapter, Text

from .etcd import CONFIG, ETCDCTL, NODES, POOL, SUBNETS, key_of, subnet_of, value_of

chapter = Chapter()


@chapter.step(
    en="Three nodes, three subnets",
    zh="三个节点，三个子网",
    why_en="""flannel's rule is short: of the pod network's subnets, leave out the first, take the hundred lowest that are free, and pick
        one of them at random. The dice are there so that nodes that start together rarely want the same one. The first subnet is left out
        because its address, 10.244.0.0, is also that of the whole network. So in a fresh 10.244.0.0/16 every node is somewhere between
        10.244.1.0 and 10.244.102.0, and another run of this lab gives other numbers.""",
    why_zh="""flannel 的规则很短：从 Pod 网络的子网中跳过第一个，取编号最小的一百个空闲子网，随机挑一个。随机是为了让同时启动的节点不太会看中同一个。
        跳过第一个，是因为它的网络地址 10.244.0.0 同时也是整个网络的地址。所以在全新的 10.244.0.0/16 里，每个节点的子网都在
        10.244.1.0 到 10.244.102.0 之间；再运行一次本实验，编号又会不同。""",
)
def leases(lab):
    master = lab.node("node1")
    master.run(f"{ETCDCTL} get --print-value-only {CONFIG}").expect_json(
        {"Network": "10.244.0.0/16"}, Text("one network for all pods, and no word on who gets what", "所有 Pod 共用一个网络，没有写谁用哪一段")
    )
    subnets = {name: subnet_of(lab, name) for name in NODES}
    # etcd lists keys by their characters, so 10.244.10.0 comes before 10.244.2.0.
    expected = [line for key, name in sorted((key_of(subnet), name) for name, subnet in subnets.items()) for line in (key, value_of(NODES[name]))]
    master.run(f"{ETCDCTL} get --prefix {SUBNETS}").expect_lines(
        expected, Text("one key a node; its value says where to send packets for the subnet", "每个节点一个键；值里写着发往该子网的包应送到哪里")
    )
    lab.expect_equal(Text("the three subnets are different", "三个子网互不相同"), len(set(subnets.values())), 3)
    lab.expect_equal(
        Text("each is one of the hundred lowest that were free, none is 10.244.0.0/24", "都在当时最小的一百个空闲子网之内，没有 10.244.0.0/24"),
        [str(subnet) for subnet in subnets.values() if subnet not in POOL],
        [],
    )
    lab.log("node2", whole=True).expect("Picking subnet in range 10.244.1.0 ... 10.244.255.0", f"Allocated lease ({subnets['node2']})")


@chapter.step(
    en="Why there is no overlap: a key is created once",
    zh="为什么不会重叠：同一个键只能创建一次",
    why_en="""Between a node's look at etcd and its writing, another node may have taken the same subnet. So flanneld does not simply write:
        it asks etcd to create the key only if it is not there. etcd carries out one request after the other, therefore exactly one of two
        racing nodes succeeds; the loser looks again and picks another subnet. Below, a stranger tries the same by hand: a transaction with
        a condition (version 0 means that there is no such key), what to do if it holds, and what to do if not.""",
    why_zh="""一个节点从查看 etcd 到写入之间，别的节点可能已经占了同一个子网。所以 flanneld 不是直接写入，而是请 etcd“仅当键不存在时才创建”。
        etcd 一次只处理一个写请求，因此两个相争的节点恰好有一个成功，输的一方重新查看，另挑一个。下面以一个陌生机器的身份手工试一试：
        一个事务包含条件（版本为 0 表示没有这个键）、条件成立时做什么、不成立时做什么。""",
)
def once(lab):
    master, subnet = lab.node("node1"), subnet_of(lab, "node2")
    taken, free = key_of(subnet), f"{SUBNETS}10.244.150.0-24"
    stranger = value_of("192.168.1.99")

    def create(key):
        put = f"put {key} {stranger}"
        return master.run(f"printf '%s\\n' 'ver(\"{key}\") = \"0\"' '' '{put}' '' 'get {key}' '' | {ETCDCTL} txn")

    create(taken).expect_lines(
        ["FAILURE", "", taken, value_of(NODES["node2"])],
        Text("refused: node 2 has this subnet, and keeps it", "被拒绝：这个子网是节点 2 的，仍归节点 2"),
    )
    create(free).expect_lines(["SUCCESS", "", "OK"], Text("granted: nobody had this one", "成功：这个子网还没有人要"))
    master.run(f"{ETCDCTL} del {free}").expect("1", Text("the stranger's key is deleted again", "再把陌生机器的键删掉"))


@chapter.step(
    en="A lease lives for 24 hours",
    zh="租约有效期 24 小时",
    why_en="""Each key hangs on a lease of etcd with a time to live. flanneld renews it an hour before it runs out, so a node that is up
        never loses it. A node that burns down does not release anything: its subnet stays taken until the rest of its 24 hours has passed,
        and then etcd deletes the key by itself.""",
    why_zh="""每个键都挂在 etcd 的一个带有效期的租约上。flanneld 在到期前一小时续约，所以正常运行的节点不会失去它。
        节点烧毁时不会主动释放任何东西：剩余的时间过完之前，它的子网一直被占着；到期后，etcd 自己把键删掉。""",
)
def ttl(lab):
    master, key = lab.node("node1"), key_of(subnet_of(lab, "node2"))
    master.run(f"{ETCDCTL} get -w fields {key} | grep Lease").expect_match(
        r'^"Lease" : [1-9]\d*$', Text("the key hangs on a lease", "这个键挂在一个租约上")
    )
    shown = master.run(f"for id in $({ETCDCTL} lease list | tail -n +2); do {ETCDCTL} lease timetolive $id --keys; done")
    own = [line for line in shown.lines if f"[{key}]" in line]
    lab.expect_equal(Text("exactly one lease carries node 2's key", "恰好一个租约带着节点 2 的键"), len(own), 1)
    shown.expect("granted with TTL(86400s)", Text("86400 seconds are 24 hours", "86400 秒就是 24 小时"))


@chapter.step(
    en="From the lease to the bridge: subnet.env",
    zh="从租约到网桥：subnet.env",
    why_en="""flanneld tells its own machine what it got in a file. docker reads it when it starts: the bridge docker0 takes the first
        address and the MTU from there. The MTU is 1500 less the 28 bytes that the udp backend puts before each packet. The file has a
        second use: it is how a node remembers its subnet, as you will see.""",
    why_zh="""flanneld 把得到的子网写进一个文件，告诉本机的其他程序。docker 启动时读取它：网桥 docker0 的地址（子网里的第一个）和 MTU 都由此而来。
        MTU 是 1500 减去 udp 后端加在每个包前面的 28 字节。这个文件还有第二个用处：节点靠它记住自己的子网，后面会看到。""",
)
def subnet_env(lab):
    node, subnet = lab.node("node2"), subnet_of(lab, "node2")
    first = f"{subnet.network_address + 1}/24"
    node.run("cat /run/flannel/subnet.env").expect_lines(
        ["FLANNEL_NETWORK=10.244.0.0/16", f"FLANNEL_SUBNET={first}", "FLANNEL_MTU=1472", "FLANNEL_IPMASQ=true"],
        Text("the same subnet as in etcd", "与 etcd 里的是同一个子网"),
    )
    node.run("ip -4 -o address show dev docker0").expect(f"inet {first}", Text("docker0 has its first address", "docker0 用了其中的第一个地址"))
    node.run("ip link show dev docker0").expect("mtu 1472", Text("and its MTU", "MTU 也一致"))
    address = lab.pod_object("pod2").pod_ip
    lab.expect_equal(Text(f"pod2, {address}, is an address of it", f"pod2 的 {address} 也在其中"), address in subnet, True)
