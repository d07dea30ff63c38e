"""Third chapter: no subnet is free, and one becomes free."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

from lab.errors import BootError
from lab.model.topology import Node
from lab.scenario import Chapter, Text, checks

from .etcd import CONFIG, ETCDCTL, key_of, subnet_of, value_of

chapter = Chapter()

LAST = IPv4Network("10.244.200.0/24")
NARROW = f'{{"Network":"10.244.0.0/16","SubnetMin":"{LAST.network_address}","SubnetMax":"{LAST.network_address}","Backend":{{"Type":"udp"}}}}'
NODE4 = Node(name="node4", address=IPv4Interface("192.168.1.14/24"), gateway="192.168.1.1")
BURNT = "192.168.1.99"


@chapter.step(
    en="Out of subnets, until a dead node's lease runs out",
    zh="子网用完，直到死去节点的租约到期",
    why_en="""The range is narrowed to a single subnet here, by SubnetMin and SubnetMax in flannel's configuration. Running nodes do not
        notice: flanneld reads the configuration only when it starts. That one subnet belongs to a machine that burnt. A new node has
        nothing to choose from, says so in one line, and ends. Nobody has to clean up: when the dead machine's lease runs out, etcd deletes
        the key, and the next node that asks gets the subnet. The 24 hours are shortened to one second below.""",
    why_zh="""这里用 flannel 配置里的 SubnetMin 和 SubnetMax 把范围收窄到只剩一个子网。运行中的节点不受影响：flanneld 只在启动时读配置。
        这唯一的子网属于一台已经烧毁的机器。新节点没有可挑的，用一行话说明后就退出。不需要谁来清理：死去机器的租约一到期，etcd 就删掉键，
        下一个来要的节点就能拿到这个子网。下面把 24 小时缩短成一秒。""",
)
def expired(lab):
    master, key, stranger = lab.node("node1"), key_of(LAST), value_of(BURNT)
    before = master.run(f"{ETCDCTL} get --print-value-only {CONFIG}").stdout.strip()
    seen = lab.log("node1")
    try:
        master.run(f"{ETCDCTL} put {CONFIG} '{NARROW}'").expect("OK")
        master.run(_with_lease(86400, key, stranger)).expect("OK", Text("the burnt machine has the only subnet", "烧毁的机器占着唯一的子网"))
        seen.expect(f"Subnet added: {LAST}")
        lab.say(en="A new node, 192.168.1.14, is plugged in.", zh="接入一个新节点 192.168.1.14。")
        _refused(lab)
        master.run(_with_lease(1, key, stranger)).expect("OK", Text("the same key, with a second to live", "同一个键，只剩一秒寿命"))
        master.until(f"{ETCDCTL} get {key}", checks.equal(Text("etcd has deleted it by itself", "etcd 自己把它删掉了"), ""), timeout=10.0)
        seen.expect(f"Subnet removed: {LAST}")
        lab.say(en="The new node tries again.", zh="新节点再试一次。")
        lab.add_node(NODE4)
        lab.log("node4", whole=True).expect(f"Allocated lease ({LAST}) to current node ({NODE4.address.ip})")
        lab.expect_equal(Text("node 4 has the subnet of the burnt machine", "节点 4 得到了烧毁机器的子网"), subnet_of(lab, "node4"), LAST)
        target = lab.pod_object("pod1").pod_ip
        joined = checks.contains(Text("and is part of the network", "并且已经连入网络"), " 0% packet loss")
        lab.node("node4").until(f"ping -c 1 -W 0.5 {target}", joined)
    finally:
        master.run(f"{ETCDCTL} put {CONFIG} '{before}'").expect("OK", Text("the range is wide again", "范围恢复原样"))
        if "node4" in [node.name for node in lab.nodes]:
            lab.remove_node("node4")
        master.run(f"{ETCDCTL} del {key}")


def _refused(lab):
    try:
        lab.add_node(NODE4)
        said = []
    except BootError as error:
        said = [line.strip() for line in str(error).splitlines() if "out of subnets" in line]
    lab.show(said, en="flanneld's log on node4", zh="node4 上 flanneld 的日志")
    lab.expect_equal(Text("it gets no subnet, and says so in one line", "拿不到子网，并用一行话说明"), len(said), 1)


def _with_lease(seconds, key, value):
    """The command that writes a key which lives for so many seconds."""
    return f"id=$({ETCDCTL} lease grant {seconds} | cut -d' ' -f2); {ETCDCTL} put --lease=$id {key} '{value}'"
