"""What runs on the nodes themselves: etcd on the master, a flanneld and a pod bridge everywhere.

Starts, stops and restarts them, and lets nodes join and leave a running cluster.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Iterable

from lab.cluster import units
from lab.cluster.agents import Agents
from lab.cluster.facade import Cluster
from lab.errors import UsageError
from lab.fabric import daemon, logfiles, process
from lab.fabric.apply import Builder
from lab.flannel import lease, subnetfile
from lab.master import etcd
from lab.master.etcdclient import EtcdClient, EtcdError
from lab.model import checks
from lab.model.topology import BACKEND_OPTIONS, DOCKER_DEFAULT, NODE_MTU, Flannel, Networks, Node, Topology
from lab.plan import build, files

SUBNET_FILE = "/run/flannel/subnet.env"
ROUTE_CHECK_SECONDS = 1.0
"""How often the lab's flanneld looks for deleted routes: ten times as often as flannel's, whose 10 s are long for somebody who watches."""

_RUNNING = "Finished starting backend."
"""The line that ends flanneld's start."""

_OPTION_KEYS = {"port": "Port", "vni": "VNI", "direct_routing": "DirectRouting", "l3miss": "L3Miss", "route_table_id": "RouteTableID"}
"""Our options and flannel's names for them in etcd; L3Miss is the lab's own."""


def flannel_config(networks: Networks, flannel: Flannel) -> str:
    """The JSON that flannel reads from <prefix>/config, with only the fields that the topology sets. Pure."""
    config: dict[str, object] = {"Network": str(networks.pod)}
    if flannel.subnet_len is not None:
        config["SubnetLen"] = flannel.subnet_len
    if flannel.subnet_min is not None:
        config["SubnetMin"] = str(flannel.subnet_min)
    if flannel.subnet_max is not None:
        config["SubnetMax"] = str(flannel.subnet_max)
    backend: dict[str, object] = {"Type": flannel.backend.type}
    for option in BACKEND_OPTIONS[flannel.backend.type]:
        value = getattr(flannel.backend, option)
        if value is not None:
            backend[_OPTION_KEYS[option]] = value
    return json.dumps(config | {"Backend": backend})


