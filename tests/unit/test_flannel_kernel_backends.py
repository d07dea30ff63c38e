"""The pure parts of the backends that let the kernel carry packets: vxlan and host-gw."""

from __future__ import annotations

import json
import socket
import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.flannel import vtep
from lab.flannel.backends import hostgw, vxlan
from lab.flannel.config import Config, parse
from lab.flannel.flags import parse as parse_flags
from lab.flannel.lease import Attrs, Lease
from lab.flannel.misses import Miss
from lab.flannel.misses import parse as parse_misses
from lab.flannel.names import mac_in
from lab.flannel.tables import Route

# --- names ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mac", ["82:4b:b6:2f:54:4e", "00:00:00:00:00:01", "fe:ff:ff:ff:ff:ff"])
def test_a_unicast_mac_is_taken_in_lower_case(mac: str) -> None:
    assert mac_in(mac) == mac
    assert mac_in(mac.upper()) == mac


@pytest.mark.parametrize(
    "value",
    [None, 7, "", [], "82:4b:b6:2f:54", "82:4b:b6:2f:54:4e\n", "82-4b-b6-2f-54-4e", "82:4b:b6:2f:54:4g", "00:00:00:00:00:00"]
    + ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "٨2:4b:b6:2f:54:4e"],
)
def test_what_the_kernel_would_refuse_is_no_mac(value: object) -> None:
    assert mac_in(value) == ""


@given(st.text())
def test_any_text_is_a_mac_or_not(text: str) -> None:
    assert mac_in(text) in ("", text.lower())


# --- misses -----------------------------------------------------------------------------------------------------------------------

INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
POD = IPv4Address("10.244.2.5")


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def question(kind: int = GETNEIGH, state: int = INCOMPLETE, family: int = socket.AF_INET, link: int = 7, extra: bytes = b"") -> bytes:
    """One netlink message as the kernel sends it to the neighbours' group."""
    body = struct.pack("=BxxxiHBB", family, link, state, 0, 1) + extra
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


DESTINATION = attribute(1, POD.packed)
HARDWARE = attribute(2, bytes.fromhex("824bb62f544e"))


@pytest.mark.parametrize("state", [INCOMPLETE, STALE, DELAY, PROBE])
@pytest.mark.parametrize("kind", [GETNEIGH, NEWNEIGH])
def test_the_kernels_question_is_read(kind: int, state: int) -> None:
    assert parse_misses(question(kind, state, extra=DESTINATION)) == (Miss(7, POD),)


@pytest.mark.parametrize(
    "message",
    [
        question(DELNEIGH, extra=DESTINATION),
        question(state=REACHABLE, extra=DESTINATION),
        question(state=FAILED, extra=DESTINATION),
        question(family=socket.AF_INET6, extra=attribute(1, bytes(16))),
        question(family=socket.AF_INET6, extra=DESTINATION),
        question(extra=attribute(1, b"\x0a\xf4")),
        question(extra=HARDWARE),
        question(),
        question(NEWNEIGH, STALE, extra=DESTINATION + HARDWARE),
        question(extra=DESTINATION)[:-1],
        question(extra=DESTINATION)[:20],
        b"",
    ],
    ids=["deleted", "reachable", "failed", "ipv6", "ipv6 with 4 bytes", "half", "no address", "bare", "answered", "cut", "cut head", "nothing"],
)
def test_what_is_no_question_is_skipped(message: bytes) -> None:
    assert parse_misses(message) == ()


def test_a_question_about_a_known_mac_that_went_stale_is_one() -> None:
    assert parse_misses(question(GETNEIGH, PROBE, extra=HARDWARE + DESTINATION)) == (Miss(7, POD),)


def test_one_datagram_may_hold_several_messages() -> None:
    odd = question(extra=DESTINATION + attribute(9, b"x"))
    assert parse_misses(odd + question(DELNEIGH) + question(link=8, extra=DESTINATION)) == (Miss(7, POD), Miss(8, POD))


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(data: bytes) -> None:
    assert all(isinstance(miss, Miss) for miss in parse_misses(data))


@given(st.binary(max_size=60))
def test_rubbish_behind_a_question_does_not_hide_it(rubbish: bytes) -> None:
    assert parse_misses(question(extra=DESTINATION) + rubbish)[0] == Miss(7, POD)


# --- vxlan ------------------------------------------------------------------------------------------------------------------------

WISH = vtep.Wish(1, 2, IPv4Address("192.168.1.1"), 8472)


@pytest.mark.parametrize(
    "found, text",
    [
        (WISH, ""),
        (replace(WISH, vni=2), "vni: 1 vs 2"),
        (replace(WISH, link=9), "link: 2 vs 9"),
        (replace(WISH, address=IPv4Address("192.168.1.9"), port=4789), "address: 192.168.1.1 vs 192.168.1.9, port: 8472 vs 4789"),
        (replace(WISH, gbp=True), "gbp: False vs True"),
    ],
)
def test_what_makes_a_device_unfit_is_said(found: vtep.Wish, text: str) -> None:
    assert vtep.differences(WISH, found) == text


