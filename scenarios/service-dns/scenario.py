"""Services by name: a DNS server behind 10.96.0.10, and what a pod's resolv.conf makes of a short name."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text, checks

from .questions import POD, SERVER, asks, dns_runs, resolves

ZONE = "default.svc.cluster.local"
VIP = "10.105.211.16"
PODS = {"nginx-deployment-1885164871-dzls7": "10.244.1.53", "nginx-deployment-1885164871-q37zh": "10.244.2.199"}
DNS_POD = "10.244.2.53"

LAB_NODES = Text("it reads conntrack and the rules on a node", "要读节点上的 conntrack 和规则")

scenario = Scenario(
    title=Text("services by name", "用名字访问 Service"),
    topology="zenlin",
    backends=["udp", "vxlan"],
    manifests=["dns.yaml", "nginx.yaml"],
    images={"ubuntu": "docker.io/library/nginx:1.27"},  # has glibc's getent
    pins=[
        Pin("nginx-deployment-1885164871-dzls7", owner="nginx-deployment", node="zenlinnode1", address="10.244.1.53"),
        Pin("nginx-deployment-1885164871-q37zh", owner="nginx-deployment", node="zenlinnode2", address="10.244.2.199"),
        Pin("kube-dns-2425271678-7mr2w", owner="kube-dns", node="zenlinnode2", address=DNS_POD),
        Pin(POD, node="zenlinnode1", address="10.244.1.145"),
    ],
    intro=Text(
        "Nobody wants to remember 10.105.211.16. A DNS server in the cluster watches the services and answers for their names. It is itself "
        "a pod behind a service, at the address 10.96.0.10, and that one address has to be known beforehand.",
        "没有人愿意记住 10.105.211.16。集群里有一个 DNS 服务器，它关注所有 Service，并回答它们的名字。"
        "它自己也是 Service 背后的一个 Pod，地址是 10.96.0.10，只有这一个地址必须事先知道。",
    ),
)


@scenario.step(
    en="How a pod finds the DNS server",
    zh="Pod 怎样找到 DNS 服务器",
    why_en="""The kubelet writes /etc/resolv.conf of each pod: as server the address of its flag --cluster-dns, as search domains first the pod's
        own namespace. A node's resolv.conf is another one: the node's programs do not know these names.""",
    why_zh="""每个 Pod 的 /etc/resolv.conf 由 kubelet 写好：服务器是它的参数 --cluster-dns 给出的地址，搜索域的第一个是 Pod 自己的命名空间。
        节点自己的 resolv.conf 是另一份，节点上的程序不认识这些名字。""",
)
def resolver(lab):
    with lab.where_possible():
        shown = lab.operator.run("kubectl -n kube-system get service kube-dns")
        if shown.status:
            lab.require_lab(Text("the cluster's DNS service has another name", "集群的 DNS 服务另有名字"))
        name = Text("an ordinary service, with an address by agreement", "普通的 Service，地址是约定好的")
        shown.expect_match(rf"^kube-dns +(ClusterIP +)?{SERVER} +<none> +53/UDP,53/TCP\b", name)
    shown = lab.pod(POD).run("cat /etc/resolv.conf")
    if lab.remote:  # a cloud's own domains may follow
        own = rf"^search {ZONE} svc\.cluster\.local cluster\.local\b"
        shown.expect_match(own, Text("the search domains, the own namespace first", "搜索域，第一个是自己的命名空间"))
    else:
        shown.expect_lines(
            [f"nameserver {SERVER}", f"search {ZONE} svc.cluster.local cluster.local", "options ndots:5"],
            Text("server, search domains and ndots", "服务器、搜索域和 ndots"),
        )
    with lab.where_possible():
        lab.node("zenlinnode1").run("cat /etc/resolv.conf").lacks(SERVER, Text("not so on the node", "节点上并非如此"))


@scenario.step(
    en="A name becomes a cluster IP",
    zh="名字变成 Cluster IP",
    why_en="""The answer is the cluster IP, not a pod's address. What happens afterwards is the business of kube-proxy's rules, as ever. So the answer
        stays right when pods come and go.""",
    why_zh="""得到的是 Cluster IP，不是某个 Pod 的地址。之后的事照旧由 kube-proxy 的规则处理。所以 Pod 来来去去，这个回答一直有效。""",
)
def name(lab):
    if not lab.remote:
        dns_runs(lab, 1)
    resolves(lab, f"nginx-service.{ZONE}", [VIP])
    pod = lab.pod(POD)
    for host in (f"nginx-service.{ZONE}", "nginx-service.default", "nginx-service"):
        pod.run(f"curl -s -m 5 http://{host}:8000/").expect(
            "pod: nginx-deployment-", Text(f"nginx answers under the name {host}", f"用名字 {host} 能访问到 nginx")
        )


@scenario.step(
    en="The question itself goes through a service",
    zh="DNS 查询本身也经过 Service",
    why_en="""The pod sends its datagram to 10.96.0.10, which is on no network card either. The node's rules send it on to the pod of kube-dns, and
        conntrack turns the answer's source back. UDP has no connections, but conntrack keeps the pair of addresses and ports for a while.""",
    why_zh="""Pod 把数据报发给 10.96.0.10，这个地址同样不在任何网卡上。节点上的规则把它转给 kube-dns 的 Pod，conntrack 再把回答的源地址改回来。
        UDP 没有连接，但 conntrack 会在一段时间内记住这一对地址和端口。""",
    needs=("name",),
)
def service(lab):
    lab.require_lab(LAB_NODES)
    resolves(lab, "nginx-service", [VIP])
    lab.node("zenlinnode1").run(f"conntrack -L -p udp --orig-src 10.244.1.145 --orig-dst {SERVER}").expect_match(
        rf"src=10\.244\.1\.145 dst={SERVER} sport=\d+ dport=53 src={DNS_POD} dst=10\.244\.1\.145 sport=53 ",
        Text("asked 10.96.0.10, answered by the pod of kube-dns", "问的是 10.96.0.10，回答的是 kube-dns 的 Pod"),
    )


