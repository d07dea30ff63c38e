"""Whether Kubernetes objects fit a topology: what neither file shows alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.errors import UsageError
from lab.model.manifests import Objects
from lab.model.names import did_you_mean
from lab.model.pins import Pin
from lab.model.topology import Topology

_OWN_NAME = "in the lab every machine and pod has its own"


def require_fit(topology: Topology, objects: Objects, pins: Sequence[Pin] = ()) -> None:
    """Raises UsageError with every reason why these objects cannot run on this topology."""
    troubles = [*_bad_nodes(topology, objects, pins), *_taken_names(topology, objects, pins)]
    troubles += _bad_cluster_ips(topology, objects)
    if troubles:
        raise UsageError("\n".join(troubles))


def _bad_nodes(topology: Topology, objects: Objects, pins: Sequence[Pin]) -> Iterator[str]:
    known = [node.name for node in topology.nodes]
    wanted = [("pod", pod.name, pod.node_name) for pod in objects.pods] + [("pin", pin.name, pin.node) for pin in pins]
    for what, name, node in wanted:
        if node and node not in known:
            hint = did_you_mean(node, known)
            yield f"{what} {name} wants the node {node}{hint}; topology {topology.name} has {', '.join(known)}"


def _taken_names(topology: Topology, objects: Objects, pins: Sequence[Pin]) -> Iterator[str]:
    """A pod is a machine of the lab and goes by its name, whatever its namespace."""
    machines = [topology.router, *(one.name for one in topology.machines), *(one.switch for one in topology.segments)]
    owners = {name: f"a machine of topology {topology.name}" for name in machines if name}
    for pod in objects.pods:
        if pod.name in owners:
            yield f"pod {pod.namespace}/{pod.name} has the name of {owners[pod.name]}; {_OWN_NAME}"
        owners.setdefault(pod.name, f"pod {pod.namespace}/{pod.name}")
    for pin in pins:
        if pin.owner and pin.name in owners:
            yield f"pin {pin.name} has the name of {owners[pin.name]}; {_OWN_NAME}"
        owners.setdefault(pin.name, "another pin")


def _bad_cluster_ips(topology: Topology, objects: Objects) -> Iterator[str]:
    network = topology.networks.service
    for service in objects.services:
        ip = service.cluster_ip
        if ip and (ip not in network or ip in (network.network_address, network.broadcast_address)):
            who = f"service {service.namespace}/{service.name}"
            yield f"{who} wants the cluster IP {ip}, which is no address of {network}; use one, or none"
