"""What the master computes from services and pods: the endpoints of a service, and the addresses of new services. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from lab.errors import UsageError
from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service, ServicePort

NODE_PORTS = range(30000, 32768)
"""The apiserver's --service-node-port-range."""


def endpoints_for(service: Service, pods: Iterable[Pod]) -> Endpoints:
    """The ready back ends of a service, as the endpoints controller writes them.

    pods   the ready ones; those of the service's namespace that carry all labels of its selector count
    A port whose `target_port` is a name takes each pod's own number: pods that differ come in different subsets. Addresses are sorted by
    their text, so 10.244.1.10 stands before 10.244.1.2.
    """
    subsets: dict[tuple[EndpointPort, ...], list[EndpointAddress]] = {}
    for pod in pods:
        if pod.pod_ip is None or not selects(service, pod):
            continue
        ports = tuple(EndpointPort(number, port.name, port.protocol) for port in service.ports for number in _numbers(port, pod))
        if ports:
            subsets.setdefault(ports, []).append(EndpointAddress(pod.pod_ip, pod.node_name, pod.name))
    packed = [
        EndpointSubset(tuple(sorted(addresses, key=lambda one: str(one.ip))), tuple(sorted(ports, key=lambda one: (one.name, one.port))))
        for ports, addresses in subsets.items()
    ]
    return Endpoints(service.name, service.namespace, tuple(sorted(packed, key=lambda one: str(one.addresses[0].ip))))


def selects(service: Service, pod: Pod) -> bool:
    """Whether the service's selector matches the pod; a service without selector matches none."""
    return bool(service.selector) and service.namespace == pod.namespace and set(service.selector) <= set(pod.labels)


def _numbers(port: ServicePort, pod: Pod) -> Iterator[int]:
    """The number of a service port on a pod: none when the pod has no port of the wanted name."""
    if isinstance(port.target_port, int):
        yield port.target_port or port.port
        return
    for container in pod.containers:
        for offered in container.ports:
            if offered.name == port.target_port and offered.protocol == port.protocol:
                yield offered.container_port
                return


def with_addresses(services: Sequence[Service], network: IPv4Network, dice: random.Random) -> tuple[Service, ...]:
    """The services, each with a cluster IP and, where its type needs them, node ports: those it names, else free ones by chance.

    Raises UsageError for an address or port that is taken, or outside of its range.
    """
    addresses, ports = _Free(network), _FreePorts()
    for service in services:
        if service.cluster_ip is not None:
            addresses.take(service.cluster_ip, service.name)
        for port in service.ports:
            if port.node_port:
                ports.take(port.node_port, port.protocol, service.name)
    complete = []
    for service in services:
        needs_ip = service.cluster_ip is None and not service.headless and service.type != "ExternalName"
        complete.append(
            replace(
                service,
                cluster_ip=addresses.choose(dice) if needs_ip else service.cluster_ip,
                ports=tuple(_with_node_port(service, port, ports, dice) for port in service.ports),
            )
        )
    return tuple(complete)


def _with_node_port(service: Service, port: ServicePort, ports: _FreePorts, dice: random.Random) -> ServicePort:
    if port.node_port or service.type not in ("NodePort", "LoadBalancer"):
        return port
    return replace(port, node_port=ports.choose(port.protocol, dice))


class _Free:
    """The cluster IPs that are free. The first address of the network is the `kubernetes` service's, so nobody else gets it by chance."""

    def __init__(self, network: IPv4Network) -> None:
        self.network = network
        self.taken: set[int] = set()

    def take(self, address: IPv4Address, service: str) -> None:
        offset = int(address) - int(self.network.network_address)
        if address not in self.network or offset in (0, self.network.num_addresses - 1):
            raise UsageError(f"service {service}: clusterIP {address} is not in the service network {self.network}")
        if offset in self.taken:
            raise UsageError(f"service {service}: clusterIP {address} belongs to another service already; use another one")
        self.taken.add(offset)

    def choose(self, dice: random.Random) -> IPv4Address:
        last = self.network.num_addresses - 1
        if len(self.taken) - (1 in self.taken) >= last - 2:
            raise UsageError(f"the service network {self.network} has no address left; use a larger one")
        while (offset := dice.randrange(2, last)) in self.taken:
            pass
        self.taken.add(offset)
        return self.network.network_address + offset


class _FreePorts:
    """The node ports that are free, TCP and UDP apart."""

    def __init__(self) -> None:
        self.taken: set[tuple[int, str]] = set()

    def take(self, port: int, protocol: str, service: str) -> None:
        if port not in NODE_PORTS:
            raise UsageError(f"service {service}: nodePort {port} is not in {NODE_PORTS.start}-{NODE_PORTS.stop - 1}")
        if (port, protocol) in self.taken:
            raise UsageError(f"service {service}: nodePort {port}/{protocol} is taken already; use another one")
        self.taken.add((port, protocol))

    def choose(self, protocol: str, dice: random.Random) -> int:
        free = [port for port in NODE_PORTS if (port, protocol) not in self.taken]
        if not free:
            raise UsageError(f"no node port is left for {protocol} in {NODE_PORTS.start}-{NODE_PORTS.stop - 1}; use fewer services with node ports")
        port = dice.choice(free)
        self.taken.add((port, protocol))
        return port