@scenario.step(
    en="Search domains: what a short name costs",
    zh="搜索域：短名字的代价",
    why_en="""ndots:5 says: a name with fewer than five dots is first tried with each search domain behind it, and only at last as it stands. For
        nginx-service the first try hits. kube-dns.kube-system needs a second one. A name of the outside world is asked for three times in vain
        before its turn comes; here the server then says REFUSED, for nothing in the lab leads to the world's DNS. A dot at the end of the
        name makes it complete: it is asked for as it stands, once.""",
    why_zh="""ndots:5 的意思是：点数少于五个的名字，先依次接上每个搜索域去试，最后才按原样查询。nginx-service 第一次就命中；
        kube-dns.kube-system 要试第二次。外部世界的名字则先白问三次才轮到它自己；在这里，服务器最后回答 REFUSED，
        因为实验环境里没有通往外部 DNS 的路。名字末尾加一个点，就表示它已经完整：只按原样查询。""",
    needs=("name",),
)
def search(lab):
    first = f"nginx-service.{ZONE}"
    _, found = asks(lab, "nginx-service", first)
    lab.expect_equal(
        Text("a service of the own namespace: the first try", "本命名空间的 Service：第一次就中"), list(found.items()), [(first, "NOERROR")]
    )
    second = "kube-dns.kube-system.svc.cluster.local"
    _, found = asks(lab, "kube-dns.kube-system", second)
    lab.expect_equal(
        Text("a service of another namespace: the second try", "其他命名空间的 Service：第二次才中"),
        list(found.items()),
        [(f"kube-dns.kube-system.{ZONE}", "NXDOMAIN"), (second, "NOERROR")],
    )
    _, found = asks(lab, "example.com", "example.com")
    tries = [(f"example.com.{domain}", "NXDOMAIN") for domain in (ZONE, "svc.cluster.local", "cluster.local")]
    lab.expect_equal(
        Text("a name outside: three tries in vain, then the name itself", "外部的名字：先白问三次，再问它自己"),
        list(found.items()),
        [*tries, ("example.com", "REFUSED")],
    )
    _, found = asks(lab, "example.com.", "example.com")
    lab.expect_equal(Text("with a dot at the end: only itself", "末尾加点：只问它自己"), list(found.items()), [("example.com", "REFUSED")])


