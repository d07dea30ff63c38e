"""bookinfo: one request becomes four, each through a cluster IP of its own."""

from __future__ import annotations

from lab.scenario import Scenario, Text, checks

from .calls import PAGE_POD, PRODUCTPAGE, URL, VIPS, ask, ask_with_stars, caught, scale

LAB_NODES = Text("it reads conntrack and the rules of v1.7 on the nodes", "要读节点上的 conntrack 和 v1.7 的规则")

scenario = Scenario(
    title=Text("four services that call each other", "互相调用的四个服务"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["bookinfo.yaml"],
    intro=Text(
        "A shop's page about a book: productpage asks details and reviews, and two of the three versions of reviews ask ratings for the stars. "
        "Nobody knows another's pod: each call dials a cluster IP, and the node of the caller decides where it goes.",
        "一家书店的图书页面：productpage 去问 details 和 reviews，reviews 的三个版本里有两个再去问 ratings 要星级。"
        "谁也不认识别人的 Pod：每次调用访问的都是 Cluster IP，由调用者所在的节点决定去哪里。",
    ),
)


@scenario.step(
    en="Four services, six pods",
    zh="四个 Service、六个 Pod",
    why_en="""The service reviews selects app=reviews and says nothing about versions, so the pods of all three deployments are behind it.""",
    why_zh="""名为 reviews 的 Service 只选 app=reviews，没有提版本，所以三个 Deployment 的 Pod 都在它背后。""",
)
def services(lab):
    shown = lab.operator.run("kubectl get services")
    for name, address in VIPS.items():
        shown.expect_match(rf"^{name} +(ClusterIP +)?{address} +<none> +9080/TCP ", Text(f"{name} is {address}", f"{name} 的地址是 {address}"))
    lab.operator.run("kubectl get pods -l app=reviews -o wide")
    addresses = lab.operator.run("kubectl get endpoints reviews -o jsonpath='{.subsets[*].addresses[*].ip}'").stdout.split()
    lab.expect_equal(Text("three pods are behind reviews", "reviews 背后有三个 Pod"), len(addresses), 3)


@scenario.step(
    en="One request, and who had a part in it",
    zh="一次请求，谁参与了",
    why_en="""The answer names the pods that served its parts. The names of two are the article's.""",
    why_zh="""应答里写明了各部分由哪个 Pod 提供，其中两个 Pod 的名字就是文章里的。""",
)
def request(lab):
    pods = ask(lab)["pods"]
    lab.expect_equal(Text("productpage answered", "应答的是 productpage"), pods["productpage"], PAGE_POD)
    lab.expect_equal(Text("it asked details", "它问过 details"), pods["details"], "details-v1-3006205406-dnm69")
    lab.expect_equal(Text("and one of the reviews", "也问过其中一个 reviews"), pods["reviews"].startswith("reviews-v"), True)
    lab.caller.run(f"curl -s -m 20 http://{PRODUCTPAGE}:9080/productpage", timeout=25).expect(
        "The Comedy of Errors", Text("the same as a page for people", "同样的内容，给人看的页面")
    )


@scenario.step(
    en="Each call leaves a conntrack entry on the caller's node",
    zh="每次调用都在调用者的节点上留下一条 conntrack 记录",
    why_en="""productpage dials the cluster IPs of details and reviews. Its node's rules choose the pods, and conntrack writes that down: what was
        dialled in the first half, who answers in the second. reviews does the same with ratings, on its own node. There is no place in
        the cluster where one would see the whole request: that is why tracing systems exist.""",
    why_zh="""productpage 访问 details 和 reviews 的 Cluster IP，由它所在节点的规则选出 Pod，conntrack 记下来：前半是所访问的地址，
        后半是应答者。reviews 访问 ratings 时也一样，但记录在 reviews 自己的节点上。
        集群里没有任何一处能看到整个请求，所以才有了链路追踪系统。""",
    lab_only=LAB_NODES,
)
def entries(lab):
    pods = ask_with_stars(lab)
    lab.expect_equal(Text("this request went as far as ratings", "这次请求一直走到了 ratings"), pods["ratings"].startswith("ratings-v1-"), True)
    for caller, callee in (("productpage", "details"), ("productpage", "reviews"), ("reviews", "ratings")):
        source, target = lab.pod_object(pods[caller]), lab.pod_object(pods[callee])
        shown = lab.node(source.node_name).run(f"conntrack -L -p tcp --orig-src {source.pod_ip} --orig-dst {VIPS[callee]}")
        shown.expect_match(
            rf"src={source.pod_ip} dst={VIPS[callee]} sport=\d+ dport=9080 src={target.pod_ip} dst={source.pod_ip} sport=9080 ",
            Text(f"{caller} dialled {callee}'s cluster IP and got {target.name}", f"{caller} 访问 {callee} 的 Cluster IP，分到 {target.name}"),
        )
        lab.expect_equal(Text("in one connection", "只用了一个连接"), len(shown.lines), 1)


@scenario.step(
    en="The rules that each call met",
    zh="每次调用经过的规则",
    why_en="""The counters of the rules tell the same: one connection more at each service that the request needed, counted on the node of the
        caller. The callee's node counts nothing for it, unless it is the same node: there the packet has a pod's address already.""",
    why_zh="""规则的计数器说的是同一件事：请求用到的每个 Service 都多了一个连接，记在调用者的节点上。
        被调用者的节点上不会记数，除非是同一个节点：包到那里时，目的地址已经是 Pod 的了。""",
    lab_only=LAB_NODES,
)
def rules(lab):
    node = lab.pod_object(PAGE_POD).node_name
    nodes = [one.name for one in lab.nodes]
    before = {service: caught(lab, node, service) for service in ("details", "reviews")}
    stars = {name: caught(lab, name, "ratings") for name in nodes}
    pods = ask(lab)["pods"]
    for service, count in before.items():
        name = Text(f"one more to {service}, on productpage's node", f"productpage 的节点上，去 {service} 的多了一个")
        lab.expect_equal(name, caught(lab, node, service) - count, 1)
    grown = {name: caught(lab, name, "ratings") - stars[name] for name in nodes}
    expected = {name: int(bool(pods["ratings"]) and name == lab.pod_object(pods["reviews"]).node_name) for name in nodes}
    name = Text("to ratings: one on the node of reviews v2 or v3, none for v1", "去 ratings 的：v2、v3 在 reviews 的节点上多一个，v1 没有")
    lab.expect_equal(name, grown, expected)


@scenario.step(
    en="The versions of reviews take turns by chance",
    zh="reviews 的各个版本随机轮换",
    why_en="""Reload the page, and the stars are black, red or missing. The dice fall on each of three pods a third of the time, as for any
        service. To send a tenth of the requests, or only one user, to a new version takes more than kube-proxy: that was Istio's offer.""",
    why_zh="""刷新页面，星星时黑、时红、时而没有。和任何 Service 一样，三个 Pod 各占三分之一的机会。
        如果想只让十分之一的请求、或者只让某个用户用新版本，光靠 kube-proxy 不行，这正是 Istio 要解决的问题。""",
)
def versions(lab):
    distil = r"""sed -E 's/.*"color": "([a-z]+)".*"reviews": "([^"]*)".*/\2 \1/; s/.*"reviews": "(reviews-[^"]*)".*/\1 none/'"""
    shown = lab.caller.run(f"curl -s -m 60 '{URL}?[1-60]' | {distil} | sort | uniq -c", timeout=70)
    counts = {line.split()[1]: int(line.split()[0]) for line in shown.lines}
    stars = {line.split()[1].rsplit("-", 2)[0]: line.split()[2] for line in shown.lines}
    lab.expect_equal(Text("v1 has no stars, v2 black ones, v3 red ones", "v1 没有星，v2 是黑星，v3 是红星"), stars, STARS)
    lab.expect_even_split(Text("each about a third", "各约三分之一"), counts, sorted(counts))


STARS = {"reviews-v1": "none", "reviews-v2": "black", "reviews-v3": "red"}


@scenario.step(
    en="Without details, the page is still there",
    zh="没有 details，页面还在",
    why_en="""productpage waits for each answer for a limited time, and shows what it has. That is its own doing: Kubernetes only sees to it that
        the name has an address, and tells nobody that there is no pod behind it.""",
    why_zh="""productpage 对每个应答只等有限的时间，有什么就显示什么。这是它自己的本事：
        Kubernetes 只保证服务有地址，背后没有 Pod 的时候并不会告诉谁。""",
)
def missing(lab):
    caller, page = lab.caller, f"http://{PRODUCTPAGE}:9080/productpage"
    gone, there = Text("the page says that details are missing", "页面说明缺少 details"), Text("details are back", "details 回来了")
    try:
        scale(lab, "details-v1", 0)
        caller.until(f"curl -s -m 20 {page} | grep -o 'Sorry, product details are'", checks.contains(gone, "Sorry"), timeout=40.0)
        caller.run(f"curl -s -m 20 {page}", timeout=25).expect("<h1>The Comedy of Errors</h1>", Text("the rest is there", "其余部分都在"))
    finally:
        scale(lab, "details-v1", 1)
    caller.until(f"curl -s -m 20 {page} | grep -c 'William Shakespeare'", checks.lines(there, ["1"]), timeout=40.0)
