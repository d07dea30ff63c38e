"""kube-controller-manager as a process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from lab.errors import LabError
from lab.master.client import ApiClient
from lab.master.controllers import collector, deployment, endpoints, flags, nodes, replicaset, slices
from lab.master.controllers.loop import Loop
from lab.master.controllers.world import Controller

NAMES = ("endpoint", "endpointslice", "nodelifecycle", "replicaset", "deployment", "nodeipam", "garbagecollector", "namespace")
"""As --controllers calls them; the first comes first when several have work."""


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM. Returns the exit status: 0, or 2 for a wrong command line."""
    try:
        given = flags.parse(arguments, NAMES)
        client = ApiClient(given.master, agent="kube-controller-manager")
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(Loop(client, controllers(given), log=say))


def controllers(given: flags.Flags) -> list[Controller]:
    """The controllers that the flags ask for, in the order of their urgency."""
    made = {
        "endpoint": endpoints.CONTROLLER,
        "endpointslice": slices.CONTROLLER,
        "nodelifecycle": nodes.lifecycle(given.node_monitor_grace_period, given.pod_eviction_timeout),
        "replicaset": replicaset.CONTROLLER,
        "deployment": deployment.CONTROLLER,
        "garbagecollector": collector.CONTROLLER,
        "namespace": collector.NAMESPACES,
    }
    if given.allocate_node_cidrs and given.cluster_cidr is not None:
        made["nodeipam"] = nodes.ipam(given.cluster_cidr, given.node_cidr_mask_size)
    return [made[name] for name in given.controllers if name in made]


def run(loop: Loop) -> int:
    """Run a loop as a process does: until SIGTERM or SIGINT."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()
    return 0


def say(text: str) -> None:
    """A line of the log."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
