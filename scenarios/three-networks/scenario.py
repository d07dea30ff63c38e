"""The article's first part: the networks of nodes, of pods and of services, as kubectl tells of them and as packets find them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network

from lab.scenario import Scenario, Text

from .tables import ADDRESSES, NODES, PODS, SERVICES, cells, expect_rows, expect_table

scenario = Scenario(
    lab_only=Text("it shows the article's own cluster, its addresses and its tables", "展示的是文章里的那个集群：它的地址和表格"),
    title=Text("nodes, pods, services: three networks, asked by kubectl", "节点、Pod、Service：用 kubectl 查看三个网络"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["bookinfo.yaml", "nginx.yaml", "services.yaml"],
    intro=Text(
        "The article's cluster with all its twelve services. kubectl asks the apiserver on the master; pings and curls then show that "
        "each of the three networks is what the tables say. The ages of days are annotations: this cluster is seconds old.",
        "文章里的集群，十二个 Service 一个不少。先用 kubectl 向 master 上的 apiserver 提问，再用 ping 和 curl 验证三个网络确实像表里说的那样。"
        "表中以天计的 AGE 来自注解：这个集群其实才启动了几秒钟。",
    ),
)


@scenario.step(
    en="kubectl on the master",
    zh="master 上的 kubectl",
    why_en="""The following steps type the article's commands. They need a kubectl on this machine (`lab doctor` says how to get one);
        without it, `lab get nodes` prints the same tables from outside. The two annotations give the nodes and the service kubernetes,
        which no manifest of ours declares, the article's age.""",
    why_zh="""后面几步输入的就是文章里的命令，需要本机装有 kubectl（`lab doctor` 会说明怎样安装）；没有的话，可以在外面用 `lab get nodes`
        查看同样的表。
        节点和名为 kubernetes 的 Service 不在我们的清单里，所以用两条注解命令给它们写上文章里的 AGE。""",
)
def kubectl(lab):
    master = lab.node("zenlin")
    master.run("command -v kubectl").expect_status(
        0,
        name=Text(
            "this machine has a kubectl (if not: see `lab doctor`, or use `lab get`)", "本机有 kubectl（没有的话见 `lab doctor`，或改用 `lab get`）"
        ),
    )
    master.run("kubectl annotate --overwrite node --all lab.network/age=19d").expect_status()
    master.run("kubectl annotate --overwrite svc kubernetes lab.network/age=19d").expect_status()


@scenario.step(
    en="The nodes' network: an address and a pod subnet for each",
    zh="节点网络：每个节点一个地址、一段 Pod 子网",
    why_en="""A node's first address is the one by which the other nodes reach it, and spec.podCIDR is the range its pods get theirs from.
        Both stand in the Node object; a kubelet on each node keeps it up to date.""",
    why_zh="""节点的第一个地址就是其他节点访问它用的地址，spec.podCIDR 则是它的 Pod 取地址的范围。
        两者都记在 Node 对象里，由各节点的 kubelet 负责更新。""",
    needs=("kubectl",),
)
def nodes(lab):
    master = lab.node("zenlin")
    expect_table(master.run("kubectl get nodes"), NODES, Text("the article's table", "与文章的表一致"))
    lab.say(
        en="Today's kubectl pads columns with three blanks, the one of 2017 to a multiple of eight. The tables are therefore compared with "
        "every run of blanks taken as one; the columns and their contents are v1.7.3's.",
        zh="现在的 kubectl 在列之间留三个空格，2017 年的则补齐到 8 的倍数。所以比较时把连续空格当作一个；列名和内容都与 v1.7.3 相同。",
    )
    for name, (address, _, pods) in ADDRESSES.items():
        master.run(f"kubectl get nodes {name} -o 'jsonpath={{.status.addresses[0].address}}'").expect_lines(
            [address], Text(f"{name} has the article's address", f"{name} 的地址与文章一致")
        )
        master.run(f"kubectl get nodes {name} -o 'jsonpath={{.spec.podCIDR}}'").expect_lines(
            [pods], Text(f"{name} has the article's pod subnet", f"{name} 的 Pod 子网与文章一致")
        )


