"""Creates and deletes pods on a running cluster: schedules, allocates addresses, builds, starts what they run."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Interface

from lab.cluster.facade import Cluster
from lab.fabric.apply import Builder
from lab.master import schedule
from lab.model.manifests import Objects
from lab.model.objects import Deployment, Pod
from lab.model.pins import Pin
from lab.plan import allocate, build
from lab.workloads import images, start


class Pods:
    """The kubelets of all nodes. `bridges`: node -> (bridge address with prefix, MTU of its pods)."""

    def __init__(self, cluster: Cluster, builder: Builder, bridges: Mapping[str, tuple[IPv4Interface, int]], dice: random.Random) -> None:
        self.cluster = cluster
        self.builder = builder
        self.bridges = bridges
        self.dice = dice
        self.allocators = {node: allocate.HostLocal(address) for node, (address, _) in bridges.items()}

    def add_node(self, node: str) -> None:
        """Take a node into service that joined, and has its bridge by now."""
        self.allocators[node] = allocate.HostLocal(self.bridges[node][0])

    def remove_node(self, node: str) -> None:
        """Forget a node that left."""
        self.allocators.pop(node, None)

    def create(self, objects: Objects, pins: Sequence[Pin] = ()) -> None:
        """Create every pod that the objects ask for and wait until all are ready.

        Raises UsageError for an unknown image, a wrong node or an address that cannot be had; BootError when a workload does not start.
        """
        wanted = schedule.pods_of(objects.deployments, objects.pods, pins, self._name)
        for pod in wanted:
            images.require_known(f"pod {pod.name}", pod.containers)
        placed = schedule.schedule(wanted, self.cluster.topology)
        addressed = self._addressed(placed)
        for pod in addressed:
            address, mtu = self.bridges[pod.node_name]
            self.builder.apply(build.plan_pod(self.cluster.topology, pod, address, mtu))
            self.cluster.pod_objects[pod.name] = pod
        for pod in addressed:
            running = start.start(self.cluster.host(pod.name).namespace, pod)
            self.cluster.daemons[pod.name] = {one.name: one for one in running}
        self._wait(addressed)

    def delete(self, name: str) -> None:
        """Stop a pod's workload, take it away and free its address."""
        pod = self.cluster.pod_objects.pop(name)
        for running in self.cluster.daemons.pop(name, {}).values():
            running.stop()
        self.builder.remove(name)
        if pod.pod_ip is not None:
            self.allocators[pod.node_name].release(pod.pod_ip)

    def _name(self, deployment: Deployment, taken: frozenset[str]) -> str:
        return allocate.pod_name(deployment, taken, self.dice)

    def _addressed(self, pods: Sequence[Pod]) -> list[Pod]:
        """Wanted addresses first, so that no free choice takes one of them."""
        addresses = {pod.name: self.allocators[pod.node_name].take(pod.pod_ip, pod.name) for pod in pods if pod.pod_ip is not None}
        for pod in pods:
            if pod.name not in addresses:
                addresses[pod.name] = self.allocators[pod.node_name].take(pod=pod.name)
        return [schedule.with_address(pod, addresses[pod.name]) for pod in pods]

    def _wait(self, pods: Sequence[Pod]) -> None:
        deadline = time.monotonic() + start.READY_TIMEOUT
        for pod in pods:
            namespace = self.cluster.host(pod.name).namespace
            for running in self.cluster.daemons[pod.name].values():
                left = max(0.1, deadline - time.monotonic())
                running.wait_until(lambda n=namespace, p=pod: start.is_ready(n, p), left, "answer")  # type: ignore[misc]
