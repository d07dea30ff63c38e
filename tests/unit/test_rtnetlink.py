"""Requests to the kernel as bytes: well formed whatever is in them, and as linux/rtnetlink.h has them. The kernel judges them in tests/fabric."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from lab.fabric import rtnetdata, rtnetlink

MACS = st.binary(min_size=6, max_size=6).map(lambda raw: ":".join(f"{byte:02x}" for byte in raw))
NAMES = st.text("abcdefghijklmnop0123456789.-", min_size=1, max_size=15)
NUMBERS = st.integers(1, 1 << 20)
ADDRESSES = st.integers(0, 0xFFFFFFFF).map(IPv4Address)


def header(message: bytes) -> tuple[int, int, int]:
    """Length, type and flags."""
    length, kind, flags, _, _ = struct.unpack_from("=IHHII", message)
    return length, kind, flags


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        length, kind = struct.unpack_from("=HH", data)
        assert 4 <= length <= len(data)
        yield kind & 0x7FFF, data[4:length]
        data = data[(length + 3) & ~3 :]


@given(NAMES, NAMES, MACS, MACS, st.integers(0, 65535), st.integers(0, 65536), NUMBERS)
def test_a_veth_pair(name: str, peer: str, mac: str, peer_mac: str, mtu: int, gso: int, descriptor: int) -> None:
    message = rtnetlink.add_veth(name, peer, descriptor, mac, peer_mac, mtu, gso)
    assert header(message) == (len(message), 16, 0x605)
    own = dict(attributes(message[32:]))
    assert own[3] == name.encode() + b"\0"
    assert own[1].hex(":") == mac
    assert (41 in own) == bool(gso)
    assert (4 in own) == bool(mtu)
    info = dict(attributes(own[18]))
    assert info[1] == b"veth\0"
    other = dict(attributes(dict(attributes(info[2]))[1][16:]))
    assert other[3] == peer.encode() + b"\0"
    assert other[1].hex(":") == peer_mac
    assert other[28] == struct.pack("=I", descriptor)


@given(NAMES, st.just("") | MACS)
def test_a_bridge(name: str, mac: str) -> None:
    message = rtnetlink.add_bridge(name, mac)
    assert header(message) == (len(message), 16, 0x605) and message[16:32] == bytes(16)
    own = dict(attributes(message[32:]))
    assert own[3] == name.encode() + b"\0" and own.get(1, b"").hex(":") == mac
    assert dict(attributes(own[18])) == {1: b"bridge\0"}


@given(ADDRESSES, st.integers(0, 32), st.none() | ADDRESSES, st.integers(0, 1000), st.booleans())
def test_a_route(address: IPv4Address, length: int, via: IPv4Address | None, link: int, onlink: bool) -> None:
    subnet = IPv4Network((address, length), strict=False)
    message = rtnetlink.put_route(subnet, via, link, onlink)
    assert header(message) == (len(message), 24, 0x505)
    assert message[16:28] == struct.pack("=BBBBBBBBI", 2, length, 0, 0, 254, 3, 253 if via is None else 0, 1, 4 if onlink else 0)
    wanted = {1: subnet.network_address.packed}
    wanted |= {5: via.packed} if via is not None else {}
    wanted |= {4: struct.pack("=I", link)} if link else {}
    assert dict(attributes(message[28:])) == wanted


def test_a_route_that_must_be_the_first_of_its_subnet() -> None:
    assert header(rtnetlink.put_route(IPv4Network("10.0.0.0/8"), None, 2, replace=False))[2] == 0x605


@given(NUMBERS, ADDRESSES, MACS)
def test_neighbours_and_forwarding_entries(link: int, address: IPv4Address, mac: str) -> None:
    neighbour, forward = rtnetlink.put_neighbour(link, address, mac), rtnetlink.put_forward(link, mac, address)
    assert neighbour[16:28] == struct.pack("=BBHiHBB", 2, 0, 0, link, 0x80, 0, 0)
    assert forward[16:28] == struct.pack("=BBHiHBB", 7, 0, 0, link, 0x80, 2, 0)
    for message in (neighbour, forward):
        assert header(message) == (len(message), 28, 0x505)
        assert dict(attributes(message[28:])) == {1: address.packed, 2: bytes.fromhex(mac.replace(":", ""))}


@given(NUMBERS, ADDRESSES, st.integers(0, 32))
def test_an_address_has_a_broadcast_address_where_there_is_room_for_one(link: int, address: IPv4Address, length: int) -> None:
    interface = IPv4Interface((address, length))
    found = dict(attributes(rtnetlink.add_address(link, interface)[24:]))
    assert found[1] == found[2] == address.packed
    assert found.get(4) == (interface.network.broadcast_address.packed if length < 31 else None)
    without = dict(attributes(rtnetlink.add_address(link, interface, broadcast=False)[24:]))
    assert without == {1: address.packed, 2: address.packed}


@given(NUMBERS, ADDRESSES, st.integers(0, 32))
def test_taking_an_address_away_names_it_and_its_length(link: int, address: IPv4Address, length: int) -> None:
    message = rtnetlink.delete_address(link, IPv4Interface((address, length)))
    assert header(message) == (len(message), 21, 0x005) and message[16:24] == struct.pack("=BBBBI", 2, length, 0, 0, link)
    assert dict(attributes(message[24:])) == {1: address.packed, 2: address.packed}


@given(NAMES, st.integers(68, 65535), st.integers(0, (1 << 24) - 1), NUMBERS, ADDRESSES, st.integers(1, 65535), st.booleans())
def test_a_vxlan_device_is_read_as_it_is_asked_for(
    name: str, mtu: int, vni: int, link: int, local: IPv4Address, port: int, gbp: bool
) -> None:
    """The kernel describes a device in the attributes by which it is made; it adds more."""
    message = rtnetlink.add_vxlan(name, mtu, vni, link, local, port, gbp)
    assert header(message) == (len(message), 16, 0x605)
    found = rtnetdata.link(message[16:])
    assert (found.name, found.mtu, found.kind, found.number(1), found.number(3)) == (name, mtu, "vxlan", vni, link)
    assert found.details[4] == local.packed and found.details[7] == b"\0" and found.details[15] == struct.pack(">H", port)
    assert (23 in found.details) == gbp


@given(ADDRESSES, st.integers(0, 32), st.none() | ADDRESSES, NUMBERS, st.booleans())
def test_a_route_is_read_as_it_was_written(address: IPv4Address, length: int, via: IPv4Address | None, link: int, onlink: bool) -> None:
    subnet = IPv4Network((address, length), strict=False)
    found = rtnetdata.route(rtnetlink.put_route(subnet, via, link, onlink)[16:])
    assert found == rtnetdata.Route(subnet, via, link, 0, 254, 1, 4 if onlink else 0)


@given(NUMBERS, ADDRESSES, MACS)
def test_a_neighbour_is_read_as_it_was_written(link: int, address: IPv4Address, mac: str) -> None:
    assert rtnetdata.neighbour(rtnetlink.put_neighbour(link, address, mac)[16:]) == rtnetdata.Neighbour(link, 0x80, address, mac)
    assert rtnetdata.neighbour(rtnetlink.delete_forward(link, mac, address)[16:]).address == address


@given(NUMBERS, ADDRESSES, st.integers(0, 32))
def test_an_address_is_read_as_it_was_written(link: int, address: IPv4Address, length: int) -> None:
    interface = IPv4Interface((address, length))
    assert rtnetdata.address(rtnetlink.add_address(link, interface)[16:]) == (link, interface)


@given(st.binary(max_size=80))
def test_attributes_that_are_none_are_passed_over(data: bytes) -> None:
    assert all(len(value) <= len(data) for _, value in rtnetdata.attributes(data))


def test_questions_are_dumps() -> None:
    kinds = {18: rtnetlink.get_links(), 22: rtnetlink.get_addresses(), 26: rtnetlink.get_routes(), 30: rtnetlink.get_neighbours(rtnetlink.BRIDGE)}
    assert all(header(message) == (len(message), kind, 0x301) for kind, message in kinds.items())
