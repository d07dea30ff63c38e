"""Nodes of a running cluster: one that gets no subnet, one that comes back under its name, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from lab.cluster.wanted import wanted
from lab.errors import BootError, UsageError
from lab.fabric.process import must
from lab.model import catalog, load
from tests.declared import node
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e

ETCDCTL = "ETCDCTL_API=3 etcdctl"
CONFIG = "/coreos.com/network/config"
NODE4 = node({"name": "node4", "address": "192.168.1.14/24", "gateway": "192.168.1.1"})


def _with(check: Callable[[Any], None]) -> None:
    """Boot the topology flat in this process's sandbox and look at it."""
    from lab.cluster.boot import boot

    check(boot(wanted(load.read_topology(catalog.find_topology("flat")))))


def _state(cluster: Any) -> tuple[object, ...]:
    """What a node that could not join must leave as it was."""
    ports = must(cluster.host("switch1").run("ip -o link")).split("\n")
    hosts = must(cluster.master.run("cat /etc/hosts"))
    names = sorted(cluster.network.nameToNode)
    return names, sorted(cluster.daemons), [node.name for node in cluster.topology.nodes], hosts, len(ports)


def _narrow(cluster: Any, first: str, last: str) -> None:
    text = json.dumps({"Network": "10.244.0.0/16", "SubnetMin": first, "SubnetMax": last, "Backend": {"Type": "udp"}})
    must(cluster.master.run(f"{ETCDCTL} put {CONFIG} '{text}'"))


def _no_subnet(cluster: Any) -> None:
    before = _state(cluster)
    _narrow(cluster, "10.244.200.0", "10.244.200.0")
    key = "/coreos.com/network/subnets/10.244.200.0-24"
    must(cluster.master.run(f"""{ETCDCTL} put {key} '{{"PublicIP":"192.168.1.99"}}'"""))
    with pytest.raises(BootError, match="out of subnets: all between 10.244.200.0 and 10.244.200.0 are leased"):
        cluster.add_node(NODE4)
    assert _state(cluster) == before
    must(cluster.master.run(f"{ETCDCTL} del {key}"))
    for _ in range(2):  # the second time under a name whose log has a start in it already
        cluster.add_node(NODE4)
        assert cluster.node("node4").namespace.read_text("/run/flannel/subnet.env").splitlines()[1] == "FLANNEL_SUBNET=10.244.200.1/24"
        until(lambda: cluster.master.run("ping -c 1 -W 1 10.244.200.1").status == 0, "the master's reaching the new node")
        cluster.remove_node("node4")
    assert _state(cluster) == before


def test_a_node_without_a_subnet_is_taken_away_again_and_may_come_back() -> None:
    sandboxed(partial(_with, _no_subnet))


REFUSED = {
    "an address that is taken": ({"name": "node4", "address": "192.168.1.11/24", "gateway": "192.168.1.1"}, "192.168.1.11 is already node1's"),
    "a name that is taken": ({"name": "node2", "address": "192.168.1.14/24", "gateway": "192.168.1.1"}, "`node2` is already the name"),
    "no gateway": ({"name": "node4", "address": "192.168.1.14/24"}, "no gateway"),
    "a cable's network": ({"name": "node4", "address": "192.168.88.11/24", "gateway": "192.168.88.1"}, "is one cable to the router"),
}


def _refused(cluster: Any) -> None:
    before = _state(cluster)
    for declared, text in REFUSED.values():
        with pytest.raises(UsageError, match=text):
            cluster.add_node(node(declared))
    with pytest.raises(UsageError, match="node1 is the master"):
        cluster.remove_node("node1")
    with pytest.raises(UsageError, match="no node is named 'node9'"):
        cluster.remove_node("node9")
    with pytest.raises(UsageError, match="node2: flanneld runs already, as process"):
        cluster.start_flanneld("node2")
    assert _state(cluster) == before


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    sandboxed(partial(_with, _refused))


def _without_etcd(cluster: Any) -> None:
    cluster.stop_etcd(kill=True)
    cluster.stop_flanneld("node2", kill=True)
    cluster.start_flanneld("node2", wait=False)
    flanneld = cluster.daemon("node2", "flanneld")
    until(lambda: "Couldn't fetch network config: etcd does not answer" in flanneld.log.read_text(), "the wait for etcd")
    assert flanneld.ended() is None
    cluster.start_etcd()
    until(lambda: flanneld.log.read_text().count("Finished starting backend.") == 2, "the start without help")


def test_a_flanneld_that_starts_without_etcd_comes_up_when_it_is_back() -> None:
    sandboxed(partial(_with, _without_etcd))
