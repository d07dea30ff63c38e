"""Boots a cluster, in the order its parts need each other:

    machines and wires -> etcd -> (the cloud, for aws-vpc and gce) -> flannel's configuration and reservations -> flanneld on every node
                       -> the pod bridges (their addresses come from flanneld) -> kubelet and kube-proxy on every node
                       -> objects at the apiserver, which starts beside all that -> pods -> kube-proxy's rules

With `podNetwork: docker` there is no flannel, and the bridges have docker's default addresses.

Each stage starts all it can before it waits for any of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.cloud import needs
from lab.cluster import services
from lab.cluster.agents import Agents
from lab.cluster.facade import Cluster
from lab.cluster.master import Master
from lab.cluster.nodes import Nodes
from lab.cluster.pods import Pods
from lab.cluster.units import Units
from lab.cluster.wanted import Wanted
from lab.fabric.apply import Builder
from lab.fabric.mininet import Network
from lab.plan import build

Progress = Callable[[str, "float | None"], None]
"""Told of each stage: (what, None) when it begins, (what, seconds) when it has come up."""


def boot(wanted: Wanted, progress: Progress = lambda what, seconds: None) -> Cluster:
    """Boot a cluster inside the calling process's sandbox.

    Raises BootError, CommandError or UsageError; what was made until then goes with the sandbox, or with `Cluster.stop`.
    """
    cluster = Cluster(wanted.topology, Network())
    builder = Builder(cluster.network)
    master = Master(cluster)
    nodes, pods = Nodes(cluster, builder, Agents(cluster, master.url)), Pods(cluster)
    cluster.manage(nodes, pods, Units(cluster, nodes, master))
    stage = _Stages(progress)
    with stage("machines and wires"):
        builder.apply(build.plan_underlay(wanted.topology))
        _start_cloud(cluster)
    names = [host.name for host in cluster.nodes]
    with stage("etcd"):
        master.start_apiserver()
        nodes.found_network()
    if cluster.cloud is not None:
        with stage("the cloud's API on the router"):
            cluster.cloud.wait()
    if wanted.topology.has_flannel:
        with stage("flanneld on every node"):
            nodes.start_flanneld(*names)
    with stage("pod bridges"):
        for name in names:
            nodes.build_bridge(name)
    with stage("apiserver, kubelets, kube-proxies"):
        master.start_controllers()
        for name in names:
            nodes.agents.start(name)
        master.await_apiserver()
    with stage("pods"):
        pods.apply(wanted.objects, wanted.pins)
    with stage("kube-proxy rules on every node"):
        services.settle(cluster)
    builder.close()
    return cluster


class _Stages:
    """`with stage(what):` tells the progress that the block begins, and how long it took."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, what: str) -> _Stages:
        self._what, self._begun = what, time.monotonic()
        self._progress(what, None)
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._progress(self._what, time.monotonic() - self._begun)


def _start_cloud(cluster: Cluster) -> None:
    """Fork the cloud where the backend needs one. It takes long to come up, so it is begun first and waited for last."""
    if needs.is_needed(cluster.topology):
        from lab.cloud.start import Cloud

        router = cluster.host(cluster.topology.router)
        cluster.cloud = Cloud(cluster.topology, router.namespace)
        cluster.daemons[router.name] = {"cloud": cluster.cloud.running}