@scenario.step(
    en="A headless service: the pods' addresses",
    zh="Headless Service：得到各个 Pod 的地址",
    why_en="""With clusterIP: None there is no address to translate and no rule. The name leads straight to all ready pods, and the client
        chooses. It also has to ask again when pods change: nobody tells it that an answer has grown old.""",
    why_zh="""写了 clusterIP: None，就没有需要转换的地址，也没有规则。名字直接指向所有就绪的 Pod，由客户端自己选择。
        Pod 变化之后，客户端还得自己再问一次：没有人会告诉它先前的回答已经过时。""",
    needs=("name",),
)
def headless(lab):
    resolves(lab, "nginx-headless", list(PODS.values()))
    lab.pod(POD).run("curl -s -m 5 http://nginx-headless/").expect(
        "pod: nginx-deployment-", Text("dialled at a pod's own address", "直接访问 Pod 的地址")
    )
    with lab.where_possible():
        lab.require_lab(LAB_NODES)
        shown = lab.node("zenlinnode1").run("iptables-save | grep -c nginx-headless")
        shown.expect_lines(["0"], Text("no rule mentions it", "没有一条规则提到它"))


@scenario.step(
    en="A name that is not there, and one that comes and goes",
    zh="不存在的名字，以及来了又走的名字",
    why_en="""NXDOMAIN means that the server knows the zone and the name is not in it. The server follows the apiserver, so a service has its name as
        soon as it exists, and loses it with its deletion.""",
    why_zh="""NXDOMAIN 表示服务器掌管这个区域，而名字不在其中。服务器跟随 apiserver，所以 Service 一建立就有了名字，一删除名字也就没了。""",
    needs=("name",),
)
def comes(lab):
    pod, master, full = lab.pod(POD), lab.operator, f"later.{ZONE}"
    patience = 60.0 if lab.remote else 10.0  # CoreDNS may remember for 30 s that a name was not there
    master.run("kubectl delete service later --ignore-not-found").expect_status()
    pod.until("getent ahostsv4 later || echo none", checks.lines(Text("nobody has the name", "没有人叫这个名字"), ["none"]), timeout=patience)
    with lab.where_possible():
        outcome, found = asks(lab, "later", "later")
        outcome.expect_status(2, name=Text("the name is not found", "找不到这个名字"))
        lab.expect_equal(Text("not in the zone: NXDOMAIN", "区域里没有：NXDOMAIN"), found.get(full), "NXDOMAIN")
    pod.run("curl -sS -m 5 http://later/").expect_status(6, name=Text("curl stops before any connection", "curl 还没有建立连接就停下了"))
    try:
        master.run("kubectl expose deployment nginx-deployment --name=later --port=80").expect_status()
        pod.until(
            "curl -s -m 2 http://later/",
            checks.contains(Text("it exists, and answers by its name", "建立了，用名字能访问"), "pod: nginx-"),
            timeout=patience,
        )
    finally:
        master.run("kubectl delete service later").expect_status()
    pod.until(
        "getent ahostsv4 later || echo none", checks.lines(Text("deleted, and the name is gone", "删除之后名字也没了"), ["none"]), timeout=patience
    )


@scenario.step(
    en="Without DNS: names fail, addresses work",
    zh="没有 DNS：名字不行，地址可以",
    why_en="""The DNS server is not on the way of the packets. When it is away, connections by address work as before; only who needs a name is stuck.
        “The network is down” often means this.""",
    why_zh="""DNS 服务器不在数据包经过的路上。它不在的时候，用地址访问一切如常，只有需要名字的才卡住。
        所谓“网络断了”，常常就是这种情形。""",
    needs=("name",),
)
def away(lab):
    pod = lab.pod(POD)
    lab.require_lab(Text("it takes the cluster's DNS server away", "会让集群的 DNS 服务器停掉"))
    try:
        dns_runs(lab, 0)
        pod.run("curl -sS -m 2 http://nginx-service:8000/").expect_status(
            6, 28, name=Text("by name: nobody tells the address", "用名字：没有人告诉地址")
        )
        pod.run(f"curl -s -m 5 http://{VIP}:8000/").expect("pod: nginx-", Text("by address: as before", "用地址：一切如常"))
    finally:
        dns_runs(lab, 1)
    pod.until("curl -s -m 2 http://nginx-service:8000/", checks.contains(Text("names work again", "名字又能用了"), "pod: nginx-"), timeout=15.0)
