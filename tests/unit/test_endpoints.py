"""lab.master.endpoints: back ends of services, and their addresses."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.master.endpoints import endpoints_for, with_addresses
from lab.model.objects import Container, ContainerPort, Pod, Service, ServicePort

WEB = (("app", "web"),)
NETWORK = IPv4Network("10.96.0.0/12")


def _pod(name: str, ip: str, port: int = 80, **changes: object) -> Pod:
    container = Container("c", "nginx", ports=(ContainerPort(port, "http"),))
    return replace(Pod(name, "default", (container,), (*WEB, ("x", "y")), "n1", IPv4Address(ip)), **changes)


def _service(**changes: object) -> Service:
    return replace(Service("web", "default", (ServicePort(8000, target_port=80),), None, WEB), **changes)


def _listed(service: Service, *pods: Pod) -> list[tuple[list[str], list[int]]]:
    return [([str(one.ip) for one in subset.addresses], [one.port for one in subset.ports]) for subset in endpoints_for(service, pods).subsets]


def test_addresses_are_sorted_as_text() -> None:
    assert _listed(_service(), _pod("a", "10.244.1.2"), _pod("b", "10.244.1.10")) == [(["10.244.1.10", "10.244.1.2"], [80])]


def test_a_named_target_port_is_each_pods_own() -> None:
    service = _service(ports=(ServicePort(8000, target_port="http"),))
    pods = (_pod("a", "10.244.1.2", 8080), _pod("b", "10.244.1.3", 9090), _pod("c", "10.244.1.4", 8080))
    assert _listed(service, *pods) == [(["10.244.1.2", "10.244.1.4"], [8080]), (["10.244.1.3"], [9090])]
    assert _listed(_service(ports=(ServicePort(8000, target_port="nope"),)), *pods) == []


def test_who_is_no_back_end() -> None:
    assert _listed(_service(), _pod("a", "10.244.1.2", namespace="other")) == []
    assert _listed(_service(), _pod("a", "10.244.1.2", labels=(("app", "db"),))) == []
    assert _listed(_service(), _pod("a", "10.244.1.2", pod_ip=None)) == []
    assert _listed(_service(selector=()), _pod("a", "10.244.1.2")) == [], "no selector selects nobody"


def test_wanted_addresses_stay_and_the_rest_is_chosen_inside() -> None:
    wanted = IPv4Address("10.105.211.16")
    services = with_addresses(
        [_service(name="a"), _service(name="b", cluster_ip=wanted), _service(name="c", headless=True)], NETWORK, random.Random(1)
    )
    assert services[0].cluster_ip in NETWORK and services[1].cluster_ip == wanted and services[2].cluster_ip is None


def test_node_ports_are_chosen_for_the_types_that_have_them() -> None:
    ports = (ServicePort(1, "a"), ServicePort(2, "b", node_port=30005), ServicePort(3, "c", "UDP", node_port=30005))
    chosen = with_addresses([_service(type="NodePort", ports=ports)], NETWORK, random.Random(1))[0].ports
    assert 30000 <= chosen[0].node_port <= 32767 and [one.node_port for one in chosen[1:]] == [30005, 30005]
    assert with_addresses([_service(ports=ports[:1])], NETWORK, random.Random(1))[0].ports[0].node_port == 0


@pytest.mark.parametrize(
    "services, said",
    [
        ([_service(cluster_ip=IPv4Address("10.0.0.1"))], "not in the service network"),
        ([_service(cluster_ip=IPv4Address("10.96.0.0"))], "not in the service network"),
        ([_service(cluster_ip=IPv4Address("10.96.0.9")), _service(name="b", cluster_ip=IPv4Address("10.96.0.9"))], "belongs to another service"),
        ([_service(ports=(ServicePort(1, node_port=80),))], "not in 30000-32767"),
        ([_service(ports=(ServicePort(1, node_port=30001), ServicePort(2, "b", node_port=30001)))], "30001/TCP is taken already"),
    ],
)
def test_what_cannot_be_had(services: list[Service], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        with_addresses(services, NETWORK, random.Random(1))


@given(st.integers(1, 13), st.integers())
def test_no_address_is_given_twice(count: int, seed: int) -> None:
    network = IPv4Network("10.96.0.0/28")
    services = with_addresses([_service(name=f"s{number}") for number in range(count)], network, random.Random(seed))
    found = [service.cluster_ip for service in services]
    assert len(set(found)) == count
    assert not {network.network_address, network.network_address + 1, network.broadcast_address} & set(found)


def test_an_exhausted_network_says_so() -> None:
    with pytest.raises(UsageError, match="has no address left"):
        with_addresses([_service(name=f"s{number}") for number in range(14)], IPv4Network("10.96.0.0/28"), random.Random(1))
