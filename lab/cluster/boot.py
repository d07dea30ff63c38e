"""Boots a cluster: the apiserver first (lab.cluster.headstart), then the lab around it (lab.cluster.stages)."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from lab.cluster import headstart, progress
from lab.cluster.wanted import Wanted

if TYPE_CHECKING:  # importing it is what the apiserver must not wait for
    from lab.cluster.facade import Cluster


def boot(wanted: Wanted, tell: progress.Progress = progress.silent, after: progress.After | None = None) -> Cluster:
    """Boot a cluster inside the calling process's sandbox. `tell` is told of every stage, `after` looks at what each has made.

    Raises BootError, CommandError or UsageError; what was made until then goes with the sandbox, or with `Cluster.stop`.
    """
    gc.disable()  # a boot makes little garbage, and what it imports is none: `daemon.fork` keeps it away from the collector
    early = headstart.begin(wanted.topology)
    stage = progress.Stages(tell, after)
    with stage("Mininet, beside the apiserver"):
        from lab.cluster import stages
    cluster = stages.build(wanted, stage, early)
    gc.enable()
    return cluster
