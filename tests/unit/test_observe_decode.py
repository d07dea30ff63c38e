"""What captures saw, decoded: scapy builds the packets and judges; nothing that arrives can make it raise."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption_NOP, UDPerror
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from lab.observe import packet as seen
from lab.observe.decode import DEPTH, decode

POD1, POD2, NODE1, NODE2 = "10.244.1.145", "10.244.2.246", "10.229.53.146", "10.229.45.161"
MAC1, MAC2 = "02:42:0a:f4:01:91", "02:42:0a:f4:01:01"
ECHO = IP(src=POD1, dst=POD2, ttl=62, id=7) / ICMP(type=8, id=9, seq=1) / Raw(b"hello")
OUTER = IP(src=NODE1, dst=NODE2, ttl=64) / UDP(sport=8285, dport=8285)
NUMBERS = st.integers(0, 2**32 - 1)
ADDRESSES = NUMBERS.map(lambda number: str(IPv4Address(number)))
PORTS = st.integers(0, 65535)
TRANSPORTS = st.one_of(
    st.builds(UDP, sport=PORTS, dport=PORTS.filter(lambda port: port not in (8285, 8472))),
    st.builds(TCP, sport=PORTS, dport=PORTS, seq=NUMBERS, ack=NUMBERS, flags=st.sampled_from(["S", "SA", "A", "R"])),
    st.builds(ICMP, type=st.sampled_from([0, 8]), id=PORTS, seq=PORTS),
)
PACKETS = st.builds(
    lambda source, destination, ttl, ident, options, transport, load: (
        IP(src=source, dst=destination, ttl=ttl, id=ident, flags="DF", options=[IPOption_NOP()] * (4 * options)) / transport / Raw(load)
    ),
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 255),
    PORTS,
    st.integers(0, 9),
    TRANSPORTS,
    st.binary(min_size=1, max_size=64),
)


def bare(packet: Packet) -> seen.Packet:
    """As a TUN device sees it."""
    return decode(bytes(packet), "ip")


@given(PACKETS)
def test_it_finds_what_scapy_put_in(made: Packet) -> None:
    raw = bytes(made)
    again, found = IP(raw), decode(raw, "ip")
    assert found.ip == seen.Ip(
        IPv4Address(again.src), IPv4Address(again.dst), again.proto, again.ttl, len(raw), again.id, dont_fragment=True
    )
    transport = again.payload
    if isinstance(transport, ICMP):
        assert found.transport == seen.Icmp(transport.type, 0, transport.id, transport.seq)
    elif isinstance(transport, TCP):
        flags = {"S": ("SYN",), "SA": ("SYN", "ACK"), "A": ("ACK",), "R": ("RST",)}[str(transport.flags)]
        assert found.transport == seen.Tcp(transport.sport, transport.dport, transport.seq, transport.ack, flags)
    else:
        assert found.transport == seen.Udp(transport.sport, transport.dport, transport.len)
    assert found.payload == bytes(again[Raw])
    assert (found.fault, found.inner, found.quoted, found.size) == ("", None, None, len(raw))


@given(PACKETS)
def test_a_datagram_to_flannels_port_carries_a_packet_as_it_is(made: Packet) -> None:
    found = bare(OUTER / Raw(bytes(made)))
    assert (str(found.ip and found.ip.source), found.ip and found.ip.ttl) == (NODE1, 64)
    assert found.inner == bare(made) and found.innermost == found.inner and found.wrapped
    assert found.payload == b"", "nothing is left beside the packet"
    assert found.ip is not None and found.innermost.ip is not None
    assert found.ip.length == found.innermost.ip.length + 28


def test_vxlan_carries_a_frame() -> None:
    frame = Ether(src=MAC1, dst=MAC2) / ECHO
    found = bare(IP(src=NODE1, dst=NODE2) / UDP(sport=40000, dport=8472) / VXLAN(vni=1, flags="Instance") / frame)
    assert found.vxlan == seen.Vxlan(1)
    assert found.inner == decode(bytes(frame))
    assert found.inner is not None and found.inner.ethernet == seen.Ethernet(MAC1, MAC2, 0x0800)


def test_ip_in_ip_carries_a_packet() -> None:
    found = bare(IP(src=NODE1, dst=NODE2, proto=4) / ECHO)
    assert found.inner == bare(ECHO) and found.transport is None


def test_the_ports_of_tunnels_can_be_others() -> None:
    raw = bytes(IP() / UDP(dport=9999) / ECHO)
    assert decode(raw, "ip").inner is None
    assert decode(raw, "ip", {9999: "ip"}).inner == bare(ECHO)
    assert decode(bytes(OUTER / ECHO), "ip", {}).inner is None


@pytest.mark.parametrize("load", [b"", b"hello", b"\x45" + bytes(10), b"\x60" + bytes(60)])
def test_other_payloads_of_a_tunnels_port_stay_payload(load: bytes) -> None:
    found = bare(OUTER / Raw(load))
    assert (found.inner, found.payload, found.fault) == (None, load, "")


def test_an_inner_packet_that_is_cut_short_says_so() -> None:
    found = bare(OUTER / Raw(bytes(ECHO)[:-2]))
    assert found.inner is not None and found.inner.fault == "cut short" and found.fault == ""


def test_arp() -> None:
    question = decode(bytes(Ether(src=MAC1) / ARP(op=1, hwsrc=MAC1, psrc="172.17.0.3", pdst="172.17.0.4")))
    assert question.arp == seen.Arp(1, MAC1, IPv4Address("172.17.0.3"), "00:00:00:00:00:00", IPv4Address("172.17.0.4"))
    assert question.ip is None
    answer = decode(bytes(Ether() / ARP(op=2, hwsrc=MAC2, psrc="172.17.0.4", hwdst=MAC1, pdst="172.17.0.3")))
    assert answer.arp is not None and (answer.arp.operation, answer.arp.sender_mac) == (2, MAC2)


def test_a_tagged_frame_is_read_behind_its_tag() -> None:
    found = decode(bytes(Ether(src=MAC1, dst=MAC2) / Dot1Q(vlan=7) / ECHO))
    assert found.ethernet == seen.Ethernet(MAC1, MAC2, 0x0800) and found.ip == bare(ECHO).ip


def test_ethernets_padding_is_no_payload() -> None:
    found = decode(bytes(Ether() / ECHO) + bytes(20))
    assert found.payload == b"hello"


def test_an_icmp_error_quotes_the_packet_that_it_is_about() -> None:
    quoted = IPerror(src=POD1, dst="10.244.77.7", ttl=63, len=34, proto=17) / UDPerror(sport=1000, dport=5000, len=14)
    found = bare(IP(src="10.244.1.0", dst=POD1, ttl=8) / ICMP(type=3, code=0) / quoted)
    assert found.transport == seen.Icmp(3, 0) and found.transport.is_error
    about = found.quoted
    assert about is not None and about.ip is not None
    assert (str(about.ip.destination), about.ip.ttl, about.transport) == ("10.244.77.7", 63, seen.Udp(1000, 5000, 14))
    assert (found.fault, about.fault) == ("", ""), "a quotation is cut short by its nature"


def test_fragmentation_needed_names_its_mtu() -> None:
    found = bare(IP() / ICMP(type=3, code=4, nexthopmtu=1472) / IPerror(bytes(ECHO)[:28]))
    assert isinstance(found.transport, seen.Icmp) and found.transport.mtu == 1472
    assert found.quoted is not None and found.quoted.echo is not None and found.quoted.echo.identifier == 9


def test_a_tcp_segment_in_a_quotation_has_its_ports() -> None:
    found = bare(IP() / ICMP(type=11) / IPerror(bytes(IP(src=POD1) / TCP(sport=40, dport=80, seq=5))[:28]))
    assert found.quoted is not None and found.quoted.transport == seen.Tcp(40, 80, 5, 0, ())
    assert isinstance(found.transport, seen.Icmp) and found.transport.is_error


def test_only_the_first_fragment_has_a_transport_header() -> None:
    first = bare(IP(flags="MF", frag=0) / UDP(dport=53) / Raw(bytes(16)))
    later = bare(IP(flags="", frag=3, proto=17) / Raw(b"\x20\x5d\x20\x5d" + bytes(40)))
    assert first.ip is not None and first.ip.more_fragments and first.transport is not None
    assert later.ip is not None and later.ip.fragment_offset == 24 and later.transport is None and later.inner is None


@pytest.mark.parametrize(
    ("raw", "link", "fault"),
    [
        (b"", "ethernet", "too short for Ethernet"),
        (b"", "ip", "not IPv4"),
        (b"\x60" + bytes(60), "ip", "not IPv4"),
        (b"\x41" + bytes(60), "ip", "bad IPv4 header"),
        (bytes(ECHO)[:22], "ip", "cut short"),
        (bytes(IP(proto=17) / Raw(b"abc")), "ip", "too short for UDP"),
        (bytes(IP(proto=6) / Raw(b"abc")), "ip", "too short for TCP"),
        (bytes(IP(proto=1) / Raw(b"abc")), "ip", "too short for ICMP"),
        (bytes(Ether(type=0x0806) / Raw(b"abc")), "ethernet", "not ARP for IPv4 on Ethernet"),
    ],
)
def test_what_cannot_be_read_is_said(raw: bytes, link: str, fault: str) -> None:
    assert decode(raw, link).fault == fault  # type: ignore[arg-type]


@given(st.binary(max_size=200), st.sampled_from(["ethernet", "ip"]))
def test_no_bytes_make_it_raise(raw: bytes, link: str) -> None:
    found = decode(raw, link)  # type: ignore[arg-type]
    assert found.size == len(raw)
    assert len(list(found.layers)) <= DEPTH


@given(PACKETS, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=8), st.integers(0, 200))
def test_neither_do_damaged_packets(made: Packet, damages: list[tuple[int, int]], end: int) -> None:
    raw = bytearray(bytes(Ether() / OUTER / IP(proto=4) / made))
    for place, value in damages:
        raw[place % len(raw)] = value
    assert decode(bytes(raw[: len(raw) - end % len(raw)])).size > 0


def test_packets_in_packets_end_somewhere() -> None:
    raw = bytes(ECHO)
    for _ in range(50):
        raw = bytes(IP(proto=4) / Raw(raw))
    assert len(list(decode(raw, "ip").layers)) == DEPTH
