"""flanneld with the udp backend: real etcd, real TUN devices, real packets, in namespaces of their own."""

from __future__ import annotations

import re
import signal
import sys
from ipaddress import IPv4Address

import pytest

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.waiting import until

pytestmark = pytest.mark.e2e

CONFIG = '{"Network":"10.244.0.0/16","SubnetMin":"10.244.0.0","Backend":{"Type":"udp"}}'


@pytest.fixture(params=["fast", "plain"])
def pair(sandbox: Sandbox, request: pytest.FixtureRequest) -> tuple[Node, Node]:
    """Two nodes with 10.244.1.0/24 and 10.244.2.0/24, each knowing the other, with either data path."""
    sandbox.configure(CONFIG)
    return sandbox.add_pair(request.param, request.param)


def python(sandbox: Sandbox, where: int, script: str, *arguments: str) -> str:
    return sandbox.run([sys.executable, "-c", script, *arguments], where)


def test_a_node_shows_what_flannel_08_shows(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one = pair[0]
    assert "10.244.0.0/16 dev flannel0 proto kernel scope link src 10.244.1.0" in one.run("ip route")
    assert "inet 10.244.1.0/16 scope global flannel0" in one.run("ip address show flannel0")
    assert "mtu 1472" in one.run("ip link show flannel0")
    assert "192.168.1.1:8285" in one.run("ss -Hlun")
    assert one.subnet_file.read_text() == (
        "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"
    )
    assert sandbox.etcdctl("get --prefix /coreos.com/network/subnets") == (
        '/coreos.com/network/subnets/10.244.1.0-24\n{"PublicIP":"192.168.1.1"}\n'
        '/coreos.com/network/subnets/10.244.2.0-24\n{"PublicIP":"192.168.1.2"}\n'
    )
    assert one.flanneld.said("Found lease (10.244.1.0/24) for current IP (192.168.1.1), reusing")
    assert not one.flanneld.said("Subnet added: 10.244.1.0/24"), "its own subnet is no route"
    assert '"lease"' not in sandbox.etcdctl("get --prefix /coreos.com/network/subnets -w json"), "a reservation must stay one"


def test_pods_of_two_nodes_reach_each_other(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one, two = pair
    pod1, _ = one.add_pod()
    _, there = two.add_pod()
    answer = sandbox.run(f"ping -c 3 -i 0.05 -w 30 {there}", pod1)
    assert answer.count("ttl=60 ") == 3, answer
    assert one.run(f"ping -c 1 -W 5 {two.gateway}").count("ttl=62 ") == 1
    assert sandbox.run(f"ping -c 1 -W 5 -M do -s {1472 - 28} {there}", pod1).count("ttl=60 ") == 1
    assert "mtu=1472" in sandbox.run(f"ping -c 1 -W 5 -M do -s {1473 - 28} {there}", pod1, check=False)
    assert "dropped: from tun: not IPv4" in one.stats() or "dropped: none" in one.stats()


LISTENER = """
import socket, sys
with socket.create_server((sys.argv[1], 80)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    with connection:
        total = 0
        while piece := connection.recv(65536):
            total += len(piece)
        connection.sendall(str(total).encode())
"""
SENDER = """
import socket, sys
with socket.create_connection((sys.argv[1], 80), timeout=15) as connection:
    connection.sendall(bytes(8_000_000))
    connection.shutdown(socket.SHUT_WR)
    print(connection.recv(100).decode())
"""


def test_a_tcp_stream_crosses_whole(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one, two = pair
    pod1, _ = one.add_pod()
    pod2, there = two.add_pod()
    server = sandbox.start([sys.executable, "-c", LISTENER, there], "listener", pod2)
    until(lambda: server.said("ready"), "the listener's start")
    assert python(sandbox, pod1, SENDER, there) == "8000000\n"


PEER = """
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("192.168.1.9", 8285))
udp.settimeout(15)
print("ready", flush=True)
print(udp.recv(2000).hex(), flush=True)
"""
SEND_UDP = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 33)
udp.sendto(b"payload", (sys.argv[1], 5000))
"""


def test_the_wire_carries_the_bare_packet(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    """A node that is not ours gets each packet as it is: one inner IP packet a datagram, nothing before it."""
    stranger = sandbox.add_node(9)
    listener = sandbox.start([sys.executable, "-c", PEER], "peer", stranger.pid)
    until(lambda: listener.said("ready"), "the peer's start")
    sandbox.etcdctl("""put /coreos.com/network/subnets/10.244.9.0-24 '{"PublicIP":"192.168.1.9"}'""")
    one = pair[0]
    until(lambda: one.flanneld.said("Subnet added: 10.244.9.0/24"), "the stranger's route")
    python(sandbox, one.pid, SEND_UDP, "10.244.9.7")
    assert listener.wait() == 0
    raw = bytes.fromhex(listener.log.read_text().split()[1])
    assert raw[0] == 0x45
    assert raw[8] == 32, "flanneld takes one off the TTL"
    assert (raw[12:16], raw[16:20]) == (bytes([10, 244, 1, 0]), bytes([10, 244, 9, 7]))
    assert raw[-7:] == b"payload"


SNIFF = """
import socket
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
sniffer.bind(("flannel0", 3))
sniffer.settimeout(15)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(("10.244.77.7", 5000))
udp.send(b"is anybody there?")
while True:
    raw = sniffer.recv(2000)
    if raw[0] == 0x45 and raw[9] == 1:
        print(raw.hex())
        break
"""
REFUSED = """
import pathlib, socket
pathlib.Path("/proc/sys/net/ipv4/conf/flannel0/accept_local").write_text("1")
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
udp.settimeout(15)
udp.connect(("10.244.77.7", 5000))
udp.send(b"is anybody there?")
try:
    udp.recv(100)
except OSError as error:
    print(error.strerror)
"""


def test_a_packet_to_nobodys_subnet_is_answered(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one = pair[0]
    raw = bytes.fromhex(python(sandbox, one.pid, SNIFF))
    assert (raw[8], raw[12:16], raw[16:20]) == (8, bytes([10, 244, 1, 0]), bytes([10, 244, 1, 0]))
    assert (raw[20], raw[21]) == (3, 0), "destination unreachable, network unreachable"
    assert raw[28 + 16 : 28 + 20] == bytes([10, 244, 77, 7])
    assert len(raw) == 20 + 8 + 20 + 8
    # The kernel takes a packet from one of its own addresses for a forgery unless accept_local says otherwise.
    assert python(sandbox, one.pid, REFUSED) == "Network is unreachable\n"
    assert "unreachable=2" in one.stats()


FLOOD = """
import os, random, socket, sys
dice = random.Random(7)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there = (sys.argv[1], 8285)
for size in [0, 1, 19, 20, 21, 1472] + [dice.randrange(1473) for _ in range(500)]:
    raw = bytearray(dice.randbytes(size))
    udp.sendto(raw, there)
    if size >= 20:
        raw[0] = 0x45
        udp.sendto(raw, there)
        raw[2:4] = size.to_bytes(2, "big")
        udp.sendto(raw, there)
"""


def test_hostile_datagrams_are_counted_and_survived(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one, two = pair
    python(sandbox, two.pid, FLOOD, one.address)
    assert "ttl=62" in two.run(f"ping -c 1 -W 5 {one.gateway}")
    stats = one.stats()
    for reason in ("too short", "not IPv4", "bad total length"):
        assert re.search(rf"from udp: {reason}=\d+", stats), stats
    assert one.flanneld.popen.poll() is None


def test_a_deleted_lease_takes_its_route_and_its_daemon(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one, two = pair
    assert "ttl=62" in one.run(f"ping -c 1 -W 5 {two.gateway}")
    sandbox.etcdctl("del /coreos.com/network/subnets/10.244.2.0-24")
    assert two.flanneld.wait() == 0
    assert two.flanneld.said("Lease has been revoked. Shutting down daemon.")
    assert "flannel0" not in two.run("ip link")
    until(lambda: one.flanneld.said("Subnet removed: 10.244.2.0/24"), "the route's end")
    one.run(f"ping -c 1 -W 1 {two.gateway}", check=False)
    assert "from tun: no route=1" in one.stats()


def test_traffic_outlives_etcd_and_new_nodes_are_learnt_when_it_is_back(sandbox: Sandbox, pair: tuple[Node, Node]) -> None:
    one, two = pair
    sandbox.stop_etcd()
    assert "ttl=62" in one.run(f"ping -c 1 -W 5 {two.gateway}")
    three = sandbox.add_node(3)
    three.start_flanneld()
    until(lambda: three.flanneld.said("Couldn't fetch network config: etcd does not answer"), "the wait for etcd")
    sandbox.start_etcd()
    three.ready()
    three.add_bridge()
    one.knows(three)
    three.knows(one)
    assert "ttl=62" in one.run(f"ping -c 1 -W 5 {three.gateway}")
    assert "ttl=62" in one.run(f"ping -c 1 -W 5 {two.gateway}")


def test_a_node_that_comes_back_gets_its_subnet(sandbox: Sandbox) -> None:
    sandbox.configure('{"Network":"10.244.0.0/16"}')
    node = sandbox.add_node(1)
    node.start_flanneld()
    node.ready()
    subnet = node.subnet
    key = f"/coreos.com/network/subnets/{subnet.network_address}-24"
    assert IPv4Address("10.244.1.0") <= subnet.network_address <= IPv4Address("10.244.100.0")
    lease = re.search(r'"lease":(\d+)', sandbox.etcdctl(f"get {key} -w json"))
    assert lease
    assert "granted with TTL(86400s)" in sandbox.etcdctl(f"lease timetolive {int(lease[1]):x}")

    flanneld = node.flanneld
    flanneld.signal(signal.SIGTERM)
    assert flanneld.wait() == 0
    assert flanneld.said("Starting shutdown...")
    node.start_flanneld()
    node.ready()
    assert node.subnet == subnet
    assert node.flanneld.said(f"Found lease ({subnet}) for current IP (192.168.1.1), reusing")

    sandbox.etcdctl(f"del {key}")
    assert node.flanneld.wait() == 0
    node.start_flanneld()
    node.ready()
    assert node.subnet == subnet
    assert node.flanneld.said(f"Found previously leased subnet ({subnet}), reusing")


def test_masquerade_rules_come_once(sandbox: Sandbox) -> None:
    sandbox.configure(CONFIG)
    node = sandbox.add_node(1)
    for _ in range(2):
        flanneld = node.start_flanneld("--ip-masq")
        node.ready()
        subnet = node.subnet
        flanneld.signal(signal.SIGTERM)
        assert flanneld.wait() == 0
    assert node.run("iptables -t nat -S POSTROUTING").splitlines() == [
        "-P POSTROUTING ACCEPT",
        "-A POSTROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN",
        "-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE",
        f"-A POSTROUTING ! -s 10.244.0.0/16 -d {subnet} -j RETURN",
        "-A POSTROUTING ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE",
    ]
    assert node.given.ip_masq


def test_health_check_and_interface_flags(sandbox: Sandbox) -> None:
    sandbox.configure(CONFIG)
    node = sandbox.add_node(1)
    node.start_flanneld("-iface=nosuch0", "--iface", "192.168.1.1", "--public-ip", "203.0.113.5", "--healthz-port", "10255")
    node.ready()
    assert node.run(f"curl -s --max-time 5 http://{node.address}:10255/healthz") == "flanneld is running"
    assert '{"PublicIP":"203.0.113.5"}' in sandbox.etcdctl("get --prefix /coreos.com/network/subnets")
    assert node.flanneld.said("Could not find valid interface matching nosuch0")


@pytest.mark.parametrize(
    ("config", "flags", "status", "text"),
    [
        ("nonsense", [], 2, "etcd key /coreos.com/network/config: is not JSON"),
        ('{"Network":"10.244.0.0/16","SubnetMin":"10.9.0.0"}', [], 2, "SubnetMin is not in the range of the Network"),
        ('{"Network":"10.244.0.0/16","Backend":{"Type":"pigeon"}}', [], 2, "unknown backend type: pigeon"),
        ('{"Network":"10.244.0.0/16","SubnetMin":"10.244.9.0","SubnetMax":"10.244.9.0"}', [], 1, "out of subnets"),
        (CONFIG, ["--iface", "nosuch0"], 1, "Failed to find interface to use"),
        (CONFIG, ["--no-such-flag"], 2, "unrecognized arguments: --no-such-flag"),
        (CONFIG, ["--subnet-lease-renew-margin", "1440"], 2, "Invalid subnet-lease-renew-margin option"),
    ],
)
def test_what_cannot_heal_ends_it_with_one_message(
    sandbox: Sandbox, config: str, flags: list[str], status: int, text: str
) -> None:
    sandbox.configure(config)
    sandbox.etcdctl("""put /coreos.com/network/subnets/10.244.9.0-24 '{"PublicIP":"192.168.1.99"}'""")
    flanneld = sandbox.add_node(1).start_flanneld(*flags)
    assert flanneld.wait() == status
    assert flanneld.said(text), flanneld.log.read_text()
    assert not flanneld.said("Traceback")


def test_sigterm_while_it_waits_for_its_config(sandbox: Sandbox) -> None:
    flanneld = sandbox.add_node(1).start_flanneld()
    until(lambda: flanneld.said("Couldn't fetch network config: key /coreos.com/network/config not found"), "the wait")
    flanneld.signal(signal.SIGTERM)
    assert flanneld.wait() == 0
    assert flanneld.said("Starting shutdown...")


def test_alloc_gives_a_subnet_and_nothing_else(sandbox: Sandbox) -> None:
    sandbox.configure('{"Network":"10.244.0.0/16","Backend":{"Type":"alloc"}}')
    node = sandbox.add_node(1)
    flanneld = node.start_flanneld()
    node.ready()
    assert node.given.mtu == 1500
    assert "flannel" not in node.run("ip -o link")
    flanneld.signal(signal.SIGTERM)
    assert flanneld.wait() == 0
