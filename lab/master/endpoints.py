"""The endpoints of a service, from it and the pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service, ServicePort


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
