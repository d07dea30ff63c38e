"""What a picture of a cluster shows, as data: machines, wires, pods, services, subnets. Pure.

`from_topology` makes it of what was declared; of a running lab lab.cluster.state makes it. lab.observe.drawing turns it into pictures.
Addresses are text here: the whole goes to JSON and back (`to_data`, `from_data`) over a lab's control socket and into a run's report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Address
from typing import Any, Literal

from lab.errors import UsageError
from lab.flannel.config import UDP_PORT
from lab.flannel.vtep import PORT as VXLAN_PORT
from lab.master.endpoints import endpoints_for
from lab.model import objects as kubernetes
from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.model.topology import DOCKER_DEFAULT, Node, Topology
from lab.model.topology import Machine as DeclaredMachine
from lab.observe import expected
from lab.plan.build import veth_of

SCHEMA = 1


@dataclass(frozen=True)
class Machine:
    """A node, or a client outside of the cluster.

    address   with its prefix length, of the network card `interface`
    segment   the number of the segment that it is on
    role      of a node: master or worker
    subnet    of a node: the pods' addresses there; empty while nobody knows
    daemons   of a node: the programs at work on it
    """

    name: str
    kind: Literal["node", "client"]
    interface: str
    address: str
    segment: int
    role: str = ""
    subnet: str = ""
    daemons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segment:
    """What machines with one network share. `card`: the router's interface there, `gateway` its address; both empty without router."""

    number: int
    network: str
    gateway: str
    card: str
    switch: str


@dataclass(frozen=True)
class Pod:
    """A pod. `node` and `ip` are empty until it has them; `veth`: the other end of its wire; `ready` is None while nobody knows."""

    name: str
    namespace: str
    node: str = ""
    ip: str = ""
    veth: str = ""
    ready: bool | None = None
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Backend:
    """One back end of a service port, and the pod and node that it is, where known. `ip` is empty before its pod has one."""

    ip: str
    port: int
    pod: str = ""
    node: str = ""


@dataclass(frozen=True)
class Port:
    """A port of a service, with its back ends."""

    name: str
    port: int
    protocol: str
    node_port: int = 0
    backends: tuple[Backend, ...] = ()


@dataclass(frozen=True)
class Service:
    """A service. `cluster_ip` is empty for a headless one, and while none has been chosen."""

    name: str
    namespace: str
    cluster_ip: str
    ports: tuple[Port, ...]
    type: str = "ClusterIP"
    affinity: str = "None"
    headless: bool = False


@dataclass(frozen=True)
class Graph:
    """The whole.

    backend   of flannel; empty where docker alone makes the pods' networks
    device    of the backend on every node: flannel0, flannel.1; empty for those without one
    port      UDP port of the backend between nodes; 0 without
    bridge    the one that pods hang on; `idle_bridge`: docker's own beside it
    live      whether this was seen on a running lab; else it is what was declared
    """

    topology: str
    kubernetes: str
    pod_network: str
    service_network: str
    backend: str
    device: str
    port: int
    proxy_mode: str
    rules_version: str
    bridge: str
    idle_bridge: str
    router: str
    segments: tuple[Segment, ...]
    machines: tuple[Machine, ...]
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    live: bool = False

    @property
    def nodes(self) -> tuple[Machine, ...]:
        """The cluster's nodes."""
        return tuple(one for one in self.machines if one.kind == "node")

    @property
    def clients(self) -> tuple[Machine, ...]:
        """The machines outside."""
        return tuple(one for one in self.machines if one.kind == "client")

    def segment(self, machine: Machine) -> Segment:
        """The segment that a machine is on."""
        return next(one for one in self.segments if one.number == machine.segment)

    def pods_on(self, node: str) -> tuple[Pod, ...]:
        """The pods of a node that have a network of their own there; with an empty name, those without a node."""
        return tuple(pod for pod in self.pods if pod.node == node)

    def service(self, name: str) -> Service:
        """A service by NAME or NAMESPACE/NAME; of one name in several namespaces, that in `default`. Raises UsageError."""
        for one in sorted(self.services, key=lambda one: (one.namespace != "default", one.namespace)):
            if name in (one.name, f"{one.namespace}/{one.name}"):
                return one
        known = ", ".join(sorted(f"{one.namespace}/{one.name}" for one in self.services)) or "none; draw a scenario or a running lab"
        raise UsageError(f"no service is named {name!r}; there are: {known}")


def from_topology(topology: Topology) -> Graph:
    """The machines and wires of a topology, without pods. A node's subnet is known where the topology reserves one, or docker takes its own."""
    segments = topology.segments
    backend = topology.flannel.backend
    kind = backend.type if topology.has_flannel else ""
    return Graph(
        topology=topology.name,
        kubernetes=topology.kubernetes,
        pod_network=str(topology.networks.pod) if topology.has_flannel else "",
        service_network=str(topology.networks.service),
        backend=kind,
        device={"udp": "flannel0", "vxlan": f"flannel.{backend.vni or 1}"}.get(kind, ""),
        port=backend.port or {"udp": UDP_PORT, "vxlan": VXLAN_PORT}.get(kind, 0),
        proxy_mode=topology.kube_proxy.mode,
        rules_version=topology.kube_proxy.rules_version,
        bridge=topology.bridge,
        idle_bridge="docker0" if topology.bridge != "docker0" else "",
        router=topology.router if any(segment.gateway for segment in segments) else "",
        segments=tuple(_segments(topology)),
        machines=tuple(_machine(topology, one) for one in topology.machines),
    )


