"""Cluster IPs and node ports: which are taken, who gets which. No etcd: what is taken is read off the services there are."""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from lab.master.api import status
from lab.master.api.status import Fault
from lab.master.apiserver.cache import Cache
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.watchers import Object

_ON_NODES = ("NodePort", "LoadBalancer")
_TRIES = 1000


class Addresses:
    """Gives services their addresses. `cache` holds the services."""

    def __init__(self, cache: Cache, network: IPv4Network, ports: range) -> None:
        self.cache, self.network, self.ports = cache, network, ports

    def allocated(self, item: Object, old: Object | None) -> Object:
        """A service with its cluster IP and node ports: those it names, else those of `old`, else free ones by chance.

        Raises Refused for one that is taken or outside of its range, in the words of the real apiserver.
        """
        spec = dict(item.get("spec") or {})
        before = (old or {}).get("spec") or {}
        others = [other for _, other in self.cache.below("/registry/services/specs/") if not _same(other, item)]
        faults: list[Fault] = []
        kind = spec.get("type") or "ClusterIP"
        if kind == "ExternalName":
            spec.pop("clusterIP", None)
            spec.pop("clusterIPs", None)
        else:
            self._cluster_ip(spec, before, others, faults)
        spec["ports"] = self._node_ports(spec, before, others, faults, kind in _ON_NODES)
        if not spec["ports"]:
            del spec["ports"]
        if faults:
            raise Refused(status.invalid("Service", item["metadata"].get("name") or "", faults))
        return item | {"spec": spec}

    def _cluster_ip(self, spec: Object, before: Object, others: list[Object], faults: list[Fault]) -> None:
        wanted = spec.get("clusterIP") or before.get("clusterIP") or ""
        if wanted == "None" or wanted and wanted == before.get("clusterIP"):
            address = wanted
        else:
            taken = {(other.get("spec") or {}).get("clusterIP") for other in others}
            address = self._wanted(wanted, taken, faults) if wanted else self._free(taken, faults)
        if isinstance(address, str):
            spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _wanted(self, wanted: Any, taken: set[Any], faults: list[Fault]) -> str:
        try:
            address = IPv4Address(wanted)
        except (AddressValueError, ValueError):
            return str(wanted)  # validation says what is wrong with it
        if address not in self.network or address in (self.network.network_address, self.network.broadcast_address):
            why = f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {self.network}"
            faults.append(Fault("spec.clusterIPs", "FieldValueInvalid", why, [wanted]))
        elif wanted in taken:
            why = f"failed to allocate IP {wanted}: provided IP is already allocated"
            faults.append(Fault("spec.clusterIPs", "FieldValueInvalid", why, [wanted]))
        return str(wanted)

    def _free(self, taken: set[Any], faults: list[Fault]) -> str:
        """By chance, but never among the first sixteen, which people give by hand: `kubernetes` and the DNS server's are there."""
        first, count = int(self.network.network_address), self.network.num_addresses
        low = 16 if count > 64 else 1
        for _ in range(_TRIES):
            address = str(IPv4Address(first + random.randrange(low, count - 1)))
            if address not in taken:
                return address
        free = (str(IPv4Address(first + number)) for number in range(1, count - 1))
        found = next((address for address in free if address not in taken), "")
        if not found:
            faults.append(Fault("spec.clusterIPs", "FieldValueInvalid", "failed to allocate a serviceIP: range is full", []))
        return found

    def _node_ports(self, spec: Object, before: Object, others: list[Object], faults: list[Fault], needed: bool) -> list[Any]:
        taken = {(port.get("nodePort"), port.get("protocol") or "TCP") for other in others for port in _ports(other.get("spec") or {})}
        had = {(port.get("port"), port.get("protocol") or "TCP"): port.get("nodePort") for port in _ports(before)}
        ports: list[Any] = []
        for index, port in enumerate(spec.get("ports") or ()):
            if not isinstance(port, dict):
                ports.append(port)
                continue
            protocol = port.get("protocol") or "TCP"
            if needed:
                number = port.get("nodePort") or had.get((port.get("port"), protocol)) or self._free_port(taken, protocol)
                self._require_port(number, protocol, taken, index, faults)
                taken.add((number, protocol))
                port = port | {"nodePort": number}
            ports.append(port)
        return ports

    def _require_port(self, number: Any, protocol: str, taken: set[Any], index: int, faults: list[Fault]) -> None:
        field = f"spec.ports[{index}].nodePort"
        if not isinstance(number, int) or number not in self.ports:
            why = f"provided port is not in the valid range. The range of valid ports is {self.ports[0]}-{self.ports[-1]}"
            faults.append(Fault(field, "FieldValueInvalid", why, number))
        elif (number, protocol) in taken:
            faults.append(Fault(field, "FieldValueInvalid", "provided port is already allocated", number))

    def _free_port(self, taken: set[Any], protocol: str) -> int:
        free = [number for number in self.ports if (number, protocol) not in taken]
        return random.choice(free) if free else 0


def _ports(spec: Object) -> Iterable[Object]:
    return [port for port in spec.get("ports") or () if isinstance(port, dict)]


def _same(one: Object, other: Object) -> bool:
    return all(one["metadata"].get(key) == other["metadata"].get(key) for key in ("namespace", "name"))
