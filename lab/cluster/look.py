"""Looks at all machines and at etcd, for step mode to say what a stage of the boot has changed."""

from __future__ import annotations

import json

from lab.cluster.facade import Cluster
from lab.errors import CommandError
from lab.fabric import process
from lab.fabric.mininet import Host
from lab.master import etcd
from lab.master.etcdclient import EtcdClient, EtcdError
from lab.observe import snapshot

EVERYTHING = "/"
"""All keys of the lab begin with it: flannel's prefix, and /registry."""


def at(cluster: Cluster) -> snapshot.Snapshot:
    """What there is right now. Raises CommandError when a machine does not answer; an etcd that does not is empty."""
    cluster.pod_hosts.refresh()
    return snapshot.Snapshot({host.name: _machine(host) for host in cluster.network.hosts}, _etcd(cluster))


def _machine(host: Host) -> snapshot.Machine:
    addresses, routes, rules = (process.must(host.run(words)) for words in (["ip", "-j", "-d", "address"], ["ip", "-4", "route"], ["iptables-save"]))
    return snapshot.Machine(snapshot.links(json.loads(addresses or "[]")), snapshot.routes(routes), snapshot.rules(rules))


def _etcd(cluster: Cluster) -> tuple[str, ...]:
    client = EtcdClient([f"http://127.0.0.1:{etcd.CLIENT_PORT}"])
    try:
        with cluster.master.namespace.entered():
            return snapshot.keys((item.key, item.value) for item in client.range(EVERYTHING, prefix=True).items)
    except (EtcdError, CommandError, OSError):
        return ()
