"""Pins: the names, nodes and addresses that a scenario wants its pods to have, so that a text written before the run stays true."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.errors import UsageError


@dataclass(frozen=True)
class Pin:
    """One pod of a deployment, or a pod of the manifests, as it shall be.

    name    the pod's name
    owner   name of the deployment that it belongs to; empty: the pod of that name in the manifests
    node    node to run on; empty: the scheduler chooses
    address pod IP, text for scenarios' convenience; empty: the next free one of the node's subnet
    """

    name: str
    owner: str = ""
    node: str = ""
    address: str = ""

    @property
    def pod_ip(self) -> IPv4Address | None:
        """The address. Raises UsageError when the text is none."""
        try:
            return IPv4Address(self.address) if self.address else None
        except ValueError:
            raise UsageError(f"pin {self.name}: {self.address!r} is no IPv4 address") from None
