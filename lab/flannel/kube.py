"""flannel's Kubernetes subnet manager as data: a node's annotations, the lease that they are, and what changes of nodes mean. Pure.

There is no registry here and no race: the controller manager has given each node its spec.podCIDR, and flanneld only publishes how the
node is reached. Such a lease never runs out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import Any

from lab.errors import LabError, UsageError
from lab.flannel.lease import Attrs, Lease, LeaseEvent

Node = Mapping[str, Any]
"""A Node object as JSON."""

_PREFIX = "flannel.alpha.coreos.com/"
DATA = _PREFIX + "backend-data"
TYPE = _PREFIX + "backend-type"
PUBLIC_IP = _PREFIX + "public-ip"
OVERWRITE = _PREFIX + "public-ip-overwrite"
MANAGED = _PREFIX + "kube-subnet-manager"


class NodeTrouble(LabError):
    """A Node says no subnet, or nothing that flannel can use."""


def pod_of(environ: Mapping[str, str]) -> tuple[str, str]:
    """The namespace and name of the pod that flanneld runs in, from POD_NAMESPACE and POD_NAME. Raises UsageError."""
    name, namespace = environ.get("POD_NAME", ""), environ.get("POD_NAMESPACE", "")
    if not name or not namespace:
        raise UsageError(
            "Failed to create SubnetManager: env variables POD_NAME and POD_NAMESPACE must be set; "
            "or set NODE_NAME to the name of this node's Node object"
        )
    return namespace, name


def subnet_of(node: Node) -> IPv4Network:
    """The node's spec.podCIDR. Raises NodeTrouble."""
    name, text = node["metadata"]["name"], (node.get("spec") or {}).get("podCIDR")
    if not text:
        raise NodeTrouble(f'node "{name}" pod cidr not assigned')
    try:
        return IPv4Network(text if isinstance(text, str) else "", strict=False)
    except ValueError as error:
        raise NodeTrouble(f"node {_quoted(name)}: invalid CIDR address: {text!s:.40}") from error


def annotations_of(node: Node) -> dict[str, str]:
    """All annotations of a node that are text."""
    found = (node.get("metadata") or {}).get("annotations")
    return {key: value for key, value in found.items() if isinstance(value, str)} if isinstance(found, Mapping) else {}


def wanted(node: Node, attrs: Attrs) -> dict[str, str]:
    """The annotations that publish `attrs` on this node. An operator's public-ip-overwrite goes before flanneld's own choice."""
    overwrite = annotations_of(node).get(OVERWRITE, "")
    if overwrite:
        try:
            IPv4Address(overwrite)
        except AddressValueError as error:
            text = f"annotation {OVERWRITE} is no IPv4 address: {overwrite[:40]}"
            raise NodeTrouble(f"node {_quoted(node['metadata']['name'])}: {text}") from error
    return {
        DATA: attrs.backend_data or "null",
        TYPE: attrs.backend_type,
        PUBLIC_IP: overwrite or str(attrs.public_ip),
        MANAGED: "true",
    }


def missing(node: Node, attrs: Attrs) -> dict[str, str]:
    """Those annotations that the node does not have yet; nothing after a restart of flanneld that changed nothing."""
    there = annotations_of(node)
    return {key: value for key, value in wanted(node, attrs).items() if there.get(key) != value}


def managed(node: Node) -> bool:
    """Whether a flanneld with this subnet manager has published the node."""
    return annotations_of(node).get(MANAGED) == "true"


def lease_of(node: Node) -> Lease:
    """What a node has published. Raises NodeTrouble, whatever stands in its annotations."""
    given = annotations_of(node)
    subnet = subnet_of(node)
    try:
        data = json.loads(given.get(DATA) or "null")
        public_ip = IPv4Address(given.get(PUBLIC_IP, ""))
    except (ValueError, RecursionError) as error:
        raise NodeTrouble(f"node {_quoted(node['metadata']['name'])}: bad annotations: {error}") from error
    return Lease(subnet, Attrs(public_ip, given.get(TYPE, ""), "" if data is None else json.dumps(data, separators=(",", ":"))))


class OtherNodes:
    """Turns changes of Node objects into events of leases. The own node is never among them: nothing happens to its subnet."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._known: dict[str, Lease] = {}

    def follow(self, what: str, node: Node) -> tuple[LeaseEvent, ...]:
        """One change, ADDED, MODIFIED or DELETED. Heartbeats, and nodes that no flanneld has published, are no events. Raises NodeTrouble.

        A node that got another subnet is a removal and an addition, for backends know a lease by its subnet.
        """
        name = node["metadata"]["name"]
        if name == self._own:
            return ()
        old = self._known.get(name)
        if what == "DELETED":
            self._known.pop(name, None)
            return () if old is None else (LeaseEvent("removed", old),)
        if not managed(node):
            return ()
        new = lease_of(node)
        if new == old:
            return ()
        self._known[name] = new
        came = LeaseEvent("added", new)
        return (came,) if old is None or old.subnet == new.subnet else (LeaseEvent("removed", old), came)


def _quoted(name: str) -> str:
    return f'"{name}"'