def config(**backend: object) -> Config:
    return parse(json.dumps({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"} | backend}))


@pytest.mark.parametrize(
    "backend, wanted",
    [
        ({}, vxlan.Options()),
        ({"Port": 0}, vxlan.Options(port=8472)),
        ({"VNI": 16777215, "Port": 4789, "GBP": True}, vxlan.Options(16777215, 4789, True)),
        ({"directrouting": True}, vxlan.Options(direct_routing=True)),
        ({"L3Miss": True}, vxlan.Options(l3miss=True)),
    ],
)
def test_options_have_flannels_defaults(backend: dict[str, object], wanted: vxlan.Options) -> None:
    assert vxlan.options(config(**backend)) == wanted


@pytest.mark.parametrize(
    "backend, text",
    [
        ({"VNI": 0}, "VNI 0 is none; give a number from 1 to 16777215"),
        ({"VNI": 1 << 24}, "VNI 16777216 is none"),
        ({"VNI": "1"}, "VNI '1' is none"),
        ({"VNI": True}, "VNI True is none"),
        ({"GBP": 1}, "GBP 1 is neither true nor false"),
        ({"DirectRouting": "yes"}, "DirectRouting 'yes' is neither"),
        ({"L3Miss": None}, "L3Miss None is neither"),
        ({"DirectRouting": True, "L3Miss": True}, "DirectRouting came after flannel 0.8, so it does not go with L3Miss"),
    ],
)
def test_wrong_options_are_named(backend: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        vxlan.options(config(**backend))


def lease(data: str, kind: str = "vxlan") -> Lease:
    return Lease(IPv4Network("10.244.2.0/24"), Attrs(IPv4Address("192.168.1.2"), kind, data))


def test_a_lease_tells_of_a_peer() -> None:
    peer = vxlan.peer_of(lease('{"VNI":1,"VtepMAC":"82:4B:B6:2F:54:4E"}'))
    assert peer == vxlan.Peer(IPv4Network("10.244.2.0/24"), IPv4Address("192.168.1.2"), "82:4b:b6:2f:54:4e")
    assert peer.gateway == IPv4Address("10.244.2.0")


@pytest.mark.parametrize(
    "data", ["", "null", "[]", "7", "{", '"82:4b:b6:2f:54:4e"', "{}", '{"VtepMAC":null}', '{"VtepMAC":"ff:ff:ff:ff:ff:ff"}', '{"vtepmac":1}']
)
def test_a_lease_without_a_usable_mac_tells_of_none(data: str) -> None:
    assert vxlan.peer_of(lease(data)) is None


@pytest.mark.parametrize("kind", ["", "host-gw", "VXLAN"])
def test_a_lease_of_another_backend_tells_of_none(kind: str) -> None:
    assert vxlan.peer_of(lease('{"VtepMAC":"82:4b:b6:2f:54:4e"}', kind)) is None


@given(st.text())
def test_no_backend_data_makes_it_fail(data: str) -> None:
    assert vxlan.peer_of(lease(data)) is None


# --- host-gw ----------------------------------------------------------------------------------------------------------------------


def test_missing_routes_are_those_that_are_not_there_exactly() -> None:
    one, two = (Route(IPv4Network(f"10.244.{number}.0/24"), IPv4Address(f"192.168.1.{number}"), 2) for number in (1, 2))
    assert hostgw.missing([one, two], []) == (one, two)
    assert hostgw.missing([one, two], [two]) == (one,)
    assert hostgw.missing([one], [replace(one, via=IPv4Address("192.168.1.9"))]) == (one,)
    assert hostgw.missing([one], [replace(one, link=3)]) == (one,)
    assert hostgw.missing([], [one]) == ()


def test_the_route_check_is_a_time_and_an_environment_variable() -> None:
    assert parse_flags([], {}).route_check == 10.0
    assert parse_flags(["--route-check", "0.5"], {}).route_check == 0.5
    assert parse_flags([], {"FLANNELD_ROUTE_CHECK": "2.5"}).route_check == 2.5


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan"])
def test_a_route_check_without_end_or_pause_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--route-check .* is no time between two looks; give seconds above 0"):
        parse_flags([f"--route-check={text}"], {})


@pytest.mark.parametrize("arguments, environ", [(["--route-check", "soon"], {}), ([], {"FLANNELD_ROUTE_CHECK": "soon"})])
def test_a_route_check_that_is_no_number_is_refused(arguments: list[str], environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="flanneld: .*soon"):
        parse_flags(arguments, environ)


def test_a_config_needs_no_backend_object() -> None:
    assert vxlan.options(Config(IPv4Network("10.0.0.0/8"), 24, IPv4Address("10.0.1.0"), IPv4Address("10.255.255.0"), "vxlan", MappingProxyType({})))
