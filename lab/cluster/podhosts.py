"""Pods as Mininet hosts. The kubelets make and end pods, whoever asked for them; here the lab's Mininet network follows.

Nothing is told and nothing is polled: whoever asks for a pod has the network brought up to date first, which takes a fraction of a
millisecond a node.
"""

from __future__ import annotations

from ipaddress import IPv4Interface

from lab.errors import LabError
from lab.fabric.mininet import Host, Interf, Network
from lab.kubelet.records import PodRecord
from lab.kubelet.runtimeclient import RuntimeClient
from lab.plan.build import veth_of
from lab.plan.operations import Interface


class PodHosts:
    """The pods of all nodes in one Mininet network. Of two with one name in different namespaces, the first is there by its name alone."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._runtimes: dict[str, RuntimeClient] = {}
        self._uids: dict[str, str] = {}

    def add_node(self, node: Host) -> None:
        """Follow the pods of a node, whose container runtime runs."""
        self._runtimes[node.name] = RuntimeClient(node.namespace)

    def remove_node(self, name: str) -> None:
        """The node is about to go, and its pods with it."""
        runtime = self._runtimes.pop(name, None)
        if runtime is not None:
            runtime.close()
        self.refresh()

    def refresh(self) -> None:
        """Bring the network up to date."""
        found = [(node, record) for node in self._runtimes for record in self._pods(node)]
        here = {record.sandbox.uid for _, record in found}
        for name, uid in list(self._uids.items()):
            if uid not in here:
                self.network.remove(name)
                del self._uids[name]
        names = {uid: name for name, uid in self._uids.items()}
        for node, record in found:
            if record.sandbox.uid not in names:
                self._adopt(node, record)
            elif record.runs and not (inside := self.network.nameToNode[names[record.sandbox.uid]].namespace).environment:
                inside.environment = self._environment(node, record)

    def records(self) -> list[tuple[str, PodRecord]]:
        """Every pod that has a network of its own, with its node."""
        return [(node, record) for node in self._runtimes for record in self._pods(node)]

    def of_node(self, node: str) -> list[Host]:
        """The pods of a node that have a network of their own."""
        self.refresh()
        uids = {record.sandbox.uid for name, record in self.records() if name == node}
        return [self.network.nameToNode[name] for name, uid in self._uids.items() if uid in uids]

    def wire_of(self, name: str) -> tuple[str, str] | None:
        """Where a pod's wire ends: its node, and the interface there; None for one that has gone."""
        uid = self._uids.get(name)
        found = ((node, record.sandbox) for node, record in self.records() if record.sandbox.uid == uid)
        return next(((node, veth_of(sandbox.namespace, sandbox.name)) for node, sandbox in found), None)

    def _pods(self, node: str) -> list[PodRecord]:
        try:
            return [record for record in self._runtimes[node].pods() if record.sandbox.bridge and not record.stopped]
        except LabError:  # a runtime that has been killed has no pods any more
            return []

    def _environment(self, node: str, record: PodRecord) -> dict[str, str]:
        """What the pod's first container was told when it started, which was after the pod was adopted."""
        try:
            _, inside = self._runtimes[node].enter(record.sandbox.name, record.sandbox.namespace)
        except LabError:
            return {}  # gone meanwhile
        inside.close()
        return inside.environment or {}

    def _adopt(self, node: str, record: PodRecord) -> None:
        sandbox = record.sandbox
        name = sandbox.name if sandbox.name not in self.network.nameToNode else f"{sandbox.name}.{sandbox.namespace}"
        try:
            _, namespace = self._runtimes[node].enter(sandbox.name, sandbox.namespace)
        except LabError:
            return  # gone meanwhile
        namespace.name = name
        host = Host(name, "pod", namespace)
        self.network.add(host)
        self._uids[name] = sandbox.uid
        card = Interf(Interface(name, "eth0"), host, None)
        address = IPv4Interface(sandbox.address)
        card.ip, card.prefixLen = str(address.ip), address.network.prefixlen
