"""The gce backend in the article's cluster: what flannel-aws-vpc shows, in Google's cloud, and what is different there."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import changes, tables, traffic
from .cluster import IP1, IP2, NODE1, NODE2, POD1, POD2, WEB1, WEB1_IP, WEB2, WEB2_IP

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's gce backend: routes with names", "flannel 的 gce 后端：有名字的路由"),
    topology="zenlin",
    backend="gce",
    backends=["gce"],
    manifests=["pods.yaml"],
    pins=[
        Pin(POD1, owner="ubuntu-k8s-deployment", node=NODE1, address=IP1),
        Pin(POD2, owner="ubuntu-k8s-deployment", node=NODE2, address=IP2),
        Pin(WEB1, address=WEB1_IP),
        Pin(WEB2, address=WEB2_IP),
    ],
    intro=Text(
        "The article's three nodes are instances of Google Compute Engine here, in a project with one network, and the router is that "
        "network. As with aws-vpc, flanneld tells the cloud where the node's pods are, and the cloud carries their packets as they are. "
        "What differs is the table: it belongs to the project, its routes have names, and every change is an operation that takes its time. "
        "The API is a small stand-in for Google's.",
        "这里文章的三个节点是谷歌 Compute Engine 的实例，同属一个项目、一个网络，路由器就是那个网络。和 aws-vpc 一样，"
        "flanneld 告诉云自己节点上的 Pod 在哪里，云就把它们的包原样送到。不同的是路由表：它属于整个项目，每条路由都有名字，"
        "每次修改都是一项需要时间的操作。API 是谷歌 API 的一个小型替身。",
    ),
    steps=[*tables.chapter.steps, *traffic.chapter.steps, *changes.chapter.steps],
)
