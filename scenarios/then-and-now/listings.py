"""What the article printed, and every difference to today that is known."""

from __future__ import annotations

import base64
import hashlib
import re

from lab.scenario import Difference, Text

NODES = """\
NAME          STATUS    AGE       VERSION
zenlin        Ready     19d       v1.7.3
zenlinnode1   Ready     19d       v1.7.3
zenlinnode2   Ready     19d       v1.7.3
"""
SERVICES = """\
NAME            CLUSTER-IP       EXTERNAL-IP   PORT(S)                      AGE
kubernetes      10.96.0.1        <none>        443/TCP                      19d
nginx-service   10.105.211.16    <none>        8000/TCP                     9d
zipkin          10.105.183.37    <nodes>       9411:30305/TCP               3d
"""
ROUTES = """\
Destination     Gateway         Genmask         Flags Metric Ref    Use Iface
0.0.0.0         10.229.52.1     0.0.0.0         UG    0      0        0 eth0
10.229.52.0     0.0.0.0         255.255.254.0   U     0      0        0 eth0
10.244.0.0      0.0.0.0         255.255.0.0     U     0      0        0 flannel.1
172.17.0.0      0.0.0.0         255.255.0.0     U     0      0        0 docker0
"""
SVC, SEP1, SEP2 = "KUBE-SVC-GKN7Y2BSGW4NJTYL", "KUBE-SEP-RGXD32JDVTBAD2NU", "KUBE-SEP-YEFU7DZX4NWUTRQS"
POD1, POD2 = "10.244.1.53", "10.244.2.199"
_NAME = '-m comment --comment "default/nginx-service:"'
_CATCH = '-d 10.105.211.16/32 -p tcp -m comment --comment "default/nginx-service: cluster IP" -m tcp --dport 8000'
RULES = [
    f"-A {SEP1} -s {POD1}/32 {_NAME} -j KUBE-MARK-MASQ",
    f"-A {SEP1} -p tcp {_NAME} -m tcp -j DNAT --to-destination {POD1}:80",
    f"-A {SEP2} -s {POD2}/32 {_NAME} -j KUBE-MARK-MASQ",
    f"-A {SEP2} -p tcp {_NAME} -m tcp -j DNAT --to-destination {POD2}:80",
    f"-A KUBE-SERVICES ! -s 10.244.0.0/16 {_CATCH} -j KUBE-MARK-MASQ",
    f"-A KUBE-SERVICES {_CATCH} -j {SVC}",
    f"-A {SVC} {_NAME} -m statistic --mode random --probability 0.50000000000 -j {SEP1}",
    f"-A {SVC} {_NAME} -j {SEP2}",
]

_ROLES = Text(
    "ROLES came with v1.8: what the labels node-role.kubernetes.io/… say. These nodes have none.",
    "ROLES 这一列是 v1.8 加的，内容取自标签 node-role.kubernetes.io/…；这些节点没有这种标签。",
)
OF_NODES = (
    Difference("changed", "NAME STATUS AGE VERSION", "NAME STATUS ROLES AGE VERSION", _ROLES),
    Difference(
        "changed", r"(\S+) Ready 19d v1\.7\.3", r"\1 Ready <none> 19d v1.33.5",
        Text("26 minor releases lie between the two versions.", "两个版本之间隔着 26 个小版本。"),
    ),
)  # fmt: skip

_TYPE = Text("TYPE came with v1.8.", "TYPE 这一列是 v1.8 加的。")
OF_SERVICES = (
    Difference("changed", r"NAME CLUSTER-IP (.*)", r"NAME TYPE CLUSTER-IP \1", _TYPE),
    Difference("changed", r"(\S+) (\S+ <none> .*)", r"\1 ClusterIP \2", _TYPE),
    Difference(
        "changed", r"(zipkin) (\S+) <nodes> (.*)", r"\1 NodePort \2 <none> \3",
        Text(
            "`<nodes>` was a way to say: reachable at every node's address. TYPE says it now, and an external address it never was.",
            "`<nodes>` 的意思是“每个节点的地址上都能访问”。现在由 TYPE 来说；它本来就不是外部地址。",
        ),
    ),
)  # fmt: skip

OF_ROUTES = (
    Difference(
        "gone", r"10\.244\.0\.0 0\.0\.0\.0 255\.255\.0\.0 U .* flannel\.1", "",
        Text(
            "one route for all pods belongs to flannel 0.7 and 0.8; `lab run flannel-vxlan-l3miss` shows it at work.",
            "覆盖所有 Pod 的单条路由属于 flannel 0.7 和 0.8；`lab run flannel-vxlan-l3miss` 展示它怎样工作。",
        ),
    ),
    Difference(
        "new", "", r"10\.244\.([02])\.0 10\.244\.\1\.0 255\.255\.255\.0 UG .* flannel\.1",
        Text("since v0.9 a route for each other node's subnet.", "从 v0.9 起，每个其他节点的子网一条路由。"),
    ),
    Difference(
        "new", "", r"10\.244\.1\.0 0\.0\.0\.0 255\.255\.255\.0 U .* cni0",
        Text(
            "the bridge that the node's own pods hang on. In the article's listing it is missing, though something must have carried them.",
            "本节点的 Pod 所在的网桥。文章的列表里没有它，尽管一定有什么东西在承载那些 Pod。",
        ),
    ),
)  # fmt: skip


def squeezed(text):
    """The lines of a table, every run of blanks as one."""
    return [re.sub(" +", " ", line).strip() for line in text.splitlines() if line.strip()]


def chain_name(service_port, rest):
    """What follows KUBE-SVC- or KUBE-SEP-: 16 letters of a hash."""
    return base64.b32encode(hashlib.sha256((service_port + rest).encode()).digest()).decode()[:16]


def of_rules():
    """What became of the eight rules."""
    name = "default/nginx-service"
    svc = f"KUBE-SVC-{chain_name(name, 'tcp')}"
    seps = {old: (f"KUBE-SEP-{chain_name(name, f'tcp{pod}:80')}", pod) for old, pod in ((SEP1, POD1), (SEP2, POD2))}
    colon = Text(
        "the name of a port without a name lost its colon; it stands in the comment, and its hash in the chain's name.",
        "未命名端口的名字少了末尾的冒号；它写在注释里，它的散列写在链名里。",
    )
    moved = Text(
        "the rule that marks strangers for masquerading moved from KUBE-SERVICES to the head of the service's own chain.",
        "给外来者打上伪装标记的规则，从 KUBE-SERVICES 搬到了该 Service 自己的链的开头。",
    )
    said = Text("the comment says which pod it is, and no longer only whose.", "注释写明了是哪个 Pod，而不只是属于谁。")
    known = [
        Difference("changed", r'-A KUBE-SERVICES (! -s .*)"default/nginx-service: cluster IP"(.*)', rf'-A {svc} \1"{name} cluster IP"\2', moved),
        Difference(
            "renamed", rf'-A KUBE-SERVICES (.*)"default/nginx-service: cluster IP"(.*) -j {SVC}',
            rf'-A KUBE-SERVICES \1"{name} cluster IP"\2 -j {svc}', colon,
        ),  # fmt: skip
    ]
    for old, (new, pod) in seps.items():
        known.append(Difference("renamed", rf'-A {old} (.*)"default/nginx-service:"(.*)', rf'-A {new} \1"{name}"\2', colon))
        now = rf'-A {svc} \1"{name} -> {pod}:80"\2 -j {new}'
        known.append(Difference("changed", rf'-A {SVC} (.*)"default/nginx-service:"(.*) -j {old}', now, said))
    return known
