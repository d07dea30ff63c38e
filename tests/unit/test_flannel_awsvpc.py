"""The aws-vpc backend's decisions."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from lab.cloud import needs
from lab.cloud.start import environment
from lab.errors import MachineError, UsageError
from lab.flannel.backends import awsvpc
from lab.flannel.backends.gce import is_same, route, route_name
from lab.model import catalog, checks, load


@pytest.mark.parametrize(("option", "tables"), [(None, None), ("rtb-1", ("rtb-1",)), (["rtb-1", "rtb-2"], ("rtb-1", "rtb-2"))])
def test_a_route_table_may_be_named_or_several(option: object, tables: object) -> None:
    assert awsvpc.route_tables(option) == tables


@pytest.mark.parametrize("option", [7, ["rtb-1", 7], {"a": 1}, ""])
def test_anything_else_is_told(option: object) -> None:
    with pytest.raises(UsageError, match="Must be string or array of strings"):
        awsvpc.route_tables(option)


def test_the_card_is_the_one_with_the_nodes_address() -> None:
    cards = [{"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.1"}]}, {"PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.7"}] * 2}]
    assert awsvpc.card_with(cards, IPv4Address("10.0.0.7")) is cards[1]
    assert awsvpc.card_with(cards, IPv4Address("10.0.0.8")) is None


def test_blackholes_are_deleted_inside_the_pod_network_only() -> None:
    routes = [
        {"DestinationCidrBlock": "10.244.1.0/24", "State": "active"},
        {"DestinationCidrBlock": "10.244.2.0/24", "State": "blackhole"},
        {"DestinationCidrBlock": "10.9.0.0/24", "State": "blackhole"},
        {"DestinationIpv6CidrBlock": "fd00::/64", "State": "blackhole"},
    ]
    assert awsvpc.blackholes(routes, IPv4Network("10.244.0.0/16")) == ["10.244.2.0/24"]


def test_without_an_endpoint_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(awsvpc.ENDPOINT, raising=False)
    with pytest.raises(UsageError, match=awsvpc.ENDPOINT):
        awsvpc.client("us-east-1")


def test_flannels_route_at_google() -> None:
    made = route(IPv4Network("10.244.1.0/24"), {"selfLink": "http://i"}, {"selfLink": "http://n"})
    assert made == {
        "name": "flannel-10-244-1-0-24",
        "destRange": "10.244.1.0/24",
        "network": "http://n",
        "nextHopInstance": "http://i",
        "priority": 1000,
        "tags": [],
    }
    assert route_name(IPv4Network("10.0.0.0/8")) == "flannel-10-0-0-0-8"
    assert is_same(made | {"priority": 7}, made) and not is_same({"nextHopInstance": "http://j"}, made) and not is_same({}, made)


def test_a_missing_package_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    zenlin = load.read_topology(catalog.find_topology("zenlin"))
    monkeypatch.setattr(needs.importlib.util, "find_spec", lambda name: None)
    needs.require(zenlin.with_backend("gce"))
    with pytest.raises(MachineError, match=r"lacks boto3, moto, flask, flask_cors: pip install 'kubernetes-network-lab\[cloud\]'"):
        needs.require(zenlin.with_backend("aws-vpc"))


def test_a_vpc_has_no_subnets_that_small() -> None:
    node = {"name": "a", "role": "master", "address": "10.0.0.1/29", "gateway": "10.0.0.6"}
    small = load.load_topology(f'{{"name": "small", "nodes": [{str(node).replace(chr(39), chr(34))}]}}', "small.yaml")
    assert [one.text for one in checks.backend_trouble(small.with_backend("gce"))] == []
    assert "a /28 at the smallest" in next(iter(checks.backend_trouble(small.with_backend("aws-vpc")))).text


def test_amazons_library_finds_the_labs_cloud_and_looks_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AWS_PROFILE": "", "HTTP_PROXY": "http://proxy", "http_proxy": "http://proxy"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE")
    for name, value in environment("aws-vpc").items():
        monkeypatch.setenv(name, value)
    assert {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null"}.items() <= environment("aws-vpc").items()
    made = awsvpc.client("eu-west-1")
    assert made.meta.endpoint_url == "http://169.254.169.254"
    assert made._request_signer._credentials.method == "env"
    assert made._endpoint.http_session._proxy_config._proxies == {}
    assert awsvpc.client("eu-west-1") is made, "what one process has made its forks use"
