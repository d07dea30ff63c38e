"""The aws-vpc backend in the article's cluster: flanneld writes one row into a VPC route table, and the VPC's router does all the rest."""

from __future__ import annotations

from lab.scenario import Pin, Scenario, Text

from . import changes, tables, traffic
from .cluster import IP1, IP2, NODE1, NODE2, POD1, POD2, WEB1, WEB1_IP, WEB2, WEB2_IP

scenario = Scenario(
    lab_only=Text("it is about flannel's own daemons, devices and leases", "讲的是 flannel 自己的守护进程、设备和租约"),
    title=Text("flannel's aws-vpc backend: the cloud's route table", "flannel 的 aws-vpc 后端：云上的路由表"),
    topology="zenlin",
    backend="aws-vpc",
    backends=["aws-vpc"],
    manifests=["pods.yaml"],
    pins=[
        Pin(POD1, owner="ubuntu-k8s-deployment", node=NODE1, address=IP1),
        Pin(POD2, owner="ubuntu-k8s-deployment", node=NODE2, address=IP2),
        Pin(WEB1, address=WEB1_IP),
        Pin(WEB2, address=WEB2_IP),
    ],
    intro=Text(
        "With udp and vxlan, pod packets travel inside packets of the nodes, because the network in between does not know the pods. In a "
        "cloud one can tell the network. The article's cluster is an Amazon VPC here: the three nodes are EC2 instances, the router is the "
        "VPC's router, and it follows a route table that flanneld writes to through the EC2 API. That API is moto's stand-in for EC2; "
        "flanneld talks to it through Amazon's own library, boto3.",
        "用 udp 和 vxlan 后端时，Pod 的包要装进节点的包里才能走，因为中间的网络不认识 Pod。而在云上，可以直接告诉网络。"
        "这里把文章的集群放进一个亚马逊 VPC：三个节点是 EC2 实例，路由器就是 VPC 的路由器，它遵循一张路由表，"
        "flanneld 通过 EC2 API 往表里写。这个 API 由 moto 模拟，flanneld 用的是亚马逊自己的库 boto3。",
    ),
    steps=[*tables.chapter.steps, *traffic.chapter.steps, *changes.chapter.steps],
)
