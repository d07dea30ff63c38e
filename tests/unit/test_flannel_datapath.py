"""Routes and both data paths, with a socket pair in place of the TUN device and the loopback as the wire."""

from __future__ import annotations

import os
import select
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

from lab.flannel import fastpath, vnet
from lab.flannel.backends import udp as backend
from lab.flannel.datapath import DataPath, PlainDataPath, Traffic
from lab.flannel.fastpath import UDP_GRO, FastDataPath
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.flannel.routes import Routes

SUBNETS = st.builds(
    lambda number, length: IPv4Network((0x0A000000 | number << 4, length), strict=False), st.integers(0, 64), st.integers(20, 32)
)


def event(kind: str, subnet: IPv4Network | str, owner: int | str) -> LeaseEvent:
    assert kind in ("added", "removed")
    return LeaseEvent("added" if kind == "added" else "removed", Lease(IPv4Network(subnet), Attrs(IPv4Address(owner))))


@given(st.lists(st.tuples(st.sampled_from(["added", "removed"]), SUBNETS, st.integers(1, 9))), st.integers(0, 1200))
def test_lookup_finds_the_longest_prefix(changes: list[tuple[str, IPv4Network, int]], host: int) -> None:
    routes = Routes()
    model: dict[IPv4Network, str] = {}
    for kind, subnet, owner in changes:
        routes.apply([event(kind, subnet, owner)], 8285)
        if kind == "added":
            model[subnet] = str(IPv4Address(owner))
        else:
            model.pop(subnet, None)
    destination = 0x0A000000 + host
    around = [subnet for subnet in model if IPv4Address(destination) in subnet]
    best = max(around, key=lambda subnet: subnet.prefixlen, default=None)
    assert routes.lookup(destination) == (None if best is None else (model[best], 8285))
    assert routes.entries() == {subnet: (owner, 8285) for subnet, owner in model.items()}
    assert routes.version == len(changes)


@dataclass
class Bench:
    """A running data path: `kernel` is the TUN device's kernel side, `peer` another node's flanneld."""

    path: DataPath
    head: bytes
    routes: Routes
    kernel: socket.socket
    peer: socket.socket
    address: tuple[str, int]
    thread: threading.Thread
    stop: int

    def traffic(self) -> Traffic:
        """The counters of the data path once it has ended: while it runs it may still be counting."""
        os.write(self.stop, b"x")
        self.thread.join(10)
        assert not self.thread.is_alive()
        return self.path.traffic

    def from_kernel(self, packet: IP) -> None:
        self.kernel.send(self.head + bytes(packet))

    def at_kernel(self) -> bytes:
        """The next packet that was written to the TUN device."""
        raw = self.kernel.recv(100_000)
        assert raw.startswith(self.head)
        return raw[len(self.head) :]

    def from_peer(self, raw: bytes) -> None:
        self.peer.sendto(raw, self.address)


NETWORK = IPv4Network("10.244.0.0/16")


@pytest.fixture(params=[PlainDataPath, FastDataPath])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    kernel, tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    tun.setblocking(False)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    udp.setblocking(False)
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.1", 0))
    for end in (kernel, peer):
        end.settimeout(10)
    routes = Routes()
    routes.apply([event("added", "10.244.2.0/24", "127.0.0.1")], peer.getsockname()[1])
    path = request.param(tun.fileno(), udp, routes, int(IPv4Address("10.244.1.0")), NETWORK)
    head = vnet.PLAIN if isinstance(path, FastDataPath) else b""
    if head:
        udp.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    stop_read, stop_write = os.pipe()
    thread = threading.Thread(target=path.run, args=(stop_read,))
    thread.start()
    try:
        made = Bench(path, head, routes, kernel, peer, udp.getsockname(), thread, stop_write)
        yield made
    finally:
        made.traffic()
        for end in (kernel, tun, udp, peer):
            end.close()
        os.close(stop_read)
        os.close(stop_write)


def packet(destination: str = "10.244.2.7", ttl: int = 63, load: bytes = b"hello") -> IP:
    return IP(bytes(IP(src="10.244.1.5", dst=destination, ttl=ttl, id=77) / UDP(sport=1, dport=2) / Raw(load)))


def test_a_packet_becomes_one_datagram_with_one_less_ttl(bench: Bench) -> None:
    bench.from_kernel(packet())
    assert bench.peer.recv(2000) == bytes(packet(ttl=62))
    assert bench.traffic().to_udp == 1


def test_a_datagram_becomes_one_packet_with_one_less_ttl(bench: Bench) -> None:
    bench.from_peer(bytes(packet("10.244.1.5")))
    assert bench.at_kernel() == bytes(packet("10.244.1.5", ttl=62))
    assert bench.traffic().to_tun == 1


def test_order_is_kept(bench: Bench) -> None:
    for number in range(50):
        bench.from_kernel(packet(load=b"%d" % number))
    assert [bytes(IP(bench.peer.recv(2000))[Raw]) for _ in range(50)] == [b"%d" % number for number in range(50)]


def test_nobody_holds_the_destination(bench: Bench) -> None:
    bench.from_kernel(packet("10.244.9.9"))
    answer = IP(bench.at_kernel())
    assert (answer.src, answer.dst, answer.ttl, answer[ICMP].type, answer[ICMP].code) == ("10.244.1.0", "10.244.1.5", 8, 3, 0)
    assert bytes(answer[ICMP].payload) == bytes(packet("10.244.9.9"))[:28]
    assert bench.traffic().dropped["from tun: no route"] == 1


