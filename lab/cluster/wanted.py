"""What to boot, as data: light enough for the command line to build and check before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.model.topology import Topology


@dataclass(frozen=True)
class Wanted:
    """A topology, Kubernetes objects, and the pins of a scenario."""

    topology: Topology
    objects: Objects = Objects()
    pins: Sequence[Pin] = ()
