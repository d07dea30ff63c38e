"""Links, addresses and routes by netlink: one operation of a plan, one request.

A netlink socket belongs to the network namespace it was opened in, whoever uses it: each machine's is opened once, inside, and kept
while a plan is being applied.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import BootError
from lab.fabric import rtnetlink, signals
from lab.fabric.namespace import Namespace
from lab.plan import operations as op

if TYPE_CHECKING:  # a third of a boot's memory, which every daemon that it forks would carry
    from pyroute2 import IPRoute


class Sockets:
    """The netlink sockets of each machine, opened on demand: pyroute2's for what is rare, a bare one for what every pod needs."""

    def __init__(self) -> None:
        self._open: dict[str, IPRoute] = {}
        self._bare: dict[str, rtnetlink.Channel] = {}
        self._indexes: dict[tuple[str, str], int] = {}

    def of(self, namespace: Namespace) -> IPRoute:
        """pyroute2's socket in `namespace`."""
        from pyroute2 import IPRoute

        if namespace.name not in self._open:
            with namespace.entered(), signals.held():  # half a socket complains on its way out
                self._open[namespace.name] = IPRoute()
        return self._open[namespace.name]

    def bare(self, namespace: Namespace) -> rtnetlink.Channel:
        """The bare socket in `namespace`."""
        if namespace.name not in self._bare:
            with namespace.entered():
                self._bare[namespace.name] = rtnetlink.Channel()
        return self._bare[namespace.name]

    def do(self, namespace: Namespace, *requests: bytes, harmless: int = 0) -> None:
        """Have the kernel do these in `namespace`. Raises OSError for the first that it refuses, unless with the errno `harmless`."""
        for number in self.bare(namespace).transact(requests):
            if number not in (0, harmless):
                raise rtnetlink.refused(number)

    def index(self, namespace: Namespace, name: str) -> int:
        """The index of the interface `name`. Raises BootError when there is none."""
        key = (namespace.name, name)
        if key not in self._indexes:
            try:
                self._indexes[key] = self.bare(namespace).index(name)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                raise BootError(f"{namespace.name} has no interface {name}") from error
        return self._indexes[key]

    def drop(self, namespace: Namespace, name: str) -> None:
        """Delete an interface, if it is there; its peer goes with it. The next one of this name has another index."""
        self._indexes.pop((namespace.name, name), None)
        self.do(namespace, rtnetlink.delete_link(name), harmless=errno.ENODEV)

    def forget(self, name: str) -> None:
        """Close the sockets of one machine."""
        self._indexes = {key: index for key, index in self._indexes.items() if key[0] != name}
        for opened in (self._open.pop(name, None), self._bare.pop(name, None)):
            if opened is not None:
                opened.close()

    def close(self) -> None:
        """Close them all."""
        for name in {*self._open, *self._bare}:
            self.forget(name)


def add_wire(sockets: Sockets, wire: op.AddWire, a: Namespace, b: Namespace) -> None:
    """A veth pair, one end in each namespace, both up."""
    pair = rtnetlink.add_veth(wire.a.name, wire.b.name, b.fds["net"], wire.a.mac or "", wire.b.mac or "", wire.mtu, wire.gso)
    sockets.do(a, pair, rtnetlink.set_up(wire.a.name))
    sockets.do(b, rtnetlink.set_up(wire.b.name))
    for namespace, end in ((a, wire.a), (b, wire.b)):
        _let_send(sockets, namespace, end.name)
        sockets.index(namespace, end.name)


def _let_send(sockets: Sockets, namespace: Namespace, name: str) -> None:
    """Have an interface that has just got its carrier ready to send.

    By itself it is some time later: the kernel's link watch sees to it, for a bridge as rarely as once a second. What is sent before is
    lost, and a neighbour that was asked for is asked for again only after a second. Since Linux 6.9 a question about the one interface
    (rtnl_getlink in net/core/rtnetlink.c) first does what the watch has left undone; on older ones it changes nothing.
    """
    sockets.bare(namespace).index(name)


