"""flanneld with the aws-vpc and gce backends: real boto3 against moto's EC2, and the stand-in of Google's API, in namespaces of their own.

The sandbox's own network namespace is the router: the nodes' switch is in it, and the cloud runs there.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import permutations
from pathlib import Path

import pytest

from lab.cloud.start import environment
from lab.flannel.lease import reservation
from lab.plan.build import mac_of
from tests.e2e.flannel_sandbox import MASTER, Node, Process, Sandbox
from tests.waiting import until

pytestmark = pytest.mark.e2e

KINDS = ("aws-vpc", "gce")
ROUTES = "http://169.254.169.254/compute/v1/projects/lab/global/routes"
INSTANCES = "http://169.254.169.254/compute/v1/projects/lab/zones/us-central1-a/instances"
EC2 = "http://169.254.169.254/"


class Cloud:
    """A sandbox whose router follows a cloud. `kind` is the backend."""

    def __init__(self, sandbox: Sandbox, kind: str) -> None:
        self.sandbox = sandbox
        self.kind = kind
        self.daemon: Process | None = None

    def start(self, machines: int) -> None:
        """Start the cloud with node1, node2 ... as its machines."""
        flags = [f"--node=node{number}=192.168.1.{number}/24" for number in range(1, machines + 1)]
        self.daemon = self.sandbox.start([sys.executable, "-m", "lab.cloud", self.kind, *flags], "cloud")
        daemon = self.daemon
        until(lambda: daemon.said("ready") or daemon.popen.poll() is not None, "the start of the cloud")
        assert daemon.popen.poll() is None, daemon.log.read_text()
        self.sandbox.run("echo 1 > /proc/sys/net/ipv4/ip_forward")

    def configure(self, **options: object) -> None:
        self.sandbox.configure(json.dumps({"Network": "10.244.0.0/16", "Backend": {"Type": self.kind} | options}))

    def node(self, number: int) -> Node:
        """A machine with 10.244.<number>.0/24 reserved for it, and with the MAC address that the cloud gives it."""
        node = self.sandbox.add_node(number)
        node.run(f"ip link set eth0 address {mac_of(IPv4Address(node.address))}")
        key, value = reservation(IPv4Network(f"10.244.{number}.0/24"), IPv4Address(node.address))
        self.sandbox.etcdctl(f"put {key} '{value}'")
        return node

    def ec2(self, action: str, **parameters: str) -> str:
        words = "&".join([f"Action={action}", *(f"{name.replace('__', '.')}={value}" for name, value in parameters.items())])
        return self.sandbox.run(["curl", "-s", f"{EC2}?{words}"])

    def routes(self) -> list[str]:
        """The router's routes to pods."""
        return [line.rstrip() for line in self.sandbox.run("ip route show root 10.244.0.0/16").splitlines()]

    def add_machine(self, number: int) -> None:
        """A new instance, as an operator makes one."""
        if self.kind == "gce":
            body = {"name": f"node{number}", "canIpForward": True, "networkInterfaces": [{"networkIP": f"192.168.1.{number}"}]}
            self.sandbox.run(["curl", "-s", INSTANCES, "-d", json.dumps(body)])
            until(lambda: "RUNNING" in self.sandbox.run(["curl", "-s", f"{INSTANCES}/node{number}"]), "the new instance")
            return
        subnet = found(r"subnet-[0-9a-f]{17}", self.ec2("DescribeSubnets"))
        self.ec2("RunInstances", ImageId="ami-1", MinCount="1", MaxCount="1", SubnetId=subnet, PrivateIpAddress=f"192.168.1.{number}")

    def forbid_forwarding(self, number: int, again: bool = False) -> None:
        """Switch the source/destination check on, canIpForward off; `again`: the other way round."""
        if self.kind == "gce":
            body = json.dumps({"canIpForward": again})
            self.sandbox.run(["curl", "-s", "-X", "PUT", f"{INSTANCES}/node{number}", "-d", body])
            until(lambda: ("DROP" in self.sandbox.run("iptables -S CAN-IP-FORWARD")) is not again, "the check")
            return
        cards = re.findall(r"<networkInterfaceId>(.*?)</.*?<privateIpAddress>(.*?)</", self.ec2("DescribeNetworkInterfaces"))
        card = next(card for card, address in cards if address == f"192.168.1.{number}")
        self.ec2("ModifyNetworkInterfaceAttribute", NetworkInterfaceId=card, SourceDestCheck__Value=str(not again).lower())


