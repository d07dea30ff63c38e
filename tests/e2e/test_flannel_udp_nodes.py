"""The udp backend between three nodes, with either data path: everybody reaches everybody, and what leaves the cluster is masqueraded."""

from __future__ import annotations

import re

import pytest

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.e2e.pod_traffic import all_pairs_talk, masqueraded_to_the_outside_only, ping
from tests.waiting import until

pytestmark = pytest.mark.e2e

CONFIG = '{"Network":"10.244.0.0/16","Backend":{"Type":"udp"}}'


def start(sandbox: Sandbox, numbers: tuple[int, ...], *flags: str) -> list[Node]:
    """Nodes of these numbers, each knowing the others."""
    nodes = [sandbox.add_node(number) for number in numbers]
    sandbox.start_nodes(CONFIG, nodes, *flags)
    return nodes


@pytest.mark.parametrize("datapath", ["fast", "plain"])
def test_all_pairs_of_three_nodes_talk(sandbox: Sandbox, datapath: str) -> None:
    all_pairs_talk(sandbox, start(sandbox, (1, 2, 3), "--datapath", datapath), ttl=60)


def test_only_what_leaves_the_cluster_is_masqueraded(sandbox: Sandbox) -> None:
    masqueraded_to_the_outside_only(sandbox, start(sandbox, (1, 2), "--ip-masq"))


def test_a_node_comes_and_one_goes_while_a_ping_runs(sandbox: Sandbox) -> None:
    one, two, three = start(sandbox, (1, 2, 3))
    pod, _ = one.add_pod()
    _, there = two.add_pod()
    running = sandbox.start(["ping", "-i", "0.02", there], "the-ping", pod)
    until(lambda: running.said("icmp_seq=3 "), "the ping's begin")
    four = sandbox.add_node(4)
    four.start_flanneld()
    four.ready()
    four.add_bridge()
    one.knows(four)
    four.knows(one)
    assert "ttl=61 " in ping(sandbox, pod, four.gateway)
    sandbox.etcdctl(f"del /coreos.com/network/subnets/{three.subnet.network_address}-24")
    until(lambda: one.flanneld.said(f"Subnet removed: {three.subnet}"), "the end of the third node's route")
    answers = running.log.read_text().count("icmp_seq=")
    until(lambda: running.log.read_text().count("icmp_seq=") > answers + 3, "the ping's going on")
    running.signal(2)
    assert running.wait() == 0
    numbers = [int(number) for number in re.findall(r"bytes from .* icmp_seq=(\d+)", running.log.read_text())]
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "none was lost; the last may have been on their way when ping ended"
