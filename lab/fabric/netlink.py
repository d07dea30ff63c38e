"""Links, addresses and routes by netlink: one operation of a plan, one request.

A netlink socket belongs to the network namespace it was opened in, whoever uses it: each machine's is opened once, inside, and kept
while a plan is being applied.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from lab.errors import BootError
from lab.fabric import signals
from lab.fabric.namespace import Namespace
from lab.plan import operations as op


class Sockets:
    """One netlink socket a machine, opened on demand."""

    def __init__(self) -> None:
        self._open: dict[str, IPRoute] = {}
        self._indexes: dict[tuple[str, str], int] = {}

    def of(self, namespace: Namespace) -> IPRoute:
        """The socket in `namespace`."""
        if namespace.name not in self._open:
            with namespace.entered(), signals.held():  # half a socket complains on its way out
                self._open[namespace.name] = IPRoute()
        return self._open[namespace.name]

    def index(self, namespace: Namespace, name: str) -> int:
        """The index of the interface `name`. Raises BootError when there is none."""
        key = (namespace.name, name)
        if key not in self._indexes:
            found = self.of(namespace).link_lookup(ifname=name)
            if not found:
                raise BootError(f"{namespace.name} has no interface {name}")
            self._indexes[key] = found[0]
        return self._indexes[key]

    def drop(self, namespace: Namespace, name: str) -> None:
        """Delete an interface, if it is there; its peer goes with it. The next one of this name has another index."""
        self._indexes.pop((namespace.name, name), None)
        for index in self.of(namespace).link_lookup(ifname=name):
            self.of(namespace).link("del", index=index)

    def forget(self, name: str) -> None:
        """Close the socket of one machine."""
        self._indexes = {key: index for key, index in self._indexes.items() if key[0] != name}
        socket = self._open.pop(name, None)
        if socket is not None:
            socket.close()

    def close(self) -> None:
        """Close them all."""
        for name in list(self._open):
            self.forget(name)


def add_wire(sockets: Sockets, wire: op.AddWire, a: Namespace, b: Namespace) -> None:
    """A veth pair, one end in each namespace, both up."""
    mtu: dict[str, Any] = {"mtu": wire.mtu} if wire.mtu else {}
    peer: dict[str, Any] = {"ifname": wire.b.name, "net_ns_fd": b.fds["net"], **mtu}
    if wire.b.mac:
        peer["address"] = wire.b.mac
    request: dict[str, Any] = {"ifname": wire.a.name, "kind": "veth", "peer": peer, **mtu}
    if wire.a.mac:
        request["address"] = wire.a.mac
    if wire.gso:
        request["gso_max_size"] = wire.gso
    sockets.of(a).link("add", **request)
    ends = [(sockets.of(namespace), sockets.index(namespace, end.name)) for namespace, end in ((a, wire.a), (b, wire.b))]
    for netlink, index in ends:
        netlink.link("set", index=index, state="up")
    for netlink, index in ends:
        _let_send(netlink, index)


def _let_send(netlink: IPRoute, index: int) -> None:
    """Have an interface that has just got its carrier ready to send.

    By itself it is some time later: the kernel's link watch sees to it, for a bridge as rarely as once a second. What is sent before is
    lost, and a neighbour that was asked for is asked for again only after a second. Since Linux 6.9 a question about the one interface
    (rtnl_getlink in net/core/rtnetlink.c) first does what the watch has left undone; on older ones it changes nothing.
    """
    netlink.link("get", index=index)


def add_bridge(sockets: Sockets, operation: op.AddBridge, namespace: Namespace) -> None:
    """A bridge, up, that forwards at once: no spanning tree, no forwarding delay."""
    request: dict[str, Any] = {"ifname": operation.bridge.name, "kind": "bridge"}
    if operation.bridge.mac:
        request["address"] = operation.bridge.mac
    netlink = sockets.of(namespace)
    netlink.link("add", **request)
    index = sockets.index(namespace, operation.bridge.name)
    # The MTU is set afterwards: a bridge that is told one at its birth, as opposed to later, may still follow its ports.
    settings: dict[str, Any] = {"mtu": operation.mtu} if operation.mtu else {}
    netlink.link("set", index=index, state="up", **settings)


def add_port(sockets: Sockets, operation: op.AddPort, namespace: Namespace) -> None:
    """Put an interface on a bridge; IFLA_BRPORT_MODE is hairpin mode."""
    netlink = sockets.of(namespace)
    index, bridge = sockets.index(namespace, operation.interface.name), sockets.index(namespace, operation.bridge)
    netlink.link("set", index=index, master=bridge)
    if operation.hairpin:
        netlink.brport("set", index=index, mode=1)
    _let_send(netlink, bridge)  # the first port brings its carrier


def set_address(sockets: Sockets, operation: op.SetAddress, namespace: Namespace) -> None:
    """An address with its broadcast address; /31 and /32 have none (RFC 3021)."""
    address = operation.address
    request: dict[str, Any] = {"address": str(address.ip), "prefixlen": address.network.prefixlen}
    if address.network.prefixlen < 31:
        request["broadcast"] = str(address.network.broadcast_address)
    sockets.of(namespace).addr("add", index=sockets.index(namespace, operation.interface.name), **request)


def add_route(sockets: Sockets, operation: op.AddRoute, namespace: Namespace) -> None:
    """A route in the main table. Raises NetlinkError ENETUNREACH when the gateway is on no link of the machine."""
    request: dict[str, Any] = {"dst": str(operation.destination)}
    if operation.via is not None:
        request["gateway"] = str(operation.via)
    if operation.dev:
        request["oif"] = sockets.index(namespace, operation.dev)
    if operation.via is None:
        request["scope"] = "link"
    request["proto"] = "boot"  # as iproute2 marks what a person adds, so that `ip route` shows no word about it
    sockets.of(namespace).route("add", **request)


def set_sysctl(operation: op.SetSysctl, namespace: Namespace) -> None:
    """Write below /proc/sys as the machine sees it: net/ is per network namespace. Raises BootError when the kernel has no such key."""
    path = Path("/proc/sys") / operation.key
    with namespace.entered():
        try:
            path.write_text(operation.value, encoding="ascii")
        except FileNotFoundError as error:
            raise BootError(f"{operation.host}: this kernel has no setting {operation.key}; `lab doctor` tells more") from error


def explain(error: NetlinkError) -> str:
    """A netlink error in words."""
    with suppress(KeyError):
        return f"{errno.errorcode[error.code]}, {os.strerror(error.code)}"
    return str(error)
