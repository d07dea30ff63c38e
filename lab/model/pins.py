"""Pins: the names, nodes and addresses that a scenario wants its pods to have, so that a text written before the run stays true."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address


@dataclass(frozen=True)
class Pin:
    """One pod of a deployment, or a pod of the manifests, as it shall be.

    name    the pod's name
    owner   name of the deployment that it belongs to; empty: the pod of that name in the manifests
    node    node to run on; empty: the scheduler chooses
    address pod IP; None: the next free one of the node's subnet
    """

    name: str
    owner: str = ""
    node: str = ""
    address: IPv4Address | None = None
