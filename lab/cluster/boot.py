"""Boots a cluster, in the order its parts need each other:

    machines and wires -> etcd -> flannel's configuration and reservations -> flanneld on every node
                       -> the pod bridges (their addresses come from flanneld) -> pods -> kube-proxy's rules

With `podNetwork: docker` there is no flannel, and the bridges have docker's default addresses.

Each stage starts all it can before it waits for any of it.
"""

from __future__ import annotations

import functools
import json
import os
import random
import time
from collections.abc import Callable
from ipaddress import IPv4Interface

from lab.cluster.facade import Cluster
from lab.cluster.pods import Pods
from lab.cluster.services import Services
from lab.cluster.wanted import Wanted
from lab.fabric import daemon
from lab.fabric.apply import Builder
from lab.fabric.mininet import Network
from lab.flannel import lease, subnetfile
from lab.master import etcd
from lab.master.etcdclient import EtcdClient, EtcdError
from lab.model.topology import DOCKER_DEFAULT, NODE_MTU, Flannel, Networks
from lab.plan import build

Progress = Callable[[str, "float | None"], None]
"""Told of each stage: (what, None) when it begins, (what, seconds) when it has come up."""

SUBNET_FILE = "/run/flannel/subnet.env"
FLANNELD_TIMEOUT = 20.0


def boot(wanted: Wanted, progress: Progress = lambda what, seconds: None, dice: random.Random | None = None) -> Cluster:
    """Boot a cluster inside the calling process's sandbox.

    dice   chooses pod names and cluster IPs where nobody pins them; None: a new seed
    Raises BootError, CommandError or UsageError; what was made until then goes with the sandbox, or with `Cluster.stop`.
    """
    network = Network()
    cluster = Cluster(wanted.topology, network)
    builder = Builder(network)
    dice = dice or random.Random()
    stage = _Stages(progress)
    with stage("machines and wires"):
        builder.apply(build.plan_underlay(wanted.topology))
    with stage("etcd"):
        _start_etcd(cluster)
    if wanted.topology.has_flannel:
        with stage("flanneld on every node"):
            _start_flannel(cluster)
    with stage("pod bridges"):
        bridges = _build_bridges(cluster, builder)
    with stage("pods"):
        pods = Pods(cluster, builder, bridges, dice)
        pods.create(wanted.objects, wanted.pins)
    with stage("kube-proxy rules on every node"):
        services = Services(cluster, dice)
        services.apply(wanted.objects.services)
    cluster.manage(pods, services)
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


def _start_etcd(cluster: Cluster) -> None:
    """Start etcd and write what flanneld will look for: the network's configuration, and the reserved subnets."""
    master = cluster.master
    running = etcd.start(master.namespace, cluster.topology.master.address.ip)
    cluster.daemons.setdefault(master.name, {})["etcd"] = running
    flannel = cluster.topology.flannel
    writes = []
    if cluster.topology.has_flannel:
        writes.append((lease.config_key(flannel.etcd_prefix), flannel_config(cluster.topology.networks, flannel)))
    for node in cluster.topology.nodes:
        if node.pod_cidr is not None:
            writes.append(lease.reservation(node.pod_cidr, node.address.ip, flannel.backend.type, flannel.etcd_prefix))
    client = EtcdClient([f"http://127.0.0.1:{etcd.CLIENT_PORT}"])

    def written() -> bool:
        try:
            with master.namespace.entered():
                for key, value in writes:
                    client.put(key, value)
                client.get("/")  # without flannel nothing is written, and etcd must answer all the same
        except (EtcdError, OSError):
            return False
        return True

    running.wait_until(written, etcd.READY_TIMEOUT, "answer from etcd")


def flannel_config(networks: Networks, flannel: Flannel) -> str:
    """The JSON that flannel reads from <prefix>/config, with only the fields that the topology sets."""
    config: dict[str, object] = {"Network": str(networks.pod)}
    if flannel.subnet_len is not None:
        config["SubnetLen"] = flannel.subnet_len
    if flannel.subnet_min is not None:
        config["SubnetMin"] = str(flannel.subnet_min)
    if flannel.subnet_max is not None:
        config["SubnetMax"] = str(flannel.subnet_max)
    backend: dict[str, object] = {"Type": flannel.backend.type}
    if flannel.backend.port is not None:
        backend["Port"] = flannel.backend.port
    return json.dumps(config | {"Backend": backend})


def _start_flannel(cluster: Cluster) -> None:
    """Fork a flanneld into every node and wait until each has written its subnet file."""
    from lab.flannel import daemon as flanneld

    endpoint = f"http://{cluster.topology.master.address.ip}:{etcd.CLIENT_PORT}"
    argv = ["--etcd-endpoints", endpoint, "--etcd-prefix", cluster.topology.flannel.etcd_prefix, "--subnet-file", SUBNET_FILE]
    argv += ["--ip-masq"] if cluster.topology.flannel.ip_masq else []
    for host in cluster.nodes:
        own = [*argv, "--iface", cluster.topology.node(host.name).interface]
        running = daemon.fork(host.namespace, "flanneld", functools.partial(flanneld.main, own))
        cluster.daemons.setdefault(host.name, {})["flanneld"] = running
    for host in cluster.nodes:
        namespace = host.namespace

        def has_file() -> bool:
            with namespace.entered():  # noqa: B023 (called before the loop goes on)
                return os.path.exists(SUBNET_FILE)

        cluster.daemon(host.name, "flanneld").wait_until(has_file, FLANNELD_TIMEOUT, f"{SUBNET_FILE}")


def _build_bridges(cluster: Cluster, builder: Builder) -> dict[str, tuple[IPv4Interface, int]]:
    """Give every node its pod bridge, with the address and MTU that flanneld's subnet file says, or with docker's own defaults."""
    if not cluster.topology.has_flannel:
        builder.apply(build.plan_docker(cluster.topology))
        return {host.name: (DOCKER_DEFAULT, NODE_MTU) for host in cluster.nodes}
    bridges = {}
    for host in cluster.nodes:
        given = subnetfile.parse(host.namespace.read_text(SUBNET_FILE), f"{host.name}:{SUBNET_FILE}")
        bridges[host.name] = (given.bridge, given.mtu)
        builder.apply(build.plan_bridge(cluster.topology, host.name, given.bridge, given.mtu))
    return bridges
