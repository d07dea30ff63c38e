"""Makes a plan real, operation by operation, and remembers what came of it in a Mininet network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lab.fabric import netlink, process
from lab.fabric.mininet import Host, Interf, Network
from lab.fabric.namespace import Namespace
from lab.plan import operations as op


class Builder:
    """Applies operations to one network. `made`: namespaces that are there already, for the machine of their name."""

    def __init__(self, network: Network, *made: Namespace) -> None:
        self.network = network
        self._made = {one.name: one for one in made}
        self.sockets = netlink.Sockets()

    def apply(self, plan: Iterable[op.Operation]) -> None:
        """Do every operation in order. Raises BootError naming the first that the kernel refuses, as the command it stands for."""
        for operation in plan:
            with netlink.doing(operation):
                _HANDLERS[type(operation)](self, operation)

    def remove(self, name: str) -> None:
        """Take a machine away, and its wires first.

        The kernel would clear them some time after the last process, and until then their other ends' names would be taken.
        """
        for wire in self.network.links:
            for end, other in ((wire.intf1, wire.intf2), (wire.intf2, wire.intf1)):
                if end.node.name == name:
                    self.sockets.drop(other.node.namespace, other.name)
        self.sockets.forget(name)
        self.network.remove(name)

    def close(self) -> None:
        """Let go of the netlink sockets; the machines stay."""
        self.sockets.close()

    def namespace(self, host: str) -> Namespace:
        """The namespaces of a machine that the plan has added."""
        found: Namespace = self.network.nameToNode[host].namespace
        return found

    def _host(self, name: str) -> Host:
        host: Host = self.network.nameToNode[name]
        return host

    def _add_namespace(self, operation: op.AddNamespace) -> None:
        namespace = self._made.pop(operation.host, None) or Namespace.create(operation.host)
        self.network.add(Host(operation.host, operation.kind, namespace))

    def _add_wire(self, operation: op.AddWire) -> None:
        netlink.add_wire(self.sockets, operation, self.namespace(operation.a.host), self.namespace(operation.b.host))
        self.network.wire(operation)

    def _add_bridge(self, operation: op.AddBridge) -> None:
        netlink.add_bridge(self.sockets, operation, self.namespace(operation.bridge.host))
        Interf(operation.bridge, self._host(operation.bridge.host), None)

    def _add_port(self, operation: op.AddPort) -> None:
        netlink.add_port(self.sockets, operation, self.namespace(operation.interface.host))

    def _set_address(self, operation: op.SetAddress) -> None:
        host = self._host(operation.interface.host)
        netlink.set_address(self.sockets, operation, host.namespace)
        known = host.nameToIntf.get(operation.interface.name)
        if known is not None:
            known.ip, known.prefixLen = str(operation.address.ip), operation.address.network.prefixlen

    def _add_route(self, operation: op.AddRoute) -> None:
        netlink.add_route(self.sockets, operation, self.namespace(operation.host))

    def _add_neighbours(self, operation: op.AddNeighbours) -> None:
        netlink.add_neighbours(self.sockets, operation, self.namespace(operation.interface.host))

    def _add_rule(self, operation: op.AddRule) -> None:
        process.must(process.run(self.namespace(operation.host), operation.argv))

    def _set_sysctl(self, operation: op.SetSysctl) -> None:
        netlink.set_sysctl(operation, self.namespace(operation.host))

    def _write_file(self, operation: op.WriteFile) -> None:
        self.namespace(operation.host).write_text(operation.path, operation.text)


_HANDLERS: dict[type[op.Operation], Callable[[Builder, Any], None]] = {
    op.AddNamespace: Builder._add_namespace,
    op.AddWire: Builder._add_wire,
    op.AddBridge: Builder._add_bridge,
    op.AddPort: Builder._add_port,
    op.SetAddress: Builder._set_address,
    op.AddRoute: Builder._add_route,
    op.AddNeighbours: Builder._add_neighbours,
    op.AddRule: Builder._add_rule,
    op.SetSysctl: Builder._set_sysctl,
    op.WriteFile: Builder._write_file,
}
