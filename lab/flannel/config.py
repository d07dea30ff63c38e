"""The network configuration that stands in etcd under <prefix>/config: read, filled with defaults and checked as flannel v0.8 does. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Any

from lab.errors import InputError, Problem

UDP_PORT = 8285
"""Default of Backend.Port for the udp backend."""

_ADDRESS_BITS = 32
_LONGEST_SUBNET = 30
"""A subnet needs its own address for the tunnel device, one for the bridge and one for a pod."""


@dataclass(frozen=True)
class Config:
    """One network.

    network                  the pods' network, 10.244.0.0/16
    subnet_len               prefix length of each node's subnet
    subnet_min, subnet_max   first and last subnet that may be leased, by their network addresses
    backend_type             how packets travel: udp, vxlan, ...
    backend                  the Backend object as it stands in the file, keys in lower case, for the backend to read its options from
    """

    network: IPv4Network
    subnet_len: int
    subnet_min: IPv4Address
    subnet_max: IPv4Address
    backend_type: str = "udp"
    backend: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def fits(self, subnet: IPv4Network) -> bool:
        """Whether `subnet` could have been leased under this configuration."""
        return subnet.prefixlen == self.subnet_len and self.subnet_min <= subnet.network_address <= self.subnet_max


def parse(text: str, source: str = "the network config") -> Config:
    """Read a configuration from its JSON text. Like Go's decoder it ignores the case of field names and fields that it does not know.

    source   how error messages name the text, such as its etcd key
    Raises InputError with every problem, in flannel's words where flannel has any.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError([Problem(source, 0, "", f"is not JSON: {error}; write an object such as {_EXAMPLE}")]) from error
    if not isinstance(data, dict):
        raise InputError([Problem(source, 0, "", f"is not a JSON object; write one such as {_EXAMPLE}")])
    reader = _Reader(source, {key.lower(): value for key, value in data.items()})
    config = reader.config()
    if config is None or reader.problems:
        raise InputError(reader.problems)
    return config


_EXAMPLE = '{"Network": "10.244.0.0/16", "Backend": {"Type": "udp"}}'


class _Reader:
    """Reads field by field and collects what is wrong."""

    def __init__(self, source: str, fields: dict[str, Any]) -> None:
        self.source = source
        self.fields = fields
        self.problems: list[Problem] = []

    def config(self) -> Config | None:
        network = self._network()
        backend = self._backend()
        if network is None:
            return None
        length = self._length(network)
        if length is None:
            return None
        if length == network.prefixlen and not self.fields.get("subnetmin"):
            text = f"{network} is a single /{length} subnet, and flannel leaves out the first"
            self._wrong("SubnetLen", f"{text}; give a larger SubnetLen, or set SubnetMin to {network.network_address}")
            return None
        size = 1 << (_ADDRESS_BITS - length)
        first = int(network.network_address)
        # 10.244.0.0 on an interface would collide with the network's own address, so flannel skips the first subnet by default.
        low = self._bound("SubnetMin", network, length, first + size if network.prefixlen < length else first)
        high = self._bound("SubnetMax", network, length, first + network.num_addresses - size)
        if low is None or high is None:
            return None
        if low > high:
            self._wrong(
                "SubnetMax", f"no subnet lies between SubnetMin {low} and SubnetMax {high}; widen the range or the Network"
            )
        return Config(network, length, low, high, str(backend.get("type", "udp")), MappingProxyType(backend))

    def _wrong(self, name: str, text: str) -> None:
        self.problems.append(Problem(self.source, 0, name, text))

    def _network(self) -> IPv4Network | None:
        value = self.fields.get("network")
        if value is None:
            self._wrong("Network", "is missing; name the pods' network, such as 10.244.0.0/16")
            return None
        try:
            address, length = value.split("/") if isinstance(value, str) else ("", "")
            return IPv4Network((address, int(length)), strict=False)
        except ValueError:
            self._wrong("Network", f"invalid CIDR address: {_shown(value)}; write it like 10.244.0.0/16")
            return None

    def _length(self, network: IPv4Network) -> int | None:
        value = self.fields.get("subnetlen") or 0
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _ADDRESS_BITS:
            self._wrong("SubnetLen", f"{_shown(value)} is not a prefix length; give a whole number up to {_LONGEST_SUBNET}")
            return None
        if not value:
            value = 24 if network.prefixlen < 24 else network.prefixlen + 1
        elif value < network.prefixlen:
            text = f"HostSubnet is larger network than Network: /{value} does not fit into {network}; give at least {network.prefixlen + 1}"
            self._wrong("SubnetLen", text)
            return None
        if value > _LONGEST_SUBNET:
            text = f"a /{value} subnet has no room for a tunnel device, a bridge and a pod; use at most /{_LONGEST_SUBNET}"
            self._wrong("SubnetLen" if self.fields.get("subnetlen") else "Network", text)
            return None
        return value

    def _bound(self, name: str, network: IPv4Network, length: int, default: int) -> IPv4Address | None:
        value = self.fields.get(name.lower())
        if value is None or value == "":
            return IPv4Address(default)
        try:
            address = IPv4Address(value if isinstance(value, str) else "")
        except ValueError:
            self._wrong(name, f"invalid IP address: {_shown(value)}; write it like {network.network_address}")
            return None
        if address not in network:
            self._wrong(name, f"{name} is not in the range of the Network: {address} is outside {network}")
            return None
        aligned = IPv4Network((int(address), length), strict=False).network_address
        if address != aligned:
            self._wrong(name, f"{name} is not on a SubnetLen boundary: {address}; the /{length} around it begins at {aligned}")
            return None
        return address

    def _backend(self) -> dict[str, Any]:
        value = self.fields.get("backend")
        if value is None:
            return {"type": "udp"}
        if not isinstance(value, dict):
            self._wrong("Backend", f'{_shown(value)} is not an object; write it like {{"Type": "udp"}}')
            return {}
        backend = {key.lower(): item for key, item in value.items()}
        if not isinstance(backend.get("type"), str) or not backend["type"]:
            self._wrong("Backend.Type", 'is missing; name a backend, such as "udp"')
        port = backend.get("port")
        if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535):
            self._wrong("Backend.Port", f"{_shown(port)} is not a port; give a number from 1 to 65535")
        return backend


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
