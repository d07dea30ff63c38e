"""The stages of a boot, in the order its parts need each other:

    machines and wires -> etcd, which has begun before, as the apiserver has (lab.cluster.headstart) -> (the cloud, for aws-vpc and gce)
                       -> flannel's configuration and reservations -> flanneld on every node
                       -> the pod bridges (their addresses come from flanneld) -> kubelet and kube-proxy on every node
                       -> objects at the apiserver -> pods -> kube-proxy's rules

With `podNetwork: docker` there is no flannel, and the bridges have docker's default addresses.

Each stage starts all it can before it waits for any of it.
"""

from __future__ import annotations

from lab.cloud import needs
from lab.cluster import agents, services
from lab.cluster.agents import Agents
from lab.cluster.facade import Cluster
from lab.cluster.headstart import HeadStart
from lab.cluster.master import Master
from lab.cluster.nodes import Nodes
from lab.cluster.pods import Pods
from lab.cluster.progress import Stages
from lab.cluster.units import Units
from lab.cluster.wanted import Wanted
from lab.fabric.apply import Builder
from lab.fabric.mininet import Network
from lab.plan import build as build_plan


def build(wanted: Wanted, stage: Stages, early: HeadStart) -> Cluster:
    """Make the lab around what has begun already.

    Raises BootError, CommandError or UsageError; what was made until then goes with the sandbox, or with `Cluster.stop`.
    """
    cluster = stage.cluster = Cluster(wanted.topology, Network())
    builder = Builder(cluster.network, early.namespace)
    master = Master(cluster)
    cluster.daemons[master.name] = {"etcd": early.etcd, "kube-apiserver": early.apiserver}
    nodes, pods = Nodes(cluster, builder, Agents(cluster, master.url)), Pods(cluster)
    cluster.manage(nodes, pods, Units(cluster, nodes, master))
    with stage("machines and wires"):
        builder.apply(build_plan.plan_underlay(wanted.topology))
        _start_cloud(cluster)
    names = [host.name for host in cluster.nodes]
    with stage("etcd"):
        nodes.found_network()
    if cluster.cloud is not None:
        with stage("the cloud's API on the router"):
            cluster.cloud.wait()
    if wanted.topology.has_flannel:
        with stage("flanneld on every node"):
            nodes.start_flanneld(*names, meanwhile=agents.import_daemons)
    with stage("pod bridges"):
        for name in names:
            nodes.build_bridge(name)
    with stage("apiserver, kubelets, kube-proxies"):
        master.start_controllers()
        nodes.agents.start(*names)
        master.await_apiserver()
    with stage("pods"):
        pods.apply(wanted.objects, wanted.pins)
    with stage("kube-proxy rules on every node"):
        services.settle(cluster)
    builder.close()
    return cluster


def _start_cloud(cluster: Cluster) -> None:
    """Fork the cloud where the backend needs one. It takes long to come up, so it is begun first and waited for last."""
    if needs.is_needed(cluster.topology):
        from lab.cloud.start import Cloud

        router = cluster.host(cluster.topology.router)
        cluster.cloud = Cloud(cluster.topology, router.namespace)
        cluster.daemons[router.name] = {"cloud": cluster.cloud.running}