def found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match is not None, text
    return match[0]


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    for kind in KINDS:
        for name, value in environment(kind).items():
            monkeypatch.setenv(name, value)
    with Sandbox(tmp_path) as made:
        made.start_etcd()
        yield made


@pytest.fixture(params=KINDS)
def cloud(sandbox: Sandbox, request: pytest.FixtureRequest) -> Cloud:
    return Cloud(sandbox, request.param)


@pytest.fixture
def aws(sandbox: Sandbox) -> Cloud:
    made = Cloud(sandbox, "aws-vpc")
    made.start(2)
    return made


def started(*nodes: Node) -> None:
    for node in nodes:
        node.start_flanneld("--ip-masq")
    for node in nodes:
        node.ready()
        if not node.pods:
            node.add_bridge()


def test_pods_of_all_nodes_reach_each_other_unwrapped(cloud: Cloud) -> None:
    sandbox = cloud.sandbox
    served = sandbox.directory / "served"
    served.mkdir()
    (served / "megabyte").write_bytes(bytes(1_000_000))
    cloud.start(3)
    cloud.configure()
    nodes = [cloud.node(number) for number in (1, 2, 3)]
    started(*nodes)
    assert cloud.routes() == [f"10.244.{number}.0/24 via 192.168.1.{number} dev br0" for number in (1, 2, 3)]
    pods = [node.add_pod() for node in nodes]
    for pid, address in pods:
        sandbox.start([sys.executable, "-u", "-m", "http.server", "8000", "--directory", str(served)], f"http-{address}", pid)
    for pid, _ in pods:
        until(lambda where=pid: ":8000" in sandbox.run("ss -Hltn", where), "the start of a web server")  # type: ignore[misc]
    for (here, own), (_, there) in permutations(pods, 2):
        assert sandbox.run(f"ping -c 3 -i 0.05 -w 30 {there}", here).count("ttl=61 ") == 3
        fetch = f"curl -s -m 5 http://{there}:8000/megabyte | wc -c"
        assert sandbox.run(fetch, here) == "1000000\n"
        log = sandbox.directory / f"http-{there}.log"
        assert f"{own} - - " in log.read_text(), "from pod to pod nobody masquerades"
    here, _ = pods[0]
    assert "1480 bytes from" in sandbox.run(f"ping -c 1 -W 5 -M do -s 1472 {pods[1][1]}", here)
    assert "mtu=1500" in sandbox.run(f"ping -c 1 -W 0.2 -M do -s 1473 {pods[1][1]}", here, check=False)


def test_a_node_shows_nothing_of_it(cloud: Cloud) -> None:
    cloud.start(2)
    cloud.configure()
    one, two = cloud.node(1), cloud.node(2)
    started(one, two)
    assert one.run("ip route").split("\n")[:-1] == [
        f"default via {MASTER} dev eth0 ",
        "10.244.1.0/24 dev docker0 proto kernel scope link src 10.244.1.1 linkdown ",
        "192.168.1.0/24 dev eth0 proto kernel scope link src 192.168.1.1 ",
    ]
    assert re.findall(r"^\S+", one.run("ip neigh show dev eth0"), re.MULTILINE) == [MASTER]
    answer = one.run("ping -c 2 -i 0.05 -W 5 10.244.2.1")
    assert answer.count("ttl=64 ") == 2, "there by the router; the answer, to the node's own address, comes straight"
    assert "Redirect" not in answer, "the router sends no redirects, though both nodes are on one switch"
    assert sorted(re.findall(r"^\d+: (\w+)", one.run("ip -o link"), re.MULTILINE)) == ["docker0", "eth0", "lo"]
    assert one.subnet_file.read_text() == ("FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1500\nFLANNEL_IPMASQ=true\n")
    key = "/coreos.com/network/subnets/10.244.1.0-24"
    assert cloud.sandbox.etcdctl(f"get {key}") == f'{key}\n{{"PublicIP":"192.168.1.1"}}\n'
    assert one.stats().startswith(f"{cloud.kind} forwards nothing itself")


