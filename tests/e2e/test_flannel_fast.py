"""The fast data path against the kernel: its segmentation as the judge, streams to a plain flanneld and back, hostile datagrams."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.flannel_sandbox import Node, Sandbox
from tests.waiting import until

pytestmark = pytest.mark.e2e

CONFIG = '{"Network":"10.244.0.0/16","SubnetMin":"10.244.0.0","Backend":{"Type":"udp"}}'


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path) as made:
        yield made


def pair(sandbox: Sandbox, *datapaths: str) -> tuple[Node, Node]:
    sandbox.start_etcd()
    sandbox.configure(CONFIG)
    return sandbox.add_pair(*datapaths)


JUDGE = """
import os, random, select, struct, subprocess, sys
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
from lab.flannel import packet, tun, vnet
from lab.flannel.coalesce import Coalescer
from lab.flannel.segment import Segmenter

given, _ = tun.open_tun("given", tun.IFF_TUN | tun.IFF_NO_PI | tun.IFF_VNET_HDR)
taken, _ = tun.open_tun("taken")
setup = "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
for line in [setup, "ip link set given up mtu 9000", "ip link set taken up mtu 9000", "ip route add 10.1.0.0/16 dev given",
             "ip route add 10.2.0.0/16 dev taken"]:
    subprocess.run(line.split(), check=True)

def through_the_kernel(raw, number):
    os.write(given, raw)
    made = []
    while len(made) < number:
        assert select.select([taken], [], [], 10)[0], f"{len(made)} of {number} packets"
        one = os.read(taken, 70000)
        if one[0] == 0x45:
            made.append(one)
    return made

def less_ttl(raw):
    raw = bytearray(raw)
    assert packet.decrement_ttl(raw)
    return bytes(raw)

