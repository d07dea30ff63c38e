"""Leases of real flanneld processes over time: renewed, replaced by a new configuration, several networks on one etcd, sixty at once."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from ipaddress import IPv4Interface, IPv4Network

import pytest

from lab.flannel import subnetfile
from tests.e2e.flannel_sandbox import ETCD, Node, Process, Sandbox
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.e2e

SUBNETS = "/coreos.com/network/subnets/"
REVOKED = "Lease has been revoked. Shutting down daemon."


SHORT_LIVED = """
import itertools, sys, time
from lab.flannel import daemon
daemon.TTL = 61  # a minute is the smallest margin, so it renews after a second
wall, jumps = time.time, itertools.cycle([0, 86400, -86400])
time.time = lambda: wall() + next(jumps)  # the node's clock jumps by a day, to and fro; a lease knows the monotonic one only
sys.exit(daemon.main(sys.argv[1:]))
"""


def short_lived(node: Node) -> Process:
    """A flanneld whose leases live for 61 seconds and are renewed a minute before they run out."""
    flags = ["--etcd-endpoints", ETCD, "--subnet-file", str(node.subnet_file), "--subnet-lease-renew-margin", "1"]
    node.daemons.append(node.sandbox.start([sys.executable, "-c", SHORT_LIVED, *flags], f"{node.name}-short", node.pid))
    node.ready()
    return node.flanneld


def remaining(sandbox: Sandbox, node: Node) -> int:
    """Seconds that the node's lease has left."""
    number = re.search(r'"lease":(\d+)', sandbox.etcdctl(f"get {SUBNETS}{node.subnet.network_address}-24 -w json"))
    assert number
    left = re.search(r"granted with TTL\(61s\), remaining\((\d+)s\)", sandbox.etcdctl(f"lease timetolive {int(number[1]):x}"))
    assert left
    return int(left[1])


def test_a_lease_is_renewed_before_it_runs_out(sandbox: Sandbox) -> None:
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}')
    node = sandbox.add_node(1)
    flanneld = short_lived(node)
    until(lambda: flanneld.log.read_text().count("Lease renewed, new expiration: ") >= 3, "three renewals")
    assert remaining(sandbox, node) >= 58, "without renewal three seconds would be gone by now"
    assert flanneld.popen.poll() is None


def stopped_beyond_its_lease(sandbox: Sandbox, one: Node, two: Node) -> str:
    """Let both nodes' flannelds start, and the second's stand still while its lease ends: etcd takes it back now instead of in a day. The key."""
    for node in (one, two):
        node.start_flanneld()
    for node in (one, two):
        node.ready()
    one.knows(two)
    two.flanneld.stand_still()
    key = f"{SUBNETS}{two.subnet.network_address}-24"
    number = re.search(r'"lease":(\d+)', sandbox.etcdctl(f"get {key} -w json"))
    assert number
    sandbox.etcdctl(f"lease revoke {int(number[1]):x}")
    until(lambda: one.flanneld.said(f"Subnet removed: {two.subnet}"), "the end of the route")
    return key


def test_a_flanneld_that_stood_still_when_its_lease_ran_out_ends_and_gets_the_same_subnet(sandbox: Sandbox) -> None:
    """As flannel, it ends when its lease is gone, for its supervisor to start it anew; the other nodes follow both."""
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"host-gw"}}')
    one, two = sandbox.add_node(1), sandbox.add_node(2)
    stopped_beyond_its_lease(sandbox, one, two)
    before, flanneld = two.subnet, two.flanneld
    flanneld.go_on()
    assert flanneld.wait() == 0 and flanneld.said(REVOKED)
    two.start_flanneld()
    two.ready()
    assert two.subnet == before and two.flanneld.said(f"Found previously leased subnet ({before}), reusing")
    until(lambda: f"{before} via {two.address}" in one.run("ip route"), "the way to it")


def test_a_subnet_that_another_node_took_meanwhile_is_not_taken_for_ones_own(sandbox: Sandbox) -> None:
    """Its watch broke, and etcd has forgotten what happened: all that flanneld finds under its subnet is another node's lease."""
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"host-gw"}}')
    one, two = sandbox.add_node(1), sandbox.add_node(2)
    key = stopped_beyond_its_lease(sandbox, one, two)
    before, flanneld = two.subnet, two.flanneld
    value = sandbox.etcdctl(f"get --print-value-only {SUBNETS}{one.subnet.network_address}-24").strip()
    sandbox.etcdctl(f"put {key} '{value.replace(one.address, '192.168.1.3')}'")
    revision = re.search(r'"revision":(\d+)', sandbox.etcdctl("get / -w json"))
    assert revision
    sandbox.etcdctl(f"compact {revision[1]}")
    sandbox.stop_etcd()
    sandbox.start_etcd()
    flanneld.go_on()
    assert flanneld.wait() == 0 and flanneld.said(REVOKED)
    two.start_flanneld()
    two.ready()
    assert two.subnet != before
    until(lambda: f"{two.subnet} via {two.address}" in one.run("ip route"), "the way to it")
    assert f"{before} via 192.168.1.3" in one.run("ip route")


def test_a_renewal_that_fails_is_logged_and_the_daemon_goes_on(sandbox: Sandbox) -> None:
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}')
    flanneld = short_lived(sandbox.add_node(1))
    sandbox.stop_etcd()
    until(lambda: flanneld.said("Error renewing lease (trying again in 1 min): "), "the failed renewal")
    assert flanneld.popen.poll() is None
    flanneld.signal(signal.SIGTERM)
    assert flanneld.wait() == 0