def test_a_node_joins_and_one_leaves_while_traffic_flows(cloud: Cloud) -> None:
    sandbox = cloud.sandbox
    cloud.start(2)
    cloud.configure()
    one, two = cloud.node(1), cloud.node(2)
    started(one, two)
    (here, _), (_, there) = one.add_pod(), two.add_pod()
    ping = sandbox.start(["ping", "-i", "0.02", "-W", "5", there], "ping", here)
    until(lambda: ping.said("icmp_seq=5 "), "the ping")
    cloud.add_machine(3)
    three = cloud.node(3)
    started(three)
    _, newcomer = three.add_pod()
    assert sandbox.run(f"ping -c 1 -W 5 {newcomer}", here).count("ttl=61 ") == 1
    three.flanneld.signal(signal.SIGTERM)
    assert three.flanneld.wait() == 0
    assert "10.244.3.0/24 via 192.168.1.3 dev br0" in cloud.routes(), "flanneld leaves its row behind"
    assert sandbox.run(f"ping -c 1 -W 5 {newcomer}", here).count("ttl=61 ") == 1
    if cloud.kind == "gce":
        sandbox.run(["curl", "-s", "-X", "DELETE", f"{INSTANCES}/node3"])
    else:
        instance = three.run(f"curl -s {EC2}latest/meta-data/instance-id")
        cloud.ec2("TerminateInstances", InstanceId__1=instance)
    until(lambda: "blackhole 10.244.3.0/24" in cloud.routes(), "the blackhole")
    ping.signal(signal.SIGINT)
    ping.wait()
    assert " 0% packet loss" in ping.log.read_text()


def test_who_may_not_forward_neither_sends_nor_receives_for_others(cloud: Cloud) -> None:
    sandbox = cloud.sandbox
    cloud.start(2)
    cloud.configure()
    nodes = cloud.node(1), cloud.node(2)
    started(*nodes)
    (here, _), (_, there) = nodes[0].add_pod(), nodes[1].add_pod()
    ping = f"ping -c 1 -W 0.5 {there}"
    for number, node in enumerate(nodes, 1):
        until(lambda: "ttl=61 " in sandbox.run(ping, here, check=False), "an answer from the other node's pod")
        cloud.forbid_forwarding(number)
        assert "100% packet loss" in sandbox.run(ping, here, check=False), f"{node.name} forwards all the same"
        assert "ttl=64 " in nodes[0].run("ping -c 1 -W 5 192.168.1.2"), "what is its own passes"
        if cloud.kind == "aws-vpc":
            node.flanneld.signal(signal.SIGTERM)
            node.flanneld.wait()
            node.start_flanneld()
            node.ready()  # flanneld switches the check off at its start
        else:
            cloud.forbid_forwarding(number, again=True)
    until(lambda: "ttl=61 " in sandbox.run(ping, here, check=False), "an answer from the other node's pod")