dice, segmenter, coalescer = random.Random(11), Segmenter(), Coalescer()
for turn in range(60):
    size = dice.choice([1420, 1421, 500, 88, 1448, 8000])
    length = dice.choice([size + 1, 2 * size, 10 * size - 3, dice.randrange(size + 1, 60000)]) % 64000
    payload = dice.randbytes(min(length + size, 64000, 300 * size))  # a TUN device queues 500 packets
    flags = dice.choice(["A", "PA", "FPA", "CA"]) if turn % 2 else dice.choice(["A", "PA", "FPA"])
    head = IP(src="10.1.0.1", dst="10.2.0.1", tos=2, id=dice.choice([0, 1, 0xFFF0, 0xFFFF]), ttl=60, flags=dice.choice(["DF", 0]))
    options = dice.choice([[], [("NOP", None), ("NOP", None), ("Timestamp", (3, 4))]])
    sequence = dice.choice([0, 7, 0xFFFFF000])
    raw = bytearray(bytes(head / TCP(sport=3, dport=4, seq=sequence, ack=5, flags=flags, options=options) / Raw(payload)))
    length = len(raw) - 20
    pseudo = packet.checksum(raw[12:20] + struct.pack("!HH", 6, length)) ^ 0xFFFF
    raw[36:38] = pseudo.to_bytes(2, "big")
    headers = len(raw) - len(payload)
    gso = vnet.GSO_TCPV4 | (vnet.GSO_ECN if "C" in flags else 0)
    whole = vnet.Header(vnet.NEEDS_CSUM, gso, headers, size, 20, 16).packed() + raw
    data, stride, number = segmenter.segment(raw, size)
    ours = [bytes(data[at : at + stride]) for at in range(0, len(data), stride)]
    kernels = through_the_kernel(whole, number)
    assert kernels == [less_ttl(one) for one in ours], f"turn {turn}: the kernel cuts otherwise"

    buffer, start, joined_some = bytearray(10) + b"".join(ours), 10, False
    while start < len(buffer):
        count, joined = coalescer.take(buffer, start, len(buffer), stride)
        here = ours[(start - 10) // stride :][:count]
        if joined is None:
            joined = vnet.PLAIN + less_ttl(here[0])
        else:
            joined_some = True
        assert through_the_kernel(joined, count) == [less_ttl(less_ttl(one)) for one in here], f"turn {turn}: joined otherwise"
        start += count * stride
    assert joined_some or number < 4, f"turn {turn}"
print("the same")
"""


def test_the_kernel_cuts_super_packets_as_we_do_and_undoes_our_joining(sandbox: Sandbox) -> None:
    where = sandbox.namespace("judge")
    assert sandbox.run([sys.executable, "-c", JUDGE], where).endswith("the same\n")


RECEIVER = """
import hashlib, socket, sys
with socket.create_server((sys.argv[1], 80)) as server:
    print("ready", flush=True)
    connection, _ = server.accept()
    with connection:
        digest = hashlib.sha256()
        while piece := connection.recv(65536):
            digest.update(piece)
        connection.sendall(digest.hexdigest().encode())
"""
SENDER = """
import hashlib, random, socket, sys
data = random.Random(5).randbytes(6_000_000)
with socket.create_connection((sys.argv[1], 80), timeout=15) as connection:
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(100).decode() == hashlib.sha256(data).hexdigest()
print("whole")
"""
ERRORS = ("Ip InHdrErrors", "Tcp InCsumErrors", "Tcp InErrs", "Udp InCsumErrors")
"""What a damaged packet counts up in the kernel that gets it."""


def counters(where: int) -> dict[str, int]:
    """The kernel's own for the network namespace of a process, as `Tcp InSegs`."""
    lines = [line for name in ("snmp", "netstat") for line in Path(f"/proc/{where}/net/{name}").read_text().splitlines()]
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        group = names.split(":")[0]
        found.update({f"{group} {name}": int(value) for name, value in zip(names.split()[1:], values.split()[1:], strict=True)})
    return found


def stream(sandbox: Sandbox, client: int, server: int, address: str, number: int) -> None:
    listener = sandbox.start([sys.executable, "-c", RECEIVER, address], f"receiver{number}", server)
    until(lambda: listener.said("ready"), "the receiver's start")
    assert sandbox.run([sys.executable, "-c", SENDER, address], client) == "whole\n"


@pytest.mark.parametrize("datapaths", [("fast", "fast"), ("fast", "plain"), ("plain", "fast")], ids=lambda both: "-".join(both))
def test_streams_cross_both_ways_whole(sandbox: Sandbox, datapaths: tuple[str, str]) -> None:
    one, two = pair(sandbox, *datapaths)
    (pod1, here), (pod2, there) = one.add_pod(), two.add_pod()
    stream(sandbox, pod1, pod2, there, 1)
    stream(sandbox, pod2, pod1, here, 2)
    for pod in (pod1, pod2):
        counted = counters(pod)
        assert {name: counted[name] for name in ERRORS} == dict.fromkeys(ERRORS, 0)
        assert counted["Tcp InSegs"] > 100
    for node in (one, two):
        assert not re.search(r"udp send|udp receive|write failed|segmentation|odd", node.stats()), node.stats()


NUMBERED = """
import socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.setsockopt(socket.SOL_SOCKET, 33, 1 << 22)  # SO_RCVBUFFORCE: nothing may get lost for want of room
udp.settimeout(15)
udp.bind((sys.argv[1], 5000))
print("ready", flush=True)
got = [int.from_bytes(udp.recv(2000)[:4], "big") for _ in range(200)]
assert got == list(range(200)), got
print("in order", flush=True)
"""
COUNTING = """
import random, socket, sys
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect((sys.argv[1], 5000))
dice = random.Random(3)
for number in range(200):
    udp.send(number.to_bytes(4, "big") + bytes(dice.choice([0, 0, 0, 60, 61, 1000])))
"""


@pytest.mark.parametrize("datapaths", [("fast", "fast"), ("fast", "plain"), ("plain", "fast")], ids=lambda both: "-".join(both))
def test_small_packets_keep_their_order_and_their_checksums(sandbox: Sandbox, datapaths: tuple[str, str]) -> None:
    one, two = pair(sandbox, *datapaths)
    (pod1, _), (pod2, there) = one.add_pod(), two.add_pod()
    sandbox.run(f"ping -c 1 -W 5 {there}", pod1)
    listener = sandbox.start([sys.executable, "-c", NUMBERED, there], "numbered", pod2)
    until(lambda: listener.said("ready"), "the listener's start")
    sandbox.run([sys.executable, "-c", COUNTING, there], pod1)
    assert listener.wait() == 0, listener.log.read_text()


def test_a_path_with_a_smaller_mtu_gets_its_datagrams_one_by_one(sandbox: Sandbox) -> None:
    one, two = pair(sandbox, "fast", "fast")
    (pod1, _), (pod2, there) = one.add_pod(), two.add_pod()
    one.run(f"ip route add {two.address} dev eth0 mtu 1400")
    stream(sandbox, pod1, pod2, there, 1)
    assert "udp send" not in one.stats()
    assert counters(one.pid)["Ip FragCreates"] > 4000


FLOOD = """
import random, socket, struct, sys
from scapy.layers.inet import IP, TCP
from scapy.packet import Raw
dice = random.Random(7)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
there = (sys.argv[1], 8285)
good = [bytes(IP(src="10.9.9.9", dst="10.244.1.9", id=n, ttl=9) / TCP(flags="A", seq=100 * n) / Raw(bytes(100))) for n in range(60)]
for turn in range(120):
    raw = bytearray(b"".join(good))
    for _ in range(dice.randrange(1, 200)):
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    size = dice.choice([140, 140, 139, 141, 40, 1400])
    raw = raw[: size * dice.randrange(1, 60)]
    udp.sendmsg([raw], [(socket.IPPROTO_UDP, 103, struct.pack("=H", size))], 0, there)
udp.sendto(b"", there)
"""


def test_a_flood_of_long_datagrams_is_counted_and_survived(sandbox: Sandbox) -> None:
    one, two = pair(sandbox, "fast", "fast")
    stranger = sandbox.add_node(9)
    sandbox.run([sys.executable, "-c", FLOOD, one.address], stranger.pid)
    assert "ttl=62" in two.run(f"ping -c 1 -W 5 {one.gateway}")
    stats = one.stats()
    for reason in ("too short", "not IPv4", "bad total length", "from an address without lease", "source outside the pod network"):
        assert re.search(rf"{reason}=\d+", stats), stats
    assert one.flanneld.popen.poll() is None


def test_the_plain_path_is_there_for_the_asking_and_a_wrong_name_is_refused(sandbox: Sandbox) -> None:
    sandbox.start_etcd()
    sandbox.configure(CONFIG)
    node = sandbox.add_node(1)
    for datapath, shown in (("fast", "vnet_hdr on"), ("plain", "vnet_hdr off")):
        flanneld = node.start_flanneld("--datapath", datapath)
        node.ready()
        assert shown in node.run("ip -d link show flannel0")
        flanneld.signal(signal.SIGTERM)
        assert flanneld.wait() == 0
    flanneld = node.start_flanneld("--datapath", "quick")
    assert flanneld.wait() == 2
    assert flanneld.said("there is no data path 'quick'; --datapath takes fast or plain")
