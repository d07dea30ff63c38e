"""The pods that manifests and pins ask for, before anything runs: as far as it is known by then. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lab.model.objects import Deployment, Pod
from lab.model.pins import Pin


def pods_of(deployments: Iterable[Deployment], pods: Iterable[Pod], pins: Sequence[Pin]) -> tuple[Pod, ...]:
    """Those declared, then the replicas of each deployment, pinned ones first.

    Node and address are set only where a manifest or a pin says so. What has no pin is called NAME-#1, NAME-#2 …: the real name is
    nobody's to know before the controller has thrown its dice.
    """
    return (*(_pinned(pod, pins) for pod in pods), *(pod for deployment in deployments for pod in _replicas(deployment, pins)))


def _pinned(pod: Pod, pins: Sequence[Pin]) -> Pod:
    for pin in pins:
        if pin.name == pod.name and not pin.owner:
            return replace(pod, node_name=pin.node or pod.node_name, pod_ip=pin.pod_ip or pod.pod_ip)
    return pod


def _replicas(deployment: Deployment, pins: Sequence[Pin]) -> Iterator[Pod]:
    own = [pin for pin in pins if pin.owner == deployment.name][: deployment.replicas]
    free = (Pin(f"{deployment.name}-#{number}") for number in range(1, deployment.replicas - len(own) + 1))
    for pin in (*own, *free):
        yield Pod(pin.name, deployment.namespace, deployment.containers, deployment.labels, pin.node, pin.pod_ip, deployment.name)
