"""The article's listings of 2017 beside those of a cluster of today: same, renamed, changed, gone, new, and why."""

from __future__ import annotations

import re

from lab.scenario import Scenario, Text

from . import listings

scenario = Scenario(
    title=Text("then and now: the article's listings beside today's", "今昔对照：文章里的输出与今天的输出"),
    topology="today",
    backends=["vxlan"],
    lab_only=Text("it compares the article's cluster with one of the lab's own", "它把文章里的集群与 lab 自己的集群对照"),
    manifests=["nginx.yaml"],
    intro=Text(
        "The same machines, addresses and services, under Kubernetes v1.33: vxlan, pods on cni0, today's layout of kube-proxy's rules. Each "
        "step puts a listing of the article beside the live one, line by line: = is the same, ~ renamed, ! changed, - gone, + new.",
        "同样的机器、地址和 Service，换成 Kubernetes v1.33：vxlan、Pod 挂在 cni0 上、kube-proxy 用今天的规则写法。"
        "每一步把文章的输出与实际输出逐行对照："
        "= 相同，~ 改名，! 改变，- 消失，+ 新增。",
    ),
)


@scenario.step(
    en="kubectl get nodes: a column more",
    zh="kubectl get nodes：多了一列",
    why_en="""kubectl no longer decides what columns a table has: it asks the server for the finished table. So the columns are those of the
        cluster's release, not of kubectl's.""",
    why_zh="""表里有哪些列，不再由 kubectl 决定：它向服务器要现成的表。所以列取决于集群的版本，而不是 kubectl 的版本。""",
)
def nodes(lab):
    master = lab.node("zenlin")
    master.run("kubectl annotate --overwrite node --all lab.network/age=19d").expect_status()
    master.run("kubectl annotate --overwrite svc kubernetes lab.network/age=19d").expect_status()
    shown = master.run("kubectl get nodes")
    lab.compare(
        listings.squeezed(listings.NODES), listings.squeezed(shown.stdout), listings.OF_NODES,
        en="The nodes, in 2017 and now (runs of blanks as one)", zh="2017 年与现在的节点（连续空格当作一个）",
    )  # fmt: skip


@scenario.step(
    en="kubectl get svc: the type is said",
    zh="kubectl get svc：写出了类型",
    why_en="""In 2017 a reader had to guess a service's type from its ports and from `<nodes>`. Addresses and ports are the same to the digit: they
        are the service's own, and it is the same service.""",
    why_zh="""2017 年，Service 的类型要靠端口和 `<nodes>` 去猜。地址和端口一个数字都没变：它们属于 Service 本身，而 Service 还是那个 Service。""",
    needs=("nodes",),
)
def services(lab):
    shown = lab.node("zenlin").run("kubectl get svc")
    rows = lab.compare(
        listings.squeezed(listings.SERVICES), listings.squeezed(shown.stdout), listings.OF_SERVICES,
        en="The services, in 2017 and now", zh="2017 年与现在的 Service",
    )  # fmt: skip
    both = [(_addresses(row.then), _addresses(row.now)) for row in rows[1:]]
    lab.expect_equal(Text("every cluster IP is as it was", "每个 Cluster IP 都没变"), [now for _, now in both], [then for then, _ in both])


@scenario.step(
    en="The eight rules are still eight",
    zh="八条规则还是八条",
    why_en="""The same packets go to the same pods with the same chances. What changed are names, because the text that is hashed changed by one
        colon, and the place of one rule: a packet for another service need not be compared with it any more.""",
    why_zh="""同样的包，以同样的概率，去同样的 Pod。变的是名字，因为参与散列的文本少了一个冒号；还有一条规则换了位置：
        发给别的 Service 的包不必再与它比较。""",
)
def rules(lab):
    shown = lab.node("zenlinnode1").run("iptables-save -t nat | grep nginx")
    known = listings.of_rules()
    rows = lab.compare(
        listings.RULES, [line.rstrip() for line in shown.lines], known,
        en="The service's rules on zenlinnode1, in 2017 and now", zh="zenlinnode1 上这个 Service 的规则：2017 年与现在",
    )  # fmt: skip
    lab.expect_equal(Text("eight then, eight now", "当年八条，现在也是八条"), (len(listings.RULES), len(shown.lines)), (8, 8))
    kinds = sorted(row.kind for row in rows)
    lab.expect_equal(Text("five renamed, three changed", "五条改名，三条改变"), kinds, ["changed"] * 3 + ["renamed"] * 5)
    old, new = listings.chain_name("default/nginx-service:", "tcp"), listings.chain_name("default/nginx-service", "tcp")
    lab.expect_equal(Text("the old name is a hash of the text with a colon", "旧名是带冒号的文本的散列"), old, "GKN7Y2BSGW4NJTYL")
    shown.expect(f"KUBE-SVC-{new}", Text("the new name is that of the text without it", "新名是不带冒号的文本的散列"))


@scenario.step(
    en="The route table: one route a subnet",
    zh="路由表：每个子网一条路由",
    why_en="""flannel 0.7 gave the kernel one route for all pods and told it for each pod that it asked for where that is. Since v0.9 each
        lease brings one route, one neighbour and one FDB entry, and nobody has to be asked on the way.""",
    why_zh="""flannel 0.7 给内核一条覆盖所有 Pod 的路由，内核每遇到一个 Pod 就来问它在哪里。
        从 v0.9 起，每个租约带来一条路由、一条邻居和一条 FDB 记录，途中不必再问谁。""",
)
def routes(lab):
    shown = lab.node("zenlinnode1").run("route -n")
    lab.compare(
        listings.squeezed(listings.ROUTES), listings.squeezed("\n".join(shown.lines[1:])), listings.OF_ROUTES,
        en="zenlinnode1's routes, in 2017 and now", zh="zenlinnode1 的路由：2017 年与现在",
    )  # fmt: skip


@scenario.step(
    en="And it works as it did",
    zh="用起来一如从前",
    why_en="""The service's address, its port and its pods are the article's. Whoever used it in 2017 would notice nothing.""",
    why_zh="""Service 的地址、端口和 Pod 都和文章里一样。2017 年的使用者不会察觉任何不同。""",
)
def works(lab):
    shown = lab.node("zenlinnode1").run("curl -s -m 5 http://10.105.211.16:8000/")
    shown.expect_match(r"^pod: nginx-deployment-1885164871-(dzls7|q37zh)$", Text("one of the two pods answers", "两个 Pod 之一应答"))


def _addresses(line):
    return re.findall(r"\d+\.\d+\.\d+\.\d+", line)