def test_routes_may_change_while_it_runs(bench: Bench) -> None:
    bench.routes.apply([event("added", "10.244.9.0/24", "127.0.0.1")], bench.peer.getsockname()[1])
    bench.from_kernel(packet("10.244.9.9"))
    assert IP(bench.peer.recv(2000)).dst == "10.244.9.9"
    bench.routes.apply([event("removed", "10.244.9.0/24", "127.0.0.1")], 0)
    bench.from_kernel(packet("10.244.9.9"))
    assert IP(bench.at_kernel())[ICMP].type == 3


def test_what_is_no_packet_is_counted_and_nothing_breaks(bench: Bench) -> None:
    good = bytes(packet("10.244.1.5"))
    for raw in (
        b"",
        b"x" * 19,
        b"\x65" + good[1:],
        good[:-1],
        good + b"x",
        b"\x4f" + good[1:],
        bytes(packet(ttl=1)),
        bytes(packet(ttl=0)),
    ):
        bench.from_peer(raw)
    bench.from_kernel(packet(ttl=1))
    bench.from_kernel(IP(b"\x60" + bytes(40)))
    bench.from_peer(good)
    assert bench.at_kernel()[:1] == b"\x45"
    bench.from_kernel(packet())
    bench.peer.recv(2000)
    assert dict(bench.traffic().dropped) == {
        "from udp: too short": 2,
        "from udp: not IPv4": 1,
        "from udp: bad total length": 2,
        "from udp: bad header length": 1,
        "from udp: TTL expired": 2,
        "from tun: TTL expired": 1,
        "from tun: not IPv4": 1,
    }
    assert "tun->udp=1 udp->tun=1 unreachable=0 dropped: from tun: TTL expired=1" in str(bench.path.traffic)


def test_a_datagram_that_cannot_be_sent_is_counted(bench: Bench) -> None:
    bench.routes.apply([event("added", "10.244.8.0/24", "127.0.0.1")], 0)
    bench.from_kernel(packet("10.244.8.1"))
    bench.from_kernel(packet())
    bench.peer.recv(2000)
    assert bench.traffic().dropped == {"udp send: EINVAL": 1}


def test_what_is_odd_is_counted_and_passes(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(bytes(packet("10.244.1.5")), bench.address)
        assert bench.at_kernel() == bytes(packet("10.244.1.5", ttl=62))
    bench.from_peer(bytes(IP(src="192.0.2.1", dst="10.244.1.5") / UDP()))
    assert IP(bench.at_kernel()).src == "192.0.2.1"
    assert bench.traffic().odd == {"from an address without lease": 1, "source outside the pod network": 1}
    assert str(bench.path.traffic).endswith(
        "dropped: none odd: from an address without lease=1, source outside the pod network=1"
    )


@pytest.mark.parametrize("kind", [PlainDataPath, FastDataPath])
@given(datagrams=st.lists(st.binary(max_size=60), max_size=8))
def test_random_datagrams_never_end_it(kind: type[PlainDataPath | FastDataPath], datagrams: list[bytes]) -> None:
    kernel, tun = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender, udp = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with kernel, tun, sender, udp:
        for end in (kernel, tun, udp):
            end.setblocking(False)
        for raw in datagrams:
            sender.send(raw)
            kernel.send(raw)
        path = kind(tun.fileno(), udp, Routes(), 1, NETWORK)
        stop_read, stop_write = os.pipe()
        thread = threading.Thread(target=path.run, args=(stop_read,))
        thread.start()
        sender.send(bytes(packet("10.244.1.5", load=b"last")))
        while True:
            assert select.select([kernel], [], [], 10)[0]
            if kernel.recv(2000).endswith(b"last"):
                break
        os.write(stop_write, b"x")
        thread.join(10)
        os.close(stop_read)
        os.close(stop_write)
        assert not thread.is_alive()


@pytest.mark.parametrize("missing", ["numpy", "UDP_SEGMENT", "the TUN device's offload"])
def test_a_machine_without_a_part_of_it_gets_the_plain_path_and_one_line(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[object, ...]] = []

    def open_tun(*given: object) -> tuple[int, str]:
        opened.append(given)
        if missing == "the TUN device's offload" and len(given) > 1:
            raise OSError(22, "Invalid argument")
        return 9, "flannel0"

    if missing == "numpy":
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(fastpath, "open_tun", open_tun)
    monkeypatch.setattr(backend, "open_tun", open_tun)
    said: list[str] = []
    address = IPv4Address("127.0.0.1")
    made = backend.UdpBackend(External("lo", 1500, address, address), lambda config, attrs: pytest.fail("no lease"), said.append)
    family = socket.AF_UNIX if missing == "UDP_SEGMENT" else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        assert made._device(udp) == (9, "flannel0", PlainDataPath)
        assert opened[-1] == ("flannel%d",)
        if family == socket.AF_INET:
            assert udp.getsockopt(socket.IPPROTO_UDP, UDP_GRO) == 0
    (line,) = said
    assert line.startswith("This machine cannot do the fast data path (") and line.endswith("), using the plain one")
