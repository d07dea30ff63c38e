"""flannel's network configuration: defaults, checks and messages."""

from __future__ import annotations

import json
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.errors import InputError
from lab.flannel.config import parse


def problems(text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        parse(text, "etcd key /coreos.com/network/config")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "length", "low", "high"),
    [
        ('{"Network": "10.244.0.0/16"}', 24, "10.244.1.0", "10.244.255.0"),
        ('{"Network": "10.0.0.0/8"}', 24, "10.0.1.0", "10.255.255.0"),
        ('{"Network": "10.244.0.0/23"}', 24, "10.244.1.0", "10.244.1.0"),
        ('{"Network": "10.244.7.0/24"}', 25, "10.244.7.128", "10.244.7.128"),
        ('{"Network": "10.244.0.0/26"}', 27, "10.244.0.32", "10.244.0.32"),
        ('{"Network": "10.244.9.9/16", "SubnetLen": 20}', 20, "10.244.16.0", "10.244.240.0"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": 0, "SubnetMin": ""}', 24, "10.244.1.0", "10.244.255.0"),
        ('{"network": "10.244.0.0/16", "SUBNETMIN": "10.244.0.0"}', 24, "10.244.0.0", "10.244.255.0"),
        ('{"Network": "240.0.0.0/4", "SubnetLen": 4, "SubnetMin": "240.0.0.0"}', 4, "240.0.0.0", "240.0.0.0"),
        ('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.8.0", "SubnetMax": "10.244.9.0"}', 24, "10.244.8.0", "10.244.9.0"),
    ],
)
def test_defaults(text: str, length: int, low: str, high: str) -> None:
    config = parse(text)
    assert (config.subnet_len, str(config.subnet_min), str(config.subnet_max)) == (length, low, high)
    assert config.backend_type == "udp"


def test_backend_options_reach_the_backend_in_lower_case() -> None:
    config = parse(
        '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 7, "DirectRouting": true}, "EnableIPv4": true}'
    )
    assert config.backend_type == "vxlan"
    assert dict(config.backend) == {"type": "vxlan", "vni": 7, "directrouting": True}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("{}", "Network: is missing"),
        ('{"Network": "10.244.0.0"}', "Network: invalid CIDR address: '10.244.0.0'"),
        ('{"Network": "10.244.0.0/33"}', "Network: invalid CIDR address"),
        ('{"Network": 7}', "Network: invalid CIDR address: 7"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": 15}', "SubnetLen: HostSubnet is larger network than Network"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": 31}', "SubnetLen: a /31 subnet has no room"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": "24"}', "SubnetLen: '24' is not a prefix length"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": true}', "SubnetLen: True is not a prefix length"),
        ('{"Network": "10.244.0.0/30"}', "Network: a /31 subnet has no room"),
        ('{"Network": "10.244.0.0/16", "SubnetMin": "10.9.0.0"}', "SubnetMin is not in the range of the Network: 10.9.0.0"),
        ('{"Network": "10.244.0.0/16", "SubnetMax": "10.9.0.0"}', "SubnetMax is not in the range of the Network: 10.9.0.0"),
        ('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.1.7"}', "SubnetMin is not on a SubnetLen boundary: 10.244.1.7"),
        ('{"Network": "10.244.0.0/16", "SubnetMin": "x"}', "SubnetMin: invalid IP address: 'x'"),
        ('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.9.0", "SubnetMax": "10.244.8.0"}', "no subnet lies between"),
        ('{"Network": "10.244.0.0/16", "SubnetLen": 16}', "SubnetLen: 10.244.0.0/16 is a single /16 subnet"),
        ('{"Network": "10.244.0.0/16", "Backend": "udp"}', "Backend: 'udp' is not an object"),
        ('{"Network": "10.244.0.0/16", "Backend": {}}', "Backend.Type: is missing"),
        ('{"Network": "10.244.0.0/16", "Backend": {"Type": "udp", "Port": 70000}}', "Backend.Port: 70000 is not a port"),
    ],
)
def test_wrong_configs_say_what_where_and_why(text: str, expected: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("etcd key /coreos.com/network/config: ")
    assert expected in problem


def test_all_problems_come_at_once() -> None:
    text = '{"Network": "10.244.0.0/16", "SubnetMin": "10.9.0.0", "SubnetMax": "oops", "Backend": {"Type": 1}}'
    assert len(problems(text)) == 3


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text)
    except InputError as error:
        assert error.problems


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10.244.0.0/16", "10.244.1.0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["Type", "Port", "x"]), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["Network", "SubnetLen", "SubnetMin", "SubnetMax", "Backend", "backend"]), JSON_VALUES))
def test_any_object_is_read_or_refused(fields: dict[str, object]) -> None:
    try:
        config = parse(json.dumps(fields))
    except InputError as error:
        assert error.problems
    else:
        assert config.network.supernet_of(IPv4Network((config.subnet_max, config.subnet_len)))
        assert config.subnet_min <= config.subnet_max


@given(st.integers(0, 2**32 - 1), st.integers(0, 28), st.integers(1, 30))
@example(2**31, 1, 1)
@example(2**32 - 1, 28, 29)
def test_every_leasable_subnet_lies_in_the_network(address: int, prefix: int, length: int) -> None:
    network = IPv4Network((address, prefix), strict=False)
    try:
        config = parse(json.dumps({"Network": str(network), "SubnetLen": length}))
    except InputError:
        assert length <= prefix
        return
    for bound in (config.subnet_min, config.subnet_max):
        assert network.supernet_of(IPv4Network((bound, length)))
        assert config.fits(IPv4Network((bound, length)))
    assert config.subnet_min > IPv4Address(network.network_address)
