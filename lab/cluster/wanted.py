"""What to boot, as data: light enough for the command line to build and check before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.errors import UsageError
from lab.flannel.backends import base
from lab.model import fit
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


def wanted(topology: Topology, objects: Objects | None = None, pins: Sequence[Pin] = ()) -> Wanted:
    """What to boot, checked as a whole. Raises UsageError for parts that do not fit each other, or that this version does not have."""
    complete = Wanted(topology, objects or Objects(), tuple(pins))
    backend = topology.flannel.backend.type
    if backend not in base.known():
        raise UsageError(f"topology {topology.name}: this version of the lab has no flannel backend {backend}, only {', '.join(base.known())}")
    for pod in complete.objects.pods:
        images.require_known(f"pod {pod.name}", pod.containers)
    for deployment in complete.objects.deployments:
        images.require_known(f"deployment {deployment.name}", deployment.containers)
    fit.require_fit(complete.topology, complete.objects, complete.pins)
    return complete
