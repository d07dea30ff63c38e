"""What Kubernetes runs on every node: container runtime, kubelet and kube-proxy, started and stopped like the machines' own services."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial

from lab.cluster import units
from lab.cluster.facade import Cluster
from lab.errors import UsageError
from lab.fabric import daemon
from lab.fabric.mininet import Host
from lab.kubelet import protocol
from lab.master.client import ApiError
from lab.plan import build, files

MASTER_TAINT = "node-role.kubernetes.io/master:NoSchedule"
DNS_SERVICE = 10
"""The DNS server's place in the service network, where kubeadm puts it."""

SYNC_SHARE, QUIET_SHARE = 0.02, 0.003
"""In a large lab kube-proxies gather changes, for so many seconds a node, a second at least, which is Kubernetes' own choice today; and
until nothing has changed for so many seconds a node. They share one machine, and each change is a sync of all."""


def import_daemons() -> None:
    """Import what the daemons of the nodes and the master will run, while there is something to wait for.

    They are forked from this process: what it has imported before, none of them has to import, and all of them share in memory.
    """
    import lab.kubelet.daemon
    import lab.kubelet.runtime
    import lab.kubeproxy.daemon
    import lab.kubeproxy.incremental
    import lab.kubeproxy.iptables  # the mode that most have
    import lab.master.scheduler.daemon  # noqa: F401 (it brings the controllers)


class Agents:
    """The agents of all nodes. `server`: the apiserver's URL, as nodes see it."""

    def __init__(self, cluster: Cluster, server: str) -> None:
        self.cluster, self.server = cluster, server

    def start(self, *names: str) -> None:
        """Start all three on nodes that have their pod bridges, and return at once."""
        self._start([make(name) for make in (self._runtime, self._kubelet, self._kube_proxy) for name in names])

    def start_runtime(self, name: str) -> None:
        """Start a node's container runtime."""
        self._start([self._runtime(name)])

    def start_kubelet(self, name: str) -> None:
        """Start a node's kubelet; pods that run already go on."""
        self._start([self._kubelet(name)])

    def start_kube_proxy(self, name: str, mode: str = "") -> None:
        """Start a node's kube-proxy, in the topology's mode unless told another."""
        self._start([self._kube_proxy(name, mode)])

    def _start(self, births: Sequence[daemon.Birth]) -> None:
        for running in daemon.fork_all(births):
            self.cluster.daemons.setdefault(running.namespace.name, {})[running.name] = running
        for one in births:
            for descriptor in one.keep:
                os.close(descriptor)

    def _runtime(self, name: str) -> daemon.Birth:
        host = self._free(name, "runtime")
        from lab.kubelet import runtime

        number = protocol.listen(host.namespace).detach()
        self.cluster.pod_hosts.add_node(host)
        return daemon.Birth(host.namespace, "runtime", partial(runtime.serve, number), (number,))

    def _kubelet(self, name: str) -> daemon.Birth:
        host = self._free(name, "kubelet")
        from lab.kubelet import daemon as kubelet
        from lab.kubelet import flags

        argv = units.command_line(host, "kubelet", self.kubelet_flags(host))
        return daemon.Birth(host.namespace, "kubelet", units.ready(argv, flags.parse, kubelet.run, kubelet.main))

    def _kube_proxy(self, name: str, mode: str = "") -> daemon.Birth:
        host = self._free(name, "kube-proxy")
        from lab.kubeproxy import daemon as kube_proxy
        from lab.kubeproxy import flags

        argv = units.command_line(host, "kube-proxy", self.kube_proxy_flags(host))
        if mode:
            argv = units.merged(argv, ["--proxy-mode", mode])
        return daemon.Birth(host.namespace, "kube-proxy", units.ready(argv, flags.parse, kube_proxy.run, kube_proxy.main))

    def leave(self, name: str) -> None:
        """End a node's agents and pods, and take the node out of the apiserver's books."""
        daemons = self.cluster.daemons.get(name, {})
        for agent in ("kubelet", "kube-proxy"):
            if agent in daemons:
                daemons[agent].kill()
        if "runtime" in daemons:
            daemons["runtime"].stop()
        self.cluster.pod_hosts.remove_node(name)
        for pod in self.cluster.api.list("pods", fields=f"spec.nodeName={name}")["items"]:
            self._forget("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
        self._forget("nodes", name)

    def _forget(self, plural: str, name: str, namespace: str = "") -> None:
        try:
            self.cluster.api.delete(plural, name, namespace, grace=0)
        except ApiError as error:
            if error.code != 404:
                raise

    def kubelet_flags(self, host: Host) -> list[str]:
        """The kubelet's command line on a node."""
        topology = self.cluster.topology
        node = topology.node(host.name)
        address, mtu = self.cluster.bridges[host.name]
        flags = {
            "--hostname-override": host.name,
            "--api-servers": self.server,
            "--node-ip": str(node.address.ip),
            "--pod-bridge": topology.bridge,
            "--kubelet-version": topology.kubernetes,
            "--pod-gso-max-size": str(build.pod_gso_size(topology, mtu)),
            "--cluster-dns": str(topology.networks.service.network_address + DNS_SERVICE),
            "--cluster-domain": files.CLUSTER_DOMAIN,
        }
        if topology.has_flannel:
            flags["--pod-cidr"] = str(address.network)
        if topology.bridge == "cni0":
            flags["--pod-route"] = str(topology.networks.pod)
        if node.role == "master" and any(one.role == "worker" for one in topology.nodes):
            flags["--register-with-taints"] = MASTER_TAINT
        words = [word for pair in flags.items() for word in pair]
        return [*words, "--pod-neighbours"] if topology.is_large else words

    def kube_proxy_flags(self, host: Host) -> list[str]:
        """kube-proxy's command line on a node."""
        topology = self.cluster.topology
        flags = {
            "--master": self.server,
            "--hostname-override": host.name,
            "--proxy-mode": topology.kube_proxy.mode,
            "--rules-version": topology.kube_proxy.rules_version,
            "--service-cidr": str(topology.networks.service),
        }
        if topology.has_flannel:
            flags["--cluster-cidr"] = str(topology.networks.pod)
        if topology.is_large:
            flags["--iptables-min-sync-period"] = f"{max(1.0, len(topology.nodes) * SYNC_SHARE):g}s"
            flags["--quiet-period"] = f"{len(topology.nodes) * QUIET_SHARE:g}s"
        words = [word for pair in flags.items() for word in pair]
        return [*words, "--masquerade-all"] if topology.kube_proxy.masquerade_all else words

    def _free(self, name: str, agent: str) -> Host:
        host = self.cluster.node(name)
        old = self._daemons(host).get(agent)
        if old is not None and old.ended() is None:
            raise UsageError(f"{name}: {agent} runs already, as process {old.pid}; stop it first")
        return host

    def _daemons(self, host: Host) -> dict[str, daemon.Daemon]:
        return self.cluster.daemons.setdefault(host.name, {})
