"""From services and endpoints to what a proxy has to do: one entry a service port, with its back ends. Pure.

The same for every mode of kube-proxy; the modes differ in how they do it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address

from lab.kubeproxy import names
from lab.model.objects import Endpoints, Service, ServicePort


@dataclass(frozen=True)
class Backend:
    """One back end of a service port. `node`: the node its pod is on, empty when unknown."""

    ip: IPv4Address
    port: int
    node: str = ""

    @cached_property
    def address(self) -> str:
        """`10.244.1.53`. Kept, as is `text`: rules name a back end several times, and an address is slow to print."""
        return str(self.ip)

    @cached_property
    def text(self) -> str:
        """`10.244.1.53:80`."""
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class ServicePortView:
    """A service port as a proxy sees it: `name` is what comments and chain names are made of; `protocol` in lower case."""

    name: str
    protocol: str
    service: Service
    port: ServicePort
    cluster_ip: IPv4Address
    backends: tuple[Backend, ...]


def view(services: Iterable[Service], endpoints: Iterable[Endpoints]) -> list[ServicePortView]:
    """Every port of every service that a proxy serves, sorted by name and protocol.

    Headless and ExternalName services are left out, as in v1.7: they have no cluster IP to serve.
    """
    by_service = {(one.namespace, one.name): one for one in endpoints}
    views = []
    for service in services:
        if service.headless or service.cluster_ip is None or service.type == "ExternalName":
            continue
        backends = _backends(by_service.get((service.namespace, service.name)))
        for port in service.ports:
            key = (port.name, port.protocol)
            name = names.port_name(service.namespace, service.name, port.name)
            views.append(ServicePortView(name, port.protocol.lower(), service, port, service.cluster_ip, backends.get(key, ())))
    return sorted(views, key=lambda one: (one.name, one.protocol))


def _backends(endpoints: Endpoints | None) -> Mapping[tuple[str, str], tuple[Backend, ...]]:
    """(port name, protocol) -> back ends, in the order of the Endpoints object, each once."""
    found: dict[tuple[str, str], dict[Backend, None]] = {}
    for subset in endpoints.subsets if endpoints else ():
        for port in subset.ports:
            entry = found.setdefault((port.name, port.protocol), {})
            for address in subset.addresses:
                entry[Backend(address.ip, port.port, address.node_name)] = None
    return {key: tuple(backends) for key, backends in found.items()}
