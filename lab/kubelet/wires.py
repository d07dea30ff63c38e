"""A pod's namespaces, wire, address and routes: made with the operations of lab.plan, which say how a person would do it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from lab.errors import BootError
from lab.fabric import kernel, netlink
from lab.fabric.namespace import Namespace, write_here
from lab.kubelet.records import Sandbox
from lab.plan import operations as op
from lab.plan.build import ANYWHERE, NO_ROOM, mac_of, veth_of

CNI_MAC, DOCKER_MAC, VETH_MAC = "0a:58", "02:42", "02:76"


def plan(sandbox: Sandbox, node: str) -> Iterator[op.Operation]:
    """What makes a pod's network, once it has its namespace. Pure. `node`: the name of the node's own namespaces."""
    pod, address, gateway = sandbox.key, IPv4Interface(sandbox.address), IPv4Address(sandbox.gateway)
    for scope in ("all", "default"):
        yield op.SetSysctl("no IPv6 noise in captures", pod, f"net/ipv6/conf/{scope}/disable_ipv6", "1")
    eth0 = op.Interface(pod, "eth0", mac_of(address.ip, DOCKER_MAC if sandbox.bridge == "docker0" else CNI_MAC))
    veth = op.Interface(node, veth_of(sandbox.namespace, sandbox.name), mac_of(address.ip, VETH_MAC))
    yield op.AddWire("the pod's eth0 and its other end on the node", eth0, veth, sandbox.mtu, sandbox.gso)
    yield op.AddPort("onto the bridge; hairpin lets a pod reach itself through a service", veth, sandbox.bridge, hairpin=True)
    yield op.SetAddress("the pod's address, from the node's subnet", eth0, address)
    yield op.AddRoute("everything else goes by way of the bridge", pod, ANYWHERE, via=gateway, dev="eth0")
    for route in sandbox.routes:
        yield op.AddRoute("the flannel plugin adds this one for the pod network", pod, IPv4Network(route), via=gateway, dev="eth0")
    if sandbox.neighbours:
        bridge = op.Interface(node, sandbox.bridge, mac_of(gateway, eth0.mac[:5]))
        yield op.AddNeighbours(NO_ROOM, eth0, ((gateway, bridge.mac),))
        yield op.AddNeighbours(NO_ROOM, bridge, ((address.ip, eth0.mac),))


def make(sandbox: Sandbox, node: Namespace, sockets: netlink.Sockets) -> Namespace:
    """A pod's namespaces, furnished. Raises BootError naming what the kernel refused."""
    try:
        made = Namespace.create(sandbox.hostname) if sandbox.bridge else _beside(node)
    except OSError as error:
        raise BootError(f"pod {sandbox.name}: cannot make its namespaces: {error}") from error
    made.name = sandbox.key
    try:
        operations = list(plan(sandbox, node.name)) if sandbox.bridge else []
        with made.entered():  # once for all: each time costs a dozen system calls
            for operation in operations:
                if isinstance(operation, op.SetSysctl):
                    netlink.write_sysctl(operation)
            for path, text in sandbox.files:
                write_here(path, text)
        for operation in operations:
            if not isinstance(operation, op.SetSysctl):
                with netlink.doing(operation):
                    _HANDLERS[type(operation)](sockets, operation, {made.name: made, node.name: node})
    except BaseException as error:
        unmake(sandbox, made, node, sockets)
        if isinstance(error, OSError):
            raise BootError(f"pod {sandbox.name}: {error}") from error
        raise
    sockets.forget(made.name)
    return made


def unmake(sandbox: Sandbox, made: Namespace, node: Namespace, sockets: netlink.Sockets) -> None:
    """Take a pod's wire away and let go of its namespaces."""
    sockets.forget(made.name)
    if sandbox.bridge:
        sockets.drop(node, veth_of(sandbox.namespace, sandbox.name))
    if sandbox.bridge and sandbox.neighbours:
        with contextlib.suppress(BootError, OSError):  # the bridge has gone, and its neighbours with it
            netlink.forget_neighbour(sockets, node, sandbox.bridge, IPv4Interface(sandbox.address).ip)
    made.close()


def _beside(node: Namespace) -> Namespace:
    """The namespaces of a pod in the node's network: the node's, but for mounts of its own, with an empty /run."""
    with node.entered():
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
        return Namespace.current()


_HANDLERS: dict[type[op.Operation], Callable[[netlink.Sockets, Any, dict[str, Namespace]], None]] = {
    op.AddWire: lambda sockets, one, where: netlink.add_wire(sockets, one, where[one.a.host], where[one.b.host]),
    op.AddPort: lambda sockets, one, where: netlink.add_port(sockets, one, where[one.interface.host]),
    op.SetAddress: lambda sockets, one, where: netlink.set_address(sockets, one, where[one.interface.host]),
    op.AddRoute: lambda sockets, one, where: netlink.add_route(sockets, one, where[one.host]),
    op.AddNeighbours: lambda sockets, one, where: netlink.add_neighbours(sockets, one, where[one.interface.host]),
}