class Nodes:
    """The machines of a cluster, as their operator."""

    def __init__(self, cluster: Cluster, builder: Builder, agents: Agents) -> None:
        self.cluster = cluster
        self.builder = builder
        self.agents = agents
        self._switches = {segment.network: segment.switch for segment in cluster.topology.segments}

    def found_network(self) -> None:
        """Wait for etcd and write what flanneld will look for: the network's configuration, and the reserved subnets. Without flannel, nothing."""
        topology = self.cluster.topology
        if not topology.has_flannel:
            return self._await_etcd()
        writes = [(lease.config_key(topology.flannel.etcd_prefix), flannel_config(topology.networks, topology.flannel))]
        writes += [self._reservation(node) for node in topology.nodes if node.pod_cidr is not None]
        self._await_etcd(writes)

    def start_etcd(self) -> None:
        """Start etcd again, on the data that it left, and return when it answers."""
        master = self.cluster.master
        self._daemons(master.name)["etcd"] = etcd.start(master.namespace, self.cluster.topology.master.address.ip)
        self._await_etcd()

    def _await_etcd(self, writes: Iterable[tuple[str, str]] = ()) -> None:
        """Wait until etcd answers and has these keys."""
        pairs = list(writes)
        running = self.cluster.daemon(self.cluster.master.name, "etcd")
        running.wait_until(lambda: self._written(pairs), "answer from etcd")

    def _written(self, pairs: Iterable[tuple[str, str]]) -> bool:
        client = EtcdClient([f"http://127.0.0.1:{etcd.CLIENT_PORT}"])
        try:
            with self.cluster.master.namespace.entered():
                client.get("/")
                for key, value in pairs:
                    client.put(key, value)
        except (EtcdError, OSError):
            return False
        return True

    def _reservation(self, node: Node) -> tuple[str, str]:
        flannel = self.cluster.topology.flannel
        assert node.pod_cidr is not None
        return lease.reservation(node.pod_cidr, node.address.ip, flannel.backend.type, flannel.etcd_prefix)

    def start_flanneld(self, *names: str, wait: bool = True, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start flanneld on these nodes, all at the same moment, do something else meanwhile, and return when each of them carries packets.

        wait   False: return at once
        """
        if not self.cluster.topology.has_flannel:
            raise UsageError(f"the topology {self.cluster.topology.name} has `podNetwork: docker`, so there is no flanneld to start")
        births = [self._flanneld(name) for name in names]
        marks = [daemon.log_of(one.namespace, one.name).stat().st_size for one in births]
        started = daemon.fork_all(births)
        for running in started:
            self._daemons(running.namespace.name)["flanneld"] = running
        meanwhile()
        for running, mark in zip(started, marks, strict=True) if wait else ():
            running.wait_until(_said(running, mark), f"`{_RUNNING}` in its log")

    def _flanneld(self, name: str) -> daemon.Birth:
        host = self.cluster.node(name)
        if (old := self._daemons(name).get("flanneld")) is not None and old.ended() is None:
            raise UsageError(f"{name}: flanneld runs already, as process {old.pid}; stop it first")
        from lab.flannel import daemon as flanneld
        from lab.flannel import flags
        from lab.flannel.backends import base

        base.maker(self.cluster.topology.flannel.backend.type)  # imported here, no flanneld has to

        topology = self.cluster.topology
        argv = ["--etcd-endpoints", f"http://{topology.master.address.ip}:{etcd.CLIENT_PORT}", "--subnet-file", SUBNET_FILE]
        argv += ["--etcd-prefix", topology.flannel.etcd_prefix, "--iface", topology.node(host.name).interface]
        argv += ["--ip-masq"] if topology.flannel.ip_masq else []
        argv += ["--route-check", f"{ROUTE_CHECK_SECONDS:g}"]
        parse = functools.partial(flags.parse, environ=process.environment())
        argv = units.command_line(host, "flanneld", argv)
        return daemon.Birth(host.namespace, "flanneld", units.ready(argv, parse, flanneld.run, flanneld.main))

    def build_bridge(self, name: str) -> None:
        """Give a node its pod bridge, with the address and MTU that flanneld's subnet file says, or with docker's own defaults."""
        if not self.cluster.topology.has_flannel:
            self.cluster.bridges[name] = (DOCKER_DEFAULT, NODE_MTU)
            self.builder.apply(build.plan_docker_bridge(name))
            return
        text = self.cluster.node(name).namespace.read_text(SUBNET_FILE)
        given = subnetfile.parse(text, f"{name}:{SUBNET_FILE}")
        self.cluster.bridges[name] = (given.bridge, given.mtu)
        self.builder.apply(build.plan_bridge(self.cluster.topology, name, given.bridge, given.mtu))

    def join(self, node: Node) -> None:
        """Let a node join: its machine and wire, its flanneld, its bridge.

        Raises UsageError when the topology has no place for it, BootError when its flanneld gets no subnet; then its machine is taken away again.
        """
        before = self.cluster.topology
        after = dataclasses.replace(before, nodes=(*before.nodes, node))
        for finding in checks.of_topology(after):
            raise UsageError(f"the node {node.name} cannot join {before.name}: {finding.text}")
        self.builder.apply(build.plan_joining(after, node, *self._place(before, node)))
        self.cluster.topology = after
        try:
            self._begin(node)
        except BaseException:
            self.leave(node.name)
            raise

    def _begin(self, node: Node) -> None:
        """Start what runs on a node that has its machine and its wire."""
        self._tell_names()
        if node.pod_cidr is not None:
            self._await_etcd([self._reservation(node)])
        if self.cluster.cloud is not None:
            self.cluster.cloud.launch(node)
        if self.cluster.topology.has_flannel:
            self.start_flanneld(node.name)
        self.build_bridge(node.name)
        self.agents.start(node.name)

    def _place(self, topology: Topology, node: Node) -> tuple[str, str]:
        """What the other end of a new node's cable is on: a switch, or the router; and how the interface there is called."""
        network = node.address.network
        switch = self._switches.setdefault(network, "")
        if not switch and network in {machine.address.network for machine in topology.machines}:
            text = f"{network} is one cable to the router; give it a network of its own, or one with a switch"
            raise UsageError(f"the node {node.name} cannot join {topology.name}: {text}")
        other = self.cluster.host(switch or topology.router)
        prefix = "port" if switch else "eth"
        return other.name, next(name for number in itertools.count() if (name := f"{prefix}{number}") not in other.nameToIntf)

    def leave(self, name: str) -> None:
        """Take a node away at once, as if it had burnt: nothing is released, its lease stays in etcd until it runs out."""
        self.cluster.node(name)
        topology = self.cluster.topology
        if name == topology.master.name:
            raise UsageError(f"{name} is the master, and a lab without etcd is none; take another node away")
        self.cluster.faults.forget(name)
        self.agents.leave(name)
        for running in self.cluster.daemons.pop(name, {}).values():
            running.kill()
        if self.cluster.cloud is not None:
            self.cluster.cloud.terminate(name)
        self.builder.remove(name)
        self.cluster.bridges.pop(name, None)
        self.cluster.topology = dataclasses.replace(topology, nodes=tuple(one for one in topology.nodes if one.name != name))
        self._tell_names()

    def _tell_names(self) -> None:
        """Bring /etc/hosts of every machine up to date."""
        topology = self.cluster.topology
        for machine in topology.machines:
            text = files.of_machine(topology, machine.name)[files.HOSTS]
            self.cluster.host(machine.name).namespace.write_text(files.HOSTS, text)

    def _daemons(self, name: str) -> dict[str, daemon.Daemon]:
        return self.cluster.daemons.setdefault(name, {})


def _said(running: daemon.Daemon, mark: int) -> Callable[[], bool]:
    """Whether the log has flanneld's last line of a start behind byte `mark`."""

    def said() -> bool:
        return _RUNNING.encode() in logfiles.since(running.log, mark)[0]

    return said
