"""What a scenario's author, a test or a control command holds of a running lab."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from lab.cluster import services
from lab.cluster.faults import Faults
from lab.cluster.podhosts import PodHosts
from lab.errors import BootError, UsageError
from lab.fabric.daemon import Daemon
from lab.fabric.mininet import Host, Network
from lab.fabric.process import Result
from lab.master.client import ApiClient, Unreachable
from lab.model import fromapi
from lab.model.manifests import Objects
from lab.model.names import pick
from lab.model.objects import Endpoints, Pod, Service
from lab.model.pins import Pin
from lab.model.topology import PROXY_MODES, Node, Topology
from lab.observe.capture import Capture
from lab.observe.decode import TUNNELS, Tunnel
from lab.observe.sighting import Place

if TYPE_CHECKING:  # they hold the cluster, too, or are heavy
    from lab.cloud.start import Cloud
    from lab.cluster.nodes import Nodes
    from lab.cluster.pods import Pods
    from lab.cluster.tracing import Wish
    from lab.cluster.units import Units
    from lab.observe.trace.journey import Journey
    from lab.observe.trace.probe import Protocol
    from lab.observe.trace.recording import Recording

EVIDENCE = ("ip -4 address", "ip route", "ip neigh", "iptables-save -c", "conntrack -L")
"""What is asked of a machine when a step has failed on it."""


class Cluster:
    """A running cluster. `network` is the Mininet network; `daemons` are by machine and name: daemons["zenlin"]["etcd"].

    remote    False: not a cluster elsewhere (lab.remote.facade)
    cloud     stands in for Amazon or Google where flannel's backend needs one
    bridges   of each node that has one: the pod bridge's address, and the MTU of its pods
    faults    what is broken on purpose
    """

    remote = False

    def __init__(self, topology: Topology, network: Network) -> None:
        self.topology = topology
        self.network = network
        self.daemons: dict[str, dict[str, Daemon]] = {}
        self.cloud: Cloud | None = None
        self.pod_hosts = PodHosts(network)
        self.faults = Faults(self)
        self.bridges: dict[str, tuple[IPv4Interface, int]] = {}
        self._api: ApiClient | None = None
        self._nodes: Nodes | None = None
        self._pods: Pods | None = None
        self._units: Units | None = None

    def manage(self, nodes: Nodes, pods: Pods, units: Units) -> None:
        """Take over what starts and stops, creates and deletes the parts of the cluster, once it is up."""
        self._nodes, self._pods, self._units = nodes, pods, units

    @property
    def units(self) -> Units:
        """The daemons of all machines, to be started and stopped by name."""
        if self._units is None:
            raise UsageError(f"the cluster {self.topology.name} is not up yet")
        return self._units

    def stop_flanneld(self, node: str, kill: bool = False) -> None:
        """End a node's flanneld by SIGTERM, or with `kill` by SIGKILL."""
        self._stop(self.daemon(node, "flanneld"), kill)

    def start_flanneld(self, node: str, wait: bool = True) -> None:
        """Start a node's flanneld again, and unless `wait` is False wait until it carries packets: BootError when it does not come up."""
        self._managers()[0].start_flanneld(node, wait=wait)

    def stop_etcd(self, kill: bool = False) -> None:
        """End etcd by SIGTERM, or with `kill` by SIGKILL; its data stays."""
        self._stop(self.daemon(self.master.name, "etcd"), kill)

    def start_etcd(self) -> None:
        """Start etcd again on its data and wait until it answers."""
        self._managers()[0].start_etcd()

    def stop_kube_proxy(self, node: str, kill: bool = False) -> None:
        """End a node's kube-proxy by SIGTERM, or with `kill` by SIGKILL; its rules stay."""
        self._stop(self.daemon(node, "kube-proxy"), kill)

    def start_kube_proxy(self, node: str, mode: str = "") -> None:
        """Start a node's kube-proxy again, and wait until it has written its rules. BootError when it does not.

        mode   as --proxy-mode; empty: the topology's. Raises UsageError for one that there is not.
        """
        if mode and mode not in PROXY_MODES:
            raise UsageError(f"kube-proxy has no mode {mode!r} here; there are {', '.join(PROXY_MODES)}")
        self._managers()[0].agents.start_kube_proxy(node, mode)
        services.settle(self)
        running = self.daemon(node, "kube-proxy")
        if running.ended() is not None:
            raise BootError(f"kube-proxy on {node} has ended:\n{running.last_words()}")

    def _stop(self, running: Daemon, kill: bool) -> None:
        if kill:
            running.kill()
        else:
            running.stop()

    def fault(self, who: str, words: str, way: str = "both", interface: str = "") -> None:
        """Break something on purpose, or mend it, as `lab fault WHO WORDS` does: `loss 30 delay 50`, `down`, `up`, `pause`, `clear`.

        way         of a link's loss, delay and rate: both, out or in, as the machine sees it
        interface   which of its links; needed where it has several
        Raises UsageError for wrong words and names, MachineError for what this kernel cannot do.
        """
        self.faults.act(who, words, way, interface)

    def clear_faults(self) -> None:
        """Mend everything that `fault` has broken."""
        self.faults.clear()

    def add_node(self, node: Node) -> None:
        """Let a node join the running cluster: machine, wire, flanneld, pod bridge, kubelet, kube-proxy. Raises UsageError where it does not fit."""
        self._managers()[0].join(node)
        services.settle(self)

    def remove_node(self, name: str) -> None:
        """Take a node with its pods away at once; its lease stays in etcd, as that of a machine that burnt. Not the master."""
        self._managers()[0].leave(name)
        services.settle(self)

    def apply(self, objects: Objects, pins: Sequence[Pin] = ()) -> None:
        """Create what the objects declare, or replace what is there, and wait until pods, endpoints and every node's rules have followed.

        Raises UsageError for what does not fit, BootError when a pod's workload does not start.
        """
        self._managers()[1].apply(objects, pins)
        services.settle(self)

    def delete_pod(self, name: str, namespace: str = "default") -> None:
        """Delete a pod; endpoints and rules follow. Raises UsageError when there is none of that name."""
        self._managers()[1].delete("Pod", name, namespace)
        services.settle(self)

    def delete_service(self, name: str, namespace: str = "default") -> None:
        """Delete a service, and its rules on every node. Raises UsageError when there is none of that name."""
        self._managers()[1].delete("Service", name, namespace)
        services.settle(self)

    def _managers(self) -> tuple[Nodes, Pods]:
        if self._nodes is None or self._pods is None:
            raise UsageError(f"the cluster {self.topology.name} is not up yet")
        return self._nodes, self._pods

    @property
    def api(self) -> ApiClient:
        """The lab's own way to the apiserver. Raises Unreachable while the master is paused, instead of waiting for it in vain."""
        if self._api is None:
            raise UsageError(f"the cluster {self.topology.name} has no apiserver yet")
        if self.faults.is_paused(self.topology.master.name):
            name = self.topology.master.name
            raise Unreachable(f"{name} is paused, and its apiserver with it; `lab fault {name} resume` lets it go on")
        return self._api

    @api.setter
    def api(self, client: ApiClient) -> None:
        self._api = client

    @property
    def pod_objects(self) -> dict[str, Pod]:
        """The pods by name; of two with one name in different namespaces, the one of the namespace that sorts last."""
        return {item["metadata"]["name"]: fromapi.pod_of(item) for item in self.api.list("pods")["items"]}

    @property
    def services(self) -> tuple[Service, ...]:
        """Every service."""
        return tuple(fromapi.service_of(item) for item in self.api.list("services")["items"])

    @property
    def all_endpoints(self) -> tuple[Endpoints, ...]:
        """The endpoints of every service."""
        return tuple(fromapi.endpoints_of(item) for item in self.api.list("endpoints")["items"])

    def hosts(self, kind: str) -> list[Host]:
        """The machines of one kind, in the order they were made."""
        return [host for host in self.network.hosts if host.kind == kind]

    @property
    def nodes(self) -> list[Host]:
        """The cluster's nodes, master first where the topology says so."""
        return self.hosts("node")

    @property
    def pods(self) -> list[Host]:
        """The pods that have a network of their own."""
        self.pod_hosts.refresh()
        return self.hosts("pod")

    @property
    def clients(self) -> list[Host]:
        """The machines outside the cluster."""
        return self.hosts("client")

    @property
    def master(self) -> Host:
        """The node that etcd runs on."""
        return self.node(self.topology.master.name)

    @property
    def operator(self) -> Host:
        """Where kubectl is typed."""
        return self.master

    @property
    def caller(self) -> Host:
        """Someone in the cluster who calls services."""
        return self.master

    def host(self, name: str) -> Host:
        """Any machine by its name. Raises UsageError with the names there are."""
        known = self.network.nameToNode.get(name)
        if known is None or known.kind == "pod":
            self.pod_hosts.refresh()
        found: Host = pick("machine", self.network.nameToNode, name)
        return found

    def node(self, name: str) -> Host:
        """A node by its name."""
        return pick("node", _by_name(self.nodes), name)

    def pod(self, name: str) -> Host:
        """A pod by its name; one of another namespace than the first of its name as NAME.NAMESPACE."""
        return pick("pod", _by_name(self.pods), name)

    def client(self, name: str = "client") -> Host:
        """A machine outside the cluster by its name."""
        return pick("client", _by_name(self.clients), name)

    def pod_object(self, name: str) -> Pod:
        """The Kubernetes object of a pod."""
        return pick("pod", self.pod_objects, name)

    def service(self, name: str, namespace: str = "default") -> Service:
        """A service by its name."""
        return pick("service", {one.name: one for one in self.services if one.namespace == namespace}, name)

    def endpoints(self, name: str, namespace: str = "default") -> Endpoints:
        """The endpoints of a service by its name."""
        return pick("endpoints", {one.name: one for one in self.all_endpoints if one.namespace == namespace}, name)

    def pod_logs(self, name: str, container: str = "") -> str:
        """What a container of a pod has written, as `kubectl logs` shows it; without a name, its first container."""
        pod = self.pod_object(name)
        return self._managers()[1].logs(pod, container or pod.containers[0].name)

    def daemon(self, machine: str, name: str) -> Daemon:
        """A daemon by its machine's and its own name: ("zenlinnode1", "flanneld")."""
        return pick("daemon", pick("machine with daemons", self.daemons, machine), name)

    def capture(self, places: Iterable[tuple[str, str]]) -> Capture:
        """What goes by at some places, each a machine and an interface of it: `with cluster.capture([("zenlinnode1", "eth0")]) as seen:`.

        Raises UsageError for a machine that is not there; entering the block does for an interface.
        """
        return Capture([(Place(name, interface), self.host(name).namespace) for name, interface in places], _tunnels(self.topology))

    def trace(
        self, source: str, target: str, port: int = 0, protocol: Protocol | None = None, *,
        size: int = 0, dont_fragment: bool = False, patience: float | None = None,
    ) -> Journey:  # fmt: skip
        """Send one marked packet and tell its journey, and its reply's.

        source, target   as `lab trace` takes them: lab.cluster.targets.find
        port             0: as the target says, or a service's first
        protocol         None: TCP where there is a port, otherwise ICMP
        size             bytes of payload of UDP and ICMP; with `dont_fragment` the packet may not be cut
        patience         seconds to wait for an answer
        A packet that is lost raises nothing: `loss` of the journey tells where and why. Raises UsageError for a wrong name.
        """
        from lab.cluster import tracing
        from lab.observe.trace.correlate import correlate

        wish = tracing.Wish(source, f"{target}:{port}" if port else target, protocol, size, dont_fragment, patience or tracing.PATIENCE)
        return correlate(self.record_trace(wish))

    def record_trace(self, wish: Wish) -> Recording:
        """Take a trace; what was recorded, before it is made into a journey."""
        from lab.cluster import tracing

        return tracing.record(self, wish, _tunnels(self.topology))

    def evidence(self, name: str) -> Iterator[Result]:
        """What a machine looks like right now, for the report of a failed step; a pod's node is looked at as well.

        Raises CommandError when the machine does not answer.
        """
        host = self.host(name)
        for command in EVIDENCE:
            yield host.run(command, timeout=5.0)
        for daemon in self.daemons.get(name, {}).values():
            yield Result(name, f"log of {daemon.name}", 0, f"{daemon.last_words()}\n", "", 0.0)
        pod = self.pod_objects.get(name)
        if pod is not None and pod.node_name:
            yield from self.evidence(pod.node_name)

    def stop(self) -> None:
        """Kill every daemon and let go of every machine."""
        self.faults.end()
        for daemons in self.daemons.values():
            for daemon in daemons.values():
                daemon.kill()
        self.daemons.clear()
        self.network.stop()


def _tunnels(topology: Topology) -> dict[int, Tunnel]:
    """What datagrams to which port carry, with the port that the topology gives its backend."""
    backend = topology.flannel.backend
    own: dict[int, Tunnel] = {backend.port: "vxlan" if backend.type == "vxlan" else "ip"} if backend.port else {}
    return dict(TUNNELS) | own


def _by_name(hosts: Iterable[Host]) -> dict[str, Host]:
    return {host.name: host for host in hosts}
