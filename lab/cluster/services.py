"""Services of a running cluster: their addresses, their endpoints, and the rules for them on every node."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lab.cluster.facade import Cluster
from lab.fabric import process
from lab.fabric.mininet import Host
from lab.kubeproxy import apply, iptables_v17
from lab.master import endpoints
from lab.model.objects import Service


class Services:
    """The endpoints controller and the kube-proxies."""

    def __init__(self, cluster: Cluster, dice: random.Random) -> None:
        self.cluster = cluster
        self.dice = dice
        self.proxies = {host.name: apply.Syncer(runner(host), self._config(host)) for host in cluster.nodes}

    def add_node(self, host: Host) -> None:
        """Give a node that joined its rules."""
        self.proxies[host.name] = apply.Syncer(runner(host), self._config(host))
        self.sync()

    def remove_node(self, name: str) -> None:
        """Forget a node that left, and its endpoints."""
        self.proxies.pop(name, None)
        self.sync()

    def apply(self, services: Sequence[Service]) -> None:
        """Make `services` the cluster's services, and its rules on every node follow."""
        self.cluster.services = endpoints.with_addresses(services, self.cluster.topology.networks.service, self.dice)
        self.sync()

    def sync(self) -> None:
        """Recompute all endpoints from the pods there are and bring every node's rules up to date."""
        pods = tuple(self.cluster.pod_objects.values())
        self.cluster.all_endpoints = tuple(endpoints.endpoints_for(service, pods) for service in self.cluster.services)
        for proxy in self.proxies.values():
            proxy.sync(self.cluster.services, self.cluster.all_endpoints)

    def _config(self, host: Host) -> iptables_v17.ProxyConfig:
        topology = self.cluster.topology
        return iptables_v17.ProxyConfig(
            cluster_cidr=topology.networks.pod if topology.has_flannel else None,
            masquerade_all=topology.kube_proxy.masquerade_all,
            node_ips=(topology.node(host.name).address.ip,),
            hostname=host.name,
        )


def runner(host: Host) -> apply.Runner:
    """Runs kube-proxy's programs on a node. Raises CommandError when one fails."""

    def run(argv: Sequence[str], stdin: str) -> str:
        return process.must(process.run(host.namespace, argv, timeout=60.0, stdin=stdin))

    return run