@scenario.step(
    en="Check it: three segments, and a router between them",
    zh="验证：三个网段，中间一台路由器",
    why_en="""The addresses are on the nodes' network cards, each in a /23 of its own (mask 255.255.254.0). A ping starts with TTL 64; the
        router takes one off.""",
    why_zh="""这些地址配在节点的网卡上，各在自己的 /23 网段里（掩码 255.255.254.0）。ping 的 TTL 从 64 开始，每过一台路由器减一。""",
)
def routed(lab):
    for name, (address, gateway, _) in ADDRESSES.items():
        node = lab.node(name)
        node.run("ip -4 -o address show dev eth0").expect(f"inet {address}/23", Text(f"{name}'s eth0 has it", f"{name} 的 eth0 上有这个地址"))
        node.run("ip route show default").expect(f"via {gateway} dev eth0", Text("and leaves by its gateway", "出口是它的网关"))
        for other, (there, _, _) in ADDRESSES.items():
            if other != name:
                node.run(f"ping -c 1 -W 2 {there}").expect("ttl=63", Text(f"{name} to {other}: one router", f"从 {name} 到 {other}：经过一台路由器"))


@scenario.step(
    en="The pods' network: each pod's address is from its node's subnet",
    zh="Pod 网络：每个 Pod 的地址都取自所在节点的子网",
    why_en="""`-owide` shows each pod's address and node. The article's list is cut off below; here its lines are looked for among all. 2/2 are
        pods with a second container, Istio's proxy: both share one network namespace and so one address.""",
    why_zh="""`-owide` 会显示 Pod 的地址和所在节点。文章的列表没有印全，这里在完整的输出里找它的那几行。
        2/2 表示 Pod 里还有第二个容器，即 Istio 的代理：两个容器共用一个网络命名空间，因此地址也只有一个。""",
    needs=("kubectl",),
)
def pods(lab):
    master = lab.node("zenlin")
    shown = master.run("kubectl get po -owide")
    expect_rows(shown, PODS, Text("the article's lines are all there", "文章里的各行都在"))
    expect_table(
        master.run("kubectl get po -owide | grep nginx"),
        "\n".join(line for line in PODS.splitlines() if "nginx" in line),
        Text("the two nginx pods, one on each worker", "两个 nginx Pod，两个工作节点各一个"),
    )
    where = [(IPv4Address(row[5]), row[6]) for row in cells(shown.stdout)]
    stray = [f"{address} {node}" for address, node in where if address not in IPv4Network(ADDRESSES[node][2])]
    lab.expect_equal(Text("no pod has an address from outside its node's podCIDR", "没有哪个 Pod 的地址在所在节点的 podCIDR 之外"), stray, [])
    lab.expect_equal(Text("no address is there twice", "没有重复的地址"), len({address for address, _ in where}), len(where))


@scenario.step(
    en="Check it: pods reach pods by address, the world does not",
    zh="验证：Pod 之间凭地址直接可达，外面到不了",
    why_en="""The pods of one node reach those of another by their own addresses, without translation: the server sees the client's own one.
        Only the cluster knows these addresses. For a machine outside, the router has no route to them.""",
    why_zh="""不同节点上的 Pod 用各自的地址直接互访，中间没有地址转换，服务端看到的就是客户端自己的地址。
        这些地址只有集群内部认得；对集群外的机器来说，路由器没有通往它们的路由。""",
)
def reached(lab):
    pod = lab.pod("nginx-deployment-1885164871-dzls7")
    pod.run("ip -4 -o address show dev eth0").expect("inet 10.244.1.53/24", Text("the table's address is on eth0", "eth0 上就是表里的地址"))
    pod.run("ping -c 1 -W 2 10.244.2.199").expect("1 received", Text("a pod on the other node answers", "另一个节点上的 Pod 有应答"))
    pod.run("curl -s -m 3 http://10.244.2.199/").expect(
        "pod: nginx-deployment-1885164871-q37zh", Text("and so does its nginx", "它的 nginx 也有应答")
    )
    lab.pod("nginx-deployment-1885164871-q37zh").run("tail -n 1 /var/log/nginx/access.log").expect_match(
        r"^10\.244\.1\.53 ", Text("which saw the client's own address", "它看到的是客户端自己的地址")
    )
    lab.client().run("ping -c 1 -W 1 10.244.2.199").expect_status(1, 2, name=Text("no way there from outside", "从外面到不了"))


