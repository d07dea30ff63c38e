"""What `TO[:PORT]` of a trace means in a cluster: a service, a pod, a machine or an address, and by which protocol it is probed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from lab.errors import UsageError
from lab.model.objects import Service
from lab.observe.trace.probe import Protocol

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster


@dataclass(frozen=True)
class Target:
    """Where a probe goes. `port` is 0 for ICMP."""

    address: IPv4Address
    port: int
    protocol: Protocol


def find(cluster: Cluster, words: str, protocol: Protocol | None = None) -> Target:
    """The target that a user's words name: `[svc/|pod/|node/]NAME[.NAMESPACE][:PORT]`, a name's beginning, or `ADDRESS[:PORT]`.

    protocol   None: TCP where there is a port, or the service's own; ICMP where there is none
    Of a service without a port its first one is meant. Raises UsageError for what is not there, and for a missing port.
    """
    name, colon, number = words.rpartition(":") if ":" in words else (words, "", "")
    if colon and not (number.isdigit() and 0 < int(number) < 65536):
        raise UsageError(f"`{number}` in `{words}` is no port: say a number from 1 to 65535")
    port = int(number) if number else 0
    if protocol == "icmp" and port:
        raise UsageError(f"ICMP has no ports: say `{name}` instead of `{words}`, or leave out --icmp")
    address = _address(name)
    if address is not None:
        return _target(address, port, protocol, name)
    kind, _, bare = name.rpartition("/")
    if kind in ("", "svc", "service"):
        service = _service(cluster.services, bare)
        if service is not None:
            return _of_service(service, port, protocol)
    if kind in ("svc", "service"):
        raise UsageError(f"no service is named {bare!r}; there are: {', '.join(sorted(one.name for one in cluster.services)) or 'none'}")
    return _target(machine_address(cluster, bare), port, protocol, name)


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _service(services: Sequence[Service], name: str) -> Service | None:
    bare, _, namespace = name.partition(".")
    fitting = [one for one in services if one.name == bare and (not namespace or one.namespace == namespace)]
    return next((one for one in fitting if one.namespace == "default"), fitting[0] if fitting else None)


def _of_service(service: Service, port: int, protocol: Protocol | None) -> Target:
    if service.cluster_ip is None or service.headless:
        raise UsageError(f"the service {service.name} has no cluster IP to send a packet to; trace to one of its pods instead")
    if protocol == "icmp":
        return Target(service.cluster_ip, 0, "icmp")
    own = {one.port: one.protocol.lower() for one in service.ports}
    chosen = port or next(iter(own))
    found: Protocol = "udp" if own.get(chosen) == "udp" else "tcp"
    return Target(service.cluster_ip, chosen, protocol or found)


def machine_address(cluster: Cluster, name: str) -> IPv4Address:
    """The address of a pod or machine, by its name or the beginning of exactly one. Raises UsageError when there is none."""
    from lab.cluster import control

    pods = cluster.pod_objects
    if name in pods and pods[name].pod_ip is not None:
        return IPv4Address(str(pods[name].pod_ip))
    cluster.pod_hosts.refresh()
    host = cluster.host(control.resolve(cluster, name))
    address = next((interface.ip for interface in host.intfList() if interface.ip and interface.name != "lo"), None)
    if address is None:
        raise UsageError(f"{host.name} has no address to send a packet to")
    return IPv4Address(address)


def _target(address: IPv4Address, port: int, protocol: Protocol | None, name: str) -> Target:
    chosen: Protocol = protocol or ("tcp" if port else "icmp")
    if chosen != "icmp" and not port:
        raise UsageError(f"say to which port: {name}:80")
    return Target(address, port, chosen)
