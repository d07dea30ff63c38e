"""What a running cluster looks like right now, as the graph that pictures are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lab.cluster.facade import Cluster
from lab.master.controllers.objects import is_true
from lab.model import fromapi
from lab.observe import graph


def graph_of(cluster: Cluster) -> graph.Graph:
    """Machines with the daemons that run on them and the subnets that flanneld leased, pods with their readiness, services with endpoints.

    Raises ApiError or Unreachable when the apiserver does not answer.
    """
    base = graph.from_topology(cluster.topology)
    ends = {(one.namespace, one.name): one for one in cluster.all_endpoints}
    services = (graph.service_of(one, ends.get((one.namespace, one.name))) for one in cluster.services)
    return replace(
        base,
        machines=tuple(_machine(cluster, one) for one in base.machines),
        pods=tuple(_pod(item) for item in cluster.api.list("pods")["items"] if not _shares_the_node(item)),
        services=tuple(services),
        live=True,
    )


def _machine(cluster: Cluster, machine: graph.Machine) -> graph.Machine:
    if machine.kind != "node":
        return machine
    bridge = cluster.bridges.get(machine.name)
    running = (name for name, daemon in cluster.daemons.get(machine.name, {}).items() if daemon.ended() is None)
    return replace(machine, subnet=str(bridge[0].network) if bridge else "", daemons=tuple(running))


def _pod(item: Mapping[str, Any]) -> graph.Pod:
    return graph.pod_of(fromapi.pod_of(item), is_true(dict(item), "Ready"))


def _shares_the_node(item: Mapping[str, Any]) -> bool:
    return bool((item.get("spec") or {}).get("hostNetwork"))