@scenario.step(
    en="The services' network: twelve addresses",
    zh="Service 网络：十二个地址",
    why_en="""Each service has a cluster IP and ports that stay, whatever becomes of its pods. zipkin has the type NodePort: v1.7 prints
        <nodes> for it, and 30305 is its port on every node.""",
    why_zh="""每个 Service 都有固定的 Cluster IP 和端口，不管它的 Pod 怎么变。zipkin 是 NodePort 类型：v1.7 在 EXTERNAL-IP 一列印 <nodes>，
        30305 是它在每个节点上的端口。""",
    needs=("kubectl",),
)
def services(lab):
    shown = lab.node("zenlin").run("kubectl get svc")
    expect_table(shown, SERVICES, Text("the article's table, all twelve", "与文章的表一致，十二个都在"))
    outside = [row[1] for row in cells(shown.stdout) if IPv4Address(row[1]) not in IPv4Network("10.96.0.0/12")]
    lab.expect_equal(Text("none of them is outside 10.96.0.0/12", "没有一个在 10.96.0.0/12 之外"), outside, [])
    lab.say(
        en="The article calls this network “10.0.0.0”. All the addresses that it shows are in 10.96.0.0/12, the range kubeadm sets.",
        zh="文章把这个网络写成“10.0.0.0”。它列出的地址其实都在 10.96.0.0/12 里，这是 kubeadm 的默认范围。",
    )


@scenario.step(
    en="Check it: no card has such an address, and yet each one answers",
    zh="验证：没有一块网卡有这样的地址，却个个有应答",
    why_en="""A cluster IP exists in kube-proxy's rules only. A node's routes would send it to the gateway like any foreign address; but
        before that, a rule writes a pod's address over it. The rules know ports: what matches none of them, a ping for instance, is lost.""",
    why_zh="""Cluster IP 只存在于 kube-proxy 的规则里。照节点的路由表，它会像其他外部地址一样被送往网关；
        但在此之前，规则已经把它改写成某个 Pod 的地址。规则是认端口的：一条都匹配不上的包（比如 ping）就没有下文了。""",
)
def answered(lab):
    for node in lab.nodes:
        lab.expect_equal(
            Text(f"{node.name} has no address of 10.96.0.0/12", f"{node.name} 上没有 10.96.0.0/12 的地址"),
            _in_services(node.run("ip -4 -o address").stdout),
            [],
        )
    worker, pod = lab.node("zenlinnode1"), lab.pod("nginx-deployment-1885164871-q37zh")
    worker.run("ip route get 10.105.211.16").expect(
        "via 10.229.52.1 dev eth0", Text("by its routes it would go to the gateway", "按路由表，它会被送往网关")
    )
    for name, address, _, port, _ in cells(SERVICES):
        number = int(re.split("[:/]", port)[0])
        url = f"https://{address}/version" if number == 443 else f"http://{address}:{number}/"
        for machine in (worker, pod):
            machine.run(f"curl -sk -m 5 -o /dev/null -w '%{{http_code}}' {url}").expect_match(
                "^[234]..$", Text(f"{name} answers {machine.name}", f"{name} 应答了 {machine.name}")
            )
    worker.run("ping -c 1 -W 1 10.105.211.16").expect_status(1, 2, name=Text("a ping meets no rule", "ping 匹配不到规则"))
    client = lab.client()
    client.run("curl -s -m 1 http://10.105.211.16:8000/").expect_status(7, 28, name=Text("outside, there are no rules", "集群外没有这些规则"))
    client.run("curl -s -m 5 http://10.229.53.146:30305/").expect("zipkin", Text("but there is zipkin's node port", "但可以走 zipkin 的 NodePort"))


def _in_services(text):
    """The addresses in a text that belong to the services' network."""
    return [found for found in re.findall(r"inet (\S+)/", text) if IPv4Address(found) in IPv4Network("10.96.0.0/12")]
