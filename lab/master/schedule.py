"""From deployments to pods on nodes: what the deployment controller and the scheduler decide. Pure; the dice are passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address

from lab.errors import UsageError
from lab.model.objects import Deployment, Pod
from lab.model.pins import Pin
from lab.model.topology import Topology

Namer = Callable[[Deployment, frozenset[str]], str]
"""A new pod's name, given its deployment and the names that are taken."""


def pods_of(deployments: Iterable[Deployment], pods: Iterable[Pod], pins: Sequence[Pin], namer: Namer) -> tuple[Pod, ...]:
    """Every pod the manifests ask for: those declared, then `replicas` of each deployment, pinned ones first.

    Nodes and addresses are set only where a manifest (`nodeName`) or a pin says so. Raises UsageError for a pin that fits no pod.
    """
    declared = [_pinned(pod, pins) for pod in pods]
    taken = {pod.name for pod in declared} | {pin.name for pin in pins}
    made: list[Pod] = []
    for deployment in deployments:
        wanted = [pin for pin in pins if pin.owner == deployment.name]
        if len(wanted) > deployment.replicas:
            raise UsageError(f"deployment {deployment.name} has {deployment.replicas} replicas but {len(wanted)} pins")
        for pin in [*wanted, *[None] * (deployment.replicas - len(wanted))]:
            name = pin.name if pin else namer(deployment, frozenset(taken))
            taken.add(name)
            made.append(
                Pod(
                    name,
                    deployment.namespace,
                    deployment.containers,
                    deployment.labels,
                    pin.node if pin else "",
                    pin.pod_ip if pin else None,
                    deployment.name,
                )
            )
    _refuse_idle_pins(pins, [*declared, *made])
    return (*declared, *made)


def _pinned(pod: Pod, pins: Sequence[Pin]) -> Pod:
    for pin in pins:
        if pin.name == pod.name and not pin.owner:
            return replace(pod, node_name=pin.node or pod.node_name, pod_ip=pin.pod_ip or pod.pod_ip)
    return pod


def _refuse_idle_pins(pins: Sequence[Pin], pods: Sequence[Pod]) -> None:
    names = {pod.name for pod in pods}
    for pin in pins:
        if pin.name not in names:
            owner = f"a deployment {pin.owner}" if pin.owner else "a pod of that name"
            raise UsageError(f"pin {pin.name}: the manifests have no {owner.removeprefix('a ')}")


def schedule(pods: Sequence[Pod], topology: Topology) -> tuple[Pod, ...]:
    """Give every pod a node: the one it names, else the worker with the fewest pods, in the topology's order.

    As in a kubeadm cluster the master takes only pods that name it; where it is the only node it takes all. Raises UsageError for a
    node that does not exist.
    """
    known = [node.name for node in topology.nodes]
    for pod in pods:
        if pod.node_name and pod.node_name not in known:
            raise UsageError(f"pod {pod.name} wants node {pod.node_name}, but the nodes of {topology.name} are {', '.join(known)}")
    open_to_all = [node.name for node in topology.nodes if node.role == "worker"] or known
    load = Counter(pod.node_name for pod in pods if pod.node_name)
    placed = []
    for pod in pods:
        node = pod.node_name
        if not node:
            node = min(open_to_all, key=lambda name: load[name])
            load[node] += 1
        placed.append(replace(pod, node_name=node))
    return tuple(placed)


def with_address(pod: Pod, address: IPv4Address) -> Pod:
    """The pod, with its address."""
    return replace(pod, pod_ip=address)
