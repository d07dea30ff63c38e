"""Leases: which node owns which subnet, as values, as etcd keys and values, and as the changes between two moments. Pure.

etcd holds one key a node, <prefix>/subnets/10.244.1.0-24, with the node's address in its value. A lease whose key has no TTL is a
reservation: an operator wrote it, and it never runs out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

TTL = 86400
"""Seconds that a lease lives without being renewed: flannel's 24 hours."""

_KEY = re.compile(r"(\d+\.\d+\.\d+\.\d+)-(\d+)\Z", re.ASCII)
_NAMELESS = frozenset({"", "udp", "alloc", "aws-vpc", "gce"})
"""Backends that flannel leaves out of the value: BackendType has no text for them."""


@dataclass(frozen=True)
class Attrs:
    """What a node publishes about itself.

    public_ip      where the other nodes send its packets
    backend_type   as it stands in the value; empty for the backends that write none (udp)
    backend_data   JSON text that the backend alone understands (vxlan: its VtepMAC); empty for none
    """

    public_ip: IPv4Address
    backend_type: str = ""
    backend_data: str = ""


@dataclass(frozen=True)
class Lease:
    """A subnet and its owner. `etcd_lease` 0 marks a reservation; `mod_revision` is the key's last change, 0 if unknown."""

    subnet: IPv4Network
    attrs: Attrs
    etcd_lease: int = 0
    mod_revision: int = 0

    @property
    def reserved(self) -> bool:
        """Whether the lease never runs out."""
        return self.etcd_lease == 0


@dataclass(frozen=True)
class LeaseEvent:
    """A lease came, changed (also "added", with the new value) or went."""

    kind: Literal["added", "removed"]
    lease: Lease


def key_of(subnet: IPv4Network) -> str:
    """The last part of a subnet's etcd key: 10.244.1.0-24."""
    return f"{subnet.network_address}-{subnet.prefixlen}"


def parse_key(key: str) -> IPv4Network | None:
    """The subnet that an etcd key names, None when it names none. A prefix of directories before it is ignored."""
    found = _KEY.search(key)
    if not found:
        return None
    try:
        return IPv4Network(f"{found[1]}/{found[2]}")
    except ValueError:
        return None


def encode(attrs: Attrs) -> str:
    """The etcd value of a lease, byte for byte as flannel's Go encoder writes it."""
    fields: dict[str, object] = {"PublicIP": str(attrs.public_ip)}
    if attrs.backend_type not in _NAMELESS:
        fields["BackendType"] = attrs.backend_type
    if attrs.backend_data:
        fields["BackendData"] = json.loads(attrs.backend_data)
    return json.dumps(fields, separators=(",", ":"))


def decode(value: str) -> Attrs | None:
    """What an etcd value says, None when it is no lease. Never raises, whatever the text."""
    try:
        fields = json.loads(value)
        data = fields.get("BackendData")
        kind = fields.get("BackendType", "")
        kind = "" if kind is None else kind
        address = fields["PublicIP"]
        if not isinstance(address, str) or not isinstance(kind, str):
            return None
        return Attrs(IPv4Address(address), kind, "" if data is None else json.dumps(data, separators=(",", ":")))
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None


def reservation(
    subnet: IPv4Network, public_ip: IPv4Address, backend_type: str = "udp", prefix: str = "/coreos.com/network"
) -> tuple[str, str]:
    """The etcd key and value that reserve a subnet for a node: written without TTL before its flanneld starts.

    flanneld finds the lease by its own public IP and takes it over, and the key stays without TTL.
    """
    return subnet_key(prefix, subnet), encode(Attrs(public_ip, backend_type))


def config_key(prefix: str) -> str:
    """Where the network configuration stands."""
    return f"{prefix.rstrip('/')}/config"


def subnets_key(prefix: str) -> str:
    """What all lease keys begin with."""
    return f"{prefix.rstrip('/')}/subnets/"


def subnet_key(prefix: str, subnet: IPv4Network) -> str:
    """The full etcd key of one subnet."""
    return subnets_key(prefix) + key_of(subnet)


def diff(old: Mapping[IPv4Network, Lease], new: Mapping[IPv4Network, Lease]) -> tuple[LeaseEvent, ...]:
    """What happened between two sets of leases: the removals, then the additions and changes, each in subnet order.

    A renewed lease with the same attributes is no event.
    """
    gone = [LeaseEvent("removed", old[subnet]) for subnet in sorted(old) if subnet not in new]
    came = [
        LeaseEvent("added", new[subnet]) for subnet in sorted(new) if subnet not in old or old[subnet].attrs != new[subnet].attrs
    ]
    return (*gone, *came)


def by_subnet(leases: Iterable[Lease]) -> dict[IPv4Network, Lease]:
    """The leases under their subnets."""
    return {lease.subnet: lease for lease in leases}
