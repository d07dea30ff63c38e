"""Packets of the udp backend, against scapy's own idea of them."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.packet import Raw

from lab.flannel import packet

TUN = "10.244.1.0"
TUN_NUMBER = int(IPv4Address(TUN))
ADDRESSES = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
PACKETS = st.builds(
    lambda source, destination, ttl, ident, options, load: (
        IP(src=source, dst=destination, ttl=ttl, id=ident, options=[IPOption_NOP()] * (4 * options))
        / UDP(sport=7, dport=9)
        / Raw(load)
    ),
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 255),
    st.integers(0, 65535),
    st.integers(0, 9),
    st.binary(max_size=64),
).map(bytes)


@given(PACKETS)
def test_a_scapy_packet_has_no_fault(raw: bytes) -> None:
    assert packet.fault(raw) == ""
    assert packet.destination(raw) == int(IPv4Address(IP(raw).dst))


@given(PACKETS)
def test_one_less_ttl_gives_the_header_that_scapy_would_build(raw: bytes) -> None:
    ttl = IP(raw).ttl
    changed = bytearray(raw)
    alive = packet.decrement_ttl(changed)
    assert alive == (ttl > 1)
    if not alive:
        assert changed == raw
        return
    expected = IP(raw)
    expected.ttl = ttl - 1
    del expected.chksum
    assert bytes(changed) == bytes(expected)


@pytest.mark.parametrize("ident", [0xFEFD, 0xFEFE, 0xFEFF, 0xFF00, 0xFFFE])
def test_the_checksum_carries_round(ident: int) -> None:
    """Packets whose old checksum is just around 0xFEFF, where the carry begins."""
    base = IP(src="1.2.3.4", dst="5.6.7.8", ttl=9, id=0) / UDP() / Raw(b"x")
    old = IP(bytes(base)).chksum
    wanted = IP(src="1.2.3.4", dst="5.6.7.8", ttl=9, id=(old - ident) % 0xFFFF) / UDP() / Raw(b"x")
    raw = bytearray(bytes(wanted))
    assert int.from_bytes(raw[10:12], "big") % 0xFFFF == ident % 0xFFFF
    packet.decrement_ttl(raw)
    expected = IP(bytes(wanted))
    expected.ttl = 8
    del expected.chksum
    assert raw == bytes(expected)


def test_a_wrong_checksum_stays_wrong() -> None:
    raw = bytearray(bytes(IP(src="1.2.3.4", dst="5.6.7.8", chksum=0x1234) / UDP()))
    packet.decrement_ttl(raw)
    assert packet.checksum(raw[:20]) != 0


@given(st.binary(max_size=80))
def test_fault_never_raises_and_what_passes_is_safe_to_handle(raw: bytes) -> None:
    if packet.fault(raw):
        return
    packet.destination(raw)
    packet.net_unreachable(raw, TUN_NUMBER)
    packet.decrement_ttl(bytearray(raw))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "too short"),
        (bytes(19), "too short"),
        (b"\x60" + bytes(39), "not IPv4"),
        (b"\x44" + bytes(19), "bad header length"),
        (b"\x46\0\0\x14" + bytes(16), "bad header length"),
        (b"\x45\0\0\x15" + bytes(16), "bad total length"),
        (b"\x45\0\0\x14" + bytes(17), "bad total length"),
        (b"\x45\0\0\x14" + bytes(16), ""),
    ],
)
def test_faults(raw: bytes, reason: str) -> None:
    assert packet.fault(raw) == reason


@given(PACKETS)
def test_the_answer_to_an_unroutable_packet_is_flannels(raw: bytes) -> None:
    answer = packet.net_unreachable(raw, TUN_NUMBER)
    header = (raw[0] & 15) * 4
    if header == 60:
        assert answer is None
        return
    expected = IP(src=TUN, dst=IP(raw).src, ttl=8, id=0) / ICMP(type=3, code=0) / Raw(raw[: header + 8])
    assert answer == bytes(expected)


def test_the_answer_to_a_short_packet_quotes_what_there_is() -> None:
    raw = bytes(IP(src="10.244.1.5", dst="10.244.9.9", proto=99) / Raw(b"abc"))
    expected = IP(src=TUN, dst="10.244.1.5", ttl=8, id=0) / ICMP(type=3, code=0) / Raw(raw)
    assert packet.net_unreachable(raw, TUN_NUMBER) == bytes(expected)


@pytest.mark.parametrize(
    "raw",
    [
        bytes(IP(src="10.244.1.5", dst="10.244.9.9") / ICMP()),
        bytes(IP(src="10.244.1.5", dst="10.244.9.9", proto=17, frag=3) / Raw(bytes(40))),
    ],
    ids=["ICMP", "later fragment"],
)
def test_no_answer(raw: bytes) -> None:
    assert packet.net_unreachable(raw, TUN_NUMBER) is None


def test_the_first_fragment_is_answered() -> None:
    raw = bytes(IP(src="10.244.1.5", dst="10.244.9.9", flags="MF") / TCP())
    assert packet.net_unreachable(raw, TUN_NUMBER) is not None


@given(st.binary(max_size=99))
def test_checksum_of_data_with_its_checksum_is_zero(data: bytes) -> None:
    even = data + b"\0" * (len(data) % 2)
    assert packet.checksum(even + packet.checksum(data).to_bytes(2, "big")) in (0, 0xFFFF)
