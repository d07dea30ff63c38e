"""What to boot, as data: light enough for the command line to build and check before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import UsageError
from lab.model import checks, fit
from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.model.topology import Topology
from lab.workloads import images


@dataclass(frozen=True)
class Wanted:
    """A topology, Kubernetes objects, and the pins of a scenario."""

    topology: Topology
    objects: Objects = Objects()
    pins: Sequence[Pin] = ()


def with_backend(topology: Topology, backend: str | None) -> Topology:
    """The topology with another flannel backend, as --backend asks for it. Raises UsageError where that one cannot work."""
    if backend is None:
        return topology
    changed = topology.with_backend(backend)
    for finding in checks.backend_trouble(changed):
        raise UsageError(f"--backend {backend} on the topology {topology.name}: {finding.text}")
    return changed


def wanted(topology: Topology, objects: Objects | None = None, pins: Sequence[Pin] = ()) -> Wanted:
    """What to boot, checked as a whole. Raises UsageError for parts that do not fit each other, or that this version does not have."""
    complete = Wanted(topology, objects or Objects(), tuple(pins))
    for pod in complete.objects.pods:
        images.require_known(f"pod {pod.name}", pod.containers)
    for deployment in complete.objects.deployments:
        images.require_known(f"deployment {deployment.name}", deployment.containers)
    fit.require_fit(complete.topology, complete.objects, complete.pins)
    return complete
