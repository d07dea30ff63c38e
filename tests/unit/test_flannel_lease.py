"""Leases as etcd keys and values, and what changed between two sets of them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.flannel.lease import Attrs, Lease, by_subnet, decode, diff, encode, key_of, parse_key, reservation, subnet_key

NODE = IPv4Address("192.168.1.2")
ADDRESSES = st.integers(0, 2**32 - 1).map(IPv4Address)
SUBNETS = st.builds(
    lambda number, length: IPv4Network((number, length), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


@pytest.mark.parametrize(
    ("attrs", "value"),
    [
        (Attrs(NODE), '{"PublicIP":"192.168.1.2"}'),
        (Attrs(NODE, "udp"), '{"PublicIP":"192.168.1.2"}'),
        (Attrs(NODE, "host-gw"), '{"PublicIP":"192.168.1.2","BackendType":"host-gw"}'),
        (
            Attrs(NODE, "vxlan", '{"VtepMAC":"82:4b:b6:2f:54:4e"}'),
            '{"PublicIP":"192.168.1.2","BackendType":"vxlan","BackendData":{"VtepMAC":"82:4b:b6:2f:54:4e"}}',
        ),
    ],
)
def test_values_are_those_of_flannel(attrs: Attrs, value: str) -> None:
    assert encode(attrs) == value
    assert encode(decode(value) or Attrs(IPv4Address(0))) == value


def test_a_value_of_todays_flannel_is_understood() -> None:
    value = (
        '{"PublicIP":"192.168.1.2","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"82:4b:b6:2f:54:4e"}}'
    )
    assert decode(value) == Attrs(NODE, "vxlan", '{"VNI":1,"VtepMAC":"82:4b:b6:2f:54:4e"}')


@pytest.mark.parametrize(
    "value", ["", "null", "[]", "7", "{}", '{"PublicIP":7}', '{"PublicIP":"x"}', '{"PublicIP":"1.2.3.4","BackendType":[]}']
)
def test_values_that_are_no_lease(value: str) -> None:
    assert decode(value) is None


@pytest.mark.parametrize(
    "key", ["", "config", "10.244.1.0", "10.244.1.0-33", "10.244.1.0-24x", "10.244.1.7-24", "10.244.300.0-24", "a-24"]
)
def test_keys_that_name_no_subnet(key: str) -> None:
    assert parse_key(f"/coreos.com/network/subnets/{key}") is None


def test_a_reservation_is_flannels_own_key() -> None:
    assert reservation(IPv4Network("10.244.0.0/24"), NODE) == (
        "/coreos.com/network/subnets/10.244.0.0-24",
        '{"PublicIP":"192.168.1.2"}',
    )
    key, value = reservation(IPv4Network("10.244.0.0/24"), NODE, "host-gw", "/mine/")
    assert (key, value) == ("/mine/subnets/10.244.0.0-24", '{"PublicIP":"192.168.1.2","BackendType":"host-gw"}')


@given(SUBNETS)
def test_keys_survive_a_round_trip(subnet: IPv4Network) -> None:
    assert parse_key(subnet_key("/coreos.com/network", subnet)) == subnet
    assert parse_key(key_of(subnet)) == subnet


@given(ADDRESSES, st.sampled_from(["", "vxlan", "ipip"]), st.sampled_from(["", '{"VtepMAC":"x"}', "[1,2]"]))
def test_values_survive_a_round_trip(address: IPv4Address, kind: str, data: str) -> None:
    assert decode(encode(Attrs(address, kind, data))) == Attrs(address, kind, data)


@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_readers_never_raise(text: str) -> None:
    parse_key(text)
    decode(text)


LEASES = st.dictionaries(
    st.integers(0, 5).map(lambda number: IPv4Network((number << 8, 24))),
    st.integers(1, 3).map(lambda number: Attrs(IPv4Address(number))),
).map(lambda found: by_subnet(Lease(subnet, attrs, mod_revision=7) for subnet, attrs in found.items()))


@given(LEASES, LEASES)
def test_following_the_events_leads_from_old_to_new(old: dict[IPv4Network, Lease], new: dict[IPv4Network, Lease]) -> None:
    known = dict(old)
    for event in diff(old, new):
        if event.kind == "removed":
            assert known.pop(event.lease.subnet) == event.lease
        else:
            assert known.get(event.lease.subnet) != event.lease
            known[event.lease.subnet] = event.lease
    assert known == new


def test_a_renewed_lease_is_no_event() -> None:
    subnet = IPv4Network("10.244.1.0/24")
    assert diff({subnet: Lease(subnet, Attrs(NODE), 1, 1)}, {subnet: Lease(subnet, Attrs(NODE), 2, 9)}) == ()
