"""What a machine of a running lab looks like to somebody who asks: its routes, rules, bridge and neighbour tables, leases and logs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.errors import LabError

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

MOST, LOG = 200_000, 20_000
"""Characters of one output, of whose rest only the length is told; and bytes from the end of a log."""
_EVERYWHERE = (("addresses", "ip -4 address"), ("routes", "ip route"), ("neighbours", "ip neigh"))
_NODE = (
    ("rules", "iptables-save -c"),
    ("bridge", "bridge link"),
    ("bridge", "bridge fdb"),
    ("leases", "cat /run/flannel/subnet.env"),
    ("connections", "conntrack -L"),
)
_NFTABLES = (("rules", "nft list ruleset"),)
_ETCD = (("leases", "ETCDCTL_API=3 etcdctl get --prefix /coreos.com/network"),)


def of(cluster: Cluster, name: str) -> Iterator[dict[str, Any]]:
    """A machine's sections, one after the other.

    topic     addresses, routes, neighbours, rules, bridge, leases, connections or log
    command   as a learner would type it; of a log the daemon's name
    A command that cannot be run tells why in its `output`.
    """
    host = cluster.host(name)
    node = host.kind == "node"
    commands = [*_EVERYWHERE]
    if node:
        commands += _commands(cluster, host.name)
    for topic, command in commands:
        yield _ran(host, topic, command)
    for daemon in cluster.daemons.get(host.name, {}).values():
        yield {"topic": "log", "command": daemon.name, "status": 0, "output": _end(daemon.log)}


def _commands(cluster: Cluster, node: str) -> list[tuple[str, str]]:
    found = [one for one in _NODE if cluster.topology.has_flannel or one[0] != "leases"]
    if cluster.topology.kube_proxy.mode == "nftables":
        found += _NFTABLES
    return found + (list(_ETCD) if "etcd" in cluster.daemons.get(node, {}) else [])


def _end(log: Path) -> str:
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LOG))
            text = file.read().decode("utf-8", "replace")
    except OSError as error:
        return str(error)
    return text.partition("\n")[2] if size > LOG else text


def _ran(host: Any, topic: str, command: str) -> dict[str, Any]:
    try:
        ran = host.run(command, timeout=5.0)
    except LabError as error:
        return {"topic": topic, "command": command, "status": 1, "output": str(error)}
    output = ran.stdout + (ran.stderr if ran.status else "")
    if len(output) > MOST:
        output = f"{output[:MOST]}\n… ({len(output) - MOST} more characters)\n"
    return {"topic": topic, "command": command, "status": ran.status, "output": output}