def test_a_new_subnet_length_replaces_the_old_lease(sandbox: Sandbox) -> None:
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}')
    node = sandbox.add_node(1)
    node.start_flanneld()
    node.ready()
    old = node.subnet
    node.flanneld.signal(signal.SIGTERM)
    node.flanneld.wait()
    sandbox.configure('{"Network":"10.244.0.0/16","SubnetLen":26,"Backend":{"Type":"alloc"}}')
    node.start_flanneld()
    node.ready()
    assert node.flanneld.said(f"Found lease ({old}) for current IP (192.168.1.1) but not compatible with current config, deleting")
    assert node.subnet.prefixlen == 26
    assert IPv4Network("10.244.0.64/26") <= node.subnet <= IPv4Network("10.244.25.0/26")
    assert sandbox.etcdctl(f"get --prefix --keys-only {SUBNETS}").split() == [f"{SUBNETS}{node.subnet.network_address}-26"]


NETWORKS = {
    "vxlan": '{"Network":"10.11.0.0/16","Backend":{"Type":"vxlan"}}',
    "hostgw": '{"Network":"10.12.0.0/16","Backend":{"Type":"host-gw"}}',
}


def test_two_networks_on_one_etcd_and_the_same_hosts(sandbox: Sandbox) -> None:
    """flannel's own functional test `multi`: both answer, each only by its own device."""
    nodes = [sandbox.add_node(1), sandbox.add_node(2)]
    addresses: dict[tuple[str, str], IPv4Interface] = {}
    for name, config in NETWORKS.items():
        sandbox.etcdctl(f"put /{name}/network/config '{config}'")
        files = [sandbox.directory / f"{node.name}.{name}.env" for node in nodes]
        for node, file in zip(nodes, files, strict=True):
            node.start_flanneld("--etcd-prefix", f"/{name}/network", "--subnet-file", str(file))
        for node, file in zip(nodes, files, strict=True):
            node.ready()
            bridge = addresses[node.name, name] = subnetfile.parse(file.read_text()).bridge
            node.run(f"ip link add {name} type bridge && ip address add {bridge} dev {name} && ip link set {name} up")
    one = nodes[0]
    targets = {name: addresses["node2", name] for name in NETWORKS}
    assert targets["vxlan"] in IPv4Network("10.11.0.0/16") and targets["hostgw"] in IPv4Network("10.12.0.0/16")
    for target in targets.values():
        until(lambda target=target: f"{target.network} via" in one.run("ip route"), "the route")  # type: ignore[misc]
        until(lambda target=target: "ttl=64" in one.run(f"ping -c 1 -W 1 {target.ip}", check=False), "the answer")  # type: ignore[misc]
    assert "100% packet loss" in one.run(f"ping -W 1 -c 1 -I flannel.1 {targets['hostgw'].ip}", check=False)
    assert "100% packet loss" in one.run(f"ping -W 1 -c 1 -I eth0 {targets['vxlan'].ip}", check=False)
    for name, other in (("vxlan", "10.12."), ("hostgw", "10.11.")):
        keys = sandbox.etcdctl(f"get --prefix --keys-only /{name}/network/subnets/").split()
        assert len(keys) == 2 and not [key for key in keys if other in key]
    assert sandbox.etcdctl("get --prefix /coreos.com") == ""


SIXTY = """
import os, signal, sys
import pyroute2, lab.flannel.backends.alloc
from lab.flannel import daemon
url, directory = sys.argv[1:]
gate, opener = os.pipe()
children = []
for number in range(1, 61):
    pid = os.fork()
    if pid == 0:
        os.close(opener)
        os.dup2(os.open(f"{directory}/{number}.log", os.O_WRONLY | os.O_CREAT), 2)
        sys.stderr = open(2, "w", buffering=1, closefd=False)
        flags = ["--etcd-endpoints", url, "--iface", "br0", "--public-ip", f"192.168.7.{number}", "--subnet-file", f"{directory}/{number}.env"]
        os.read(gate, 1)  # until the parent opens the gate for all of them
        os._exit(daemon.main(flags))
    children.append(pid)
os.close(opener)
sys.stdin.read()
for pid in children:
    os.kill(pid, signal.SIGTERM)
print(sum(os.waitpid(pid, 0)[1] for pid in children))
"""


def test_sixty_flannelds_that_start_at_the_same_instant_get_sixty_subnets(sandbox: Sandbox) -> None:
    """Sixty real daemons, forked from one parent that has everything imported, so that none has a head start."""
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}')
    command = ["nsenter", "--net", "--target", str(sandbox.pid), sys.executable, "-c", SIXTY, ETCD, str(sandbox.directory)]
    parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    logs = [sandbox.directory / f"{number}.log" for number in range(1, 61)]

    def all_up() -> bool:
        return all(log.exists() and "Finished starting backend." in log.read_text() for log in logs)

    try:
        until(all_up, "the start of all sixty", patience=3 * PATIENCE)
        keys = sandbox.etcdctl(f"get --prefix --keys-only {SUBNETS}").split()
    finally:
        out, _ = parent.communicate("", timeout=PATIENCE)
    subnets = {subnetfile.parse((sandbox.directory / f"{number}.env").read_text()).subnet for number in range(1, 61)}
    assert len(subnets) == 60
    assert sorted(keys) == sorted(f"{SUBNETS}{subnet.network_address}-24" for subnet in subnets)
    assert out == "0\n", "each of them ends with status 0"