def test_amazon_a_start_clears_blackholes_and_makes_its_row_anew(aws: Cloud) -> None:
    aws.configure()
    one, two = aws.node(1), aws.node(2)
    started(one, two)
    aws.ec2("TerminateInstances", InstanceId__1=two.run(f"curl -s {EC2}latest/meta-data/instance-id"))
    table = aws.ec2("DescribeRouteTables")
    assert "<destinationCidrBlock>10.244.2.0/24</destinationCidrBlock>" in table and "<state>blackhole</state>" in table
    one.flanneld.signal(signal.SIGTERM)
    one.flanneld.wait()
    one.start_flanneld()
    one.ready()
    assert one.flanneld.said("Removing blackhole route: 10.244.2.0/24")
    assert aws.routes() == ["10.244.1.0/24 via 192.168.1.1 dev br0"]
    asked = [line.split()[3] for line in aws.daemon.log.read_text().splitlines() if line.startswith("192.168.1.1 POST")]  # type: ignore[union-attr]
    order = ["DescribeInstances", "ModifyNetworkInterfaceAttribute", "DescribeRouteTables", "DescribeRouteTables", "DescribeRouteTables"]
    assert asked == [*order, "DeleteRoute", "CreateRoute", *order, "DeleteRoute", "DeleteRoute", "CreateRoute"]


def test_amazon_a_table_may_be_named_and_takes_fifty_routes(aws: Cloud) -> None:
    table = found(r"rtb-[0-9a-f]{17}", aws.ec2("DescribeRouteTables"))
    card = found(r"eni-[0-9a-f]{17}", aws.ec2("DescribeNetworkInterfaces"))
    aws.configure(RouteTableID=[table])
    for number in range(50):
        aws.ec2("CreateRoute", RouteTableId=table, DestinationCidrBlock=f"10.9.{number}.0/24", NetworkInterfaceId=card)
    one = aws.node(1)
    assert one.start_flanneld().wait() == 1
    assert one.flanneld.said("unable to add route 10.244.1.0/24: RouteLimitExceeded: The maximum number of routes (50)")
    aws.ec2("DeleteRoute", RouteTableId=table, DestinationCidrBlock="10.9.0.0/24")
    started(one)
    assert one.flanneld.said("Route table configured: true")
    assert "10.244.1.0/24 via 192.168.1.1 dev br0" in aws.routes()


def trouble(node: Node, status: int, *flags: str) -> str:
    """What flanneld says when it cannot start, without its glog prefixes; never a traceback."""
    assert node.start_flanneld(*flags).wait() == status
    text = node.flanneld.log.read_text()
    assert "Traceback" not in text
    return text


def test_amazon_wrong_configurations_are_told(aws: Cloud) -> None:
    aws.configure(RouteTableID="rtb-0123456789abcdef0")
    one = aws.node(1)
    said = trouble(one, 1)
    assert said.count("InvalidRouteTableID.NotFound: The routeTable ID 'rtb-0123456789abcdef0' does not exist") == 2
    assert "error deleting existing route for 10.244.1.0/24: InvalidRouteTableID.NotFound" in said.splitlines()[-1]
    aws.configure(RouteTableID=7)
    assert "Must be string or array of strings: 7; write it like rtb-" in trouble(one, 2)
    aws.configure()
    assert "error getting EC2 region name" in trouble(aws.node(9), 1), "a machine that is no instance"
    one.run("ip address add 192.168.1.77/24 dev eth0")
    assert "unable to find ENI that matches the 192.168.1.77 IP address" in trouble(one, 1, "--iface", "192.168.1.77")


def test_outside_of_a_cloud_they_say_what_they_need(cloud: Cloud) -> None:
    cloud.configure()
    node = cloud.node(1)
    node.run("ip route add unreachable 169.254.169.254")
    said = trouble(node, 1).splitlines()[-1]
    assert "no answer from http://169.254.169.254/" in said
    assert f"{cloud.kind} works on " in said


def test_a_cloud_says_what_is_wrong_with_its_flags(sandbox: Sandbox) -> None:
    for flags, words in ((["aws-vpc"], "--node NAME=ADDRESS/LENGTH"), (["azure"], "invalid choice"), (["gce", "--node", "a"], "is not NAME=ADDRESS")):
        daemon = sandbox.start([sys.executable, "-m", "lab.cloud", *flags], f"cloud-{flags[-1]}")
        assert daemon.wait() == 2
        assert daemon.said(words) and not daemon.said("Traceback")
