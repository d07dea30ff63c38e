"""lab.master.endpoints: back ends of services."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from lab.master.endpoints import endpoints_for
from lab.model.objects import Container, ContainerPort, Pod, Service, ServicePort

WEB = (("app", "web"),)


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