def _segments(topology: Topology) -> Iterable[Segment]:
    """As lab.plan.build names the router's cards: eth0, eth1 in the order of the segments that have a gateway."""
    cards = 0
    for segment in topology.segments:
        gateway = str(segment.gateway or "")
        yield Segment(segment.number, str(segment.network), gateway, f"eth{cards}" if gateway else "", segment.switch)
        cards += bool(gateway)


def _machine(topology: Topology, declared: DeclaredMachine) -> Machine:
    number = next(one.number for one in topology.segments if one.network == declared.address.network)
    if not isinstance(declared, Node):
        return Machine(declared.name, "client", declared.interface, str(declared.address), number)
    docker = "" if topology.has_flannel else str(DOCKER_DEFAULT.network)
    subnet = str(declared.pod_cidr) if declared.pod_cidr and topology.has_flannel else docker
    master = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler") if declared.role == "master" else ()
    own = (*master, *(("flanneld",) if topology.has_flannel else ()), "runtime", "kubelet", "kube-proxy")
    return Machine(declared.name, "node", declared.interface, str(declared.address), number, declared.role, subnet, own)


def planned(topology: Topology, wanted: Objects, pins: Sequence[Pin] = ()) -> Graph:
    """What a scenario declares, before anything runs: pods where pins or manifests put them, others without node and address."""
    pods = expected.pods_of(wanted.deployments, wanted.pods, pins)
    services = tuple(_planned_service(one, pods) for one in wanted.services)
    return replace(from_topology(topology), pods=tuple(pod_of(pod) for pod in pods), services=services)


def _planned_service(service: kubernetes.Service, pods: Iterable[kubernetes.Pod]) -> Service:
    """A service with the back ends that it will have; those of pods without an address yet have none either."""
    somewhere = IPv4Address(0)
    ends = endpoints_for(service, [replace(pod, pod_ip=pod.pod_ip or somewhere) for pod in pods])
    drawn = service_of(service, ends)
    ports = (replace(port, backends=tuple(_honest(one, somewhere) for one in port.backends)) for port in drawn.ports)
    return replace(drawn, ports=tuple(ports))


def _honest(backend: Backend, somewhere: IPv4Address) -> Backend:
    return replace(backend, ip="") if backend.ip == str(somewhere) else backend


def pod_of(pod: kubernetes.Pod, ready: bool | None = None) -> Pod:
    """A Kubernetes pod as a picture shows it."""
    veth = veth_of(pod.namespace, pod.name)
    return Pod(pod.name, pod.namespace, pod.node_name, str(pod.pod_ip or ""), veth, ready, pod.labels)


def service_of(service: kubernetes.Service, endpoints: kubernetes.Endpoints | None) -> Service:
    """A Kubernetes service with its endpoints as a picture shows it."""
    ports = tuple(
        Port(port.name, port.port, port.protocol, port.node_port, tuple(_backends(endpoints, port.name, port.protocol))) for port in service.ports
    )
    ip = str(service.cluster_ip or "")
    return Service(service.name, service.namespace, ip, ports, service.type, service.session_affinity, service.headless)


def _backends(endpoints: kubernetes.Endpoints | None, name: str, protocol: str) -> Iterable[Backend]:
    for subset in endpoints.subsets if endpoints else ():
        for port in subset.ports:
            if (port.name, port.protocol) == (name, protocol):
                yield from (Backend(str(one.ip), port.port, one.target, one.node_name) for one in subset.addresses)


def to_data(graph: Graph) -> dict[str, Any]:
    """Plain data for JSON."""
    return {"schema": SCHEMA} | asdict(graph)


def from_data(data: Mapping[str, Any]) -> Graph:
    """The graph of `to_data`'s data, after a journey through JSON. Raises UsageError for another version's."""
    if data.get("schema") != SCHEMA:
        raise UsageError(
            f"the lab speaks version {data.get('schema')} of this format, and this command version {SCHEMA}; `lab down` and boot it again"
        )
    plain = {key: value for key, value in data.items() if key != "schema"}
    plain["segments"] = tuple(Segment(**one) for one in data["segments"])
    plain["machines"] = tuple(Machine(**one | {"daemons": tuple(one["daemons"])}) for one in data["machines"])
    plain["pods"] = tuple(Pod(**one | {"labels": tuple((key, value) for key, value in one["labels"])}) for one in data["pods"])
    plain["services"] = tuple(Service(**one | {"ports": tuple(_port(port) for port in one["ports"])}) for one in data["services"])
    return Graph(**plain)


def _port(data: Mapping[str, Any]) -> Port:
    return Port(**dict(data) | {"backends": tuple(Backend(**one) for one in data["backends"])})