def add_bridge(sockets: Sockets, operation: op.AddBridge, namespace: Namespace) -> None:
    """A bridge, up, that forwards at once: no spanning tree, no forwarding delay."""
    name = operation.bridge.name
    sockets.do(namespace, rtnetlink.add_bridge(name, operation.bridge.mac))
    index = sockets.index(namespace, name)
    # The MTU is set afterwards: a bridge that is told one at its birth, as opposed to later, may still follow its ports.
    sockets.do(namespace, rtnetlink.bring_up(index, operation.mtu) if operation.mtu else rtnetlink.set_up(name))


def add_port(sockets: Sockets, operation: op.AddPort, namespace: Namespace) -> None:
    """Put an interface on a bridge, perhaps in hairpin mode."""
    index, bridge = sockets.index(namespace, operation.interface.name), sockets.index(namespace, operation.bridge)
    sockets.do(namespace, rtnetlink.set_master(index, bridge), *([rtnetlink.set_hairpin(index)] if operation.hairpin else []))
    _let_send(sockets, namespace, operation.bridge)  # the first port brings its carrier


def set_address(sockets: Sockets, operation: op.SetAddress, namespace: Namespace) -> None:
    """An address with its broadcast address."""
    sockets.do(namespace, rtnetlink.add_address(sockets.index(namespace, operation.interface.name), operation.address))


def add_route(sockets: Sockets, operation: op.AddRoute, namespace: Namespace) -> None:
    """A route in the main table. Raises OSError ENETUNREACH when the gateway is on no link of the machine."""
    link = sockets.index(namespace, operation.dev) if operation.dev else 0
    # Its origin is `boot`, as iproute2 marks what a person adds, so that `ip route` shows no word about it.
    sockets.do(namespace, rtnetlink.put_route(operation.destination, operation.via, link, replace=False))


def add_neighbours(sockets: Sockets, operation: op.AddNeighbours, namespace: Namespace) -> None:
    """Neighbours that the kernel need not ask for."""
    index = sockets.index(namespace, operation.interface.name)
    sockets.do(namespace, *(rtnetlink.put_neighbour(index, address, mac) for address, mac in operation.neighbours))


def forget_neighbour(sockets: Sockets, namespace: Namespace, name: str, address: IPv4Address) -> None:
    """Take away what a machine was told of a neighbour, if it is there: who sends to the address asks, and hears that nobody has it."""
    sockets.do(namespace, rtnetlink.delete_neighbour(sockets.index(namespace, name), address), harmless=errno.ENOENT)


def set_sysctl(operation: op.SetSysctl, namespace: Namespace) -> None:
    """Write below /proc/sys as the machine sees it: net/ is per network namespace. Raises BootError when the kernel has no such key."""
    with namespace.entered():
        write_sysctl(operation)


def write_sysctl(operation: op.SetSysctl) -> None:
    """The same, by a thread that is in the machine."""
    try:
        Path("/proc/sys", operation.key).write_text(operation.value, encoding="ascii")
    except FileNotFoundError as error:
        raise BootError(f"{operation.host}: this kernel has no setting {operation.key}; `lab doctor` tells more") from error


@contextmanager
def refusals() -> Iterator[None]:
    """What the kernel refuses pyroute2 in the block comes out as OSError, like everything else that it refuses."""
    from pyroute2.netlink.exceptions import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise rtnetlink.refused(error.code) from error


@contextmanager
def doing(operation: op.Operation) -> Iterator[None]:
    """What the kernel refuses in the block comes out as BootError, which names the command that the operation stands for."""
    try:
        yield
    except OSError as error:
        raise BootError(f"`{operation}` failed: {explain(error)} ({operation.reason})") from error


def explain(error: OSError) -> str:
    """What the kernel has refused, in words."""
    name = errno.errorcode.get(error.errno or 0)
    return f"{name}, {error.strerror}" if name and not error.filename else str(error)
