"""From the apiserver's JSON to the lab's data."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from lab.model import fromapi
from lab.model.objects import ContainerPort, EndpointAddress, EndpointPort, EndpointSubset, ServicePort


def test_service() -> None:
    """All that a proxy needs, with the API's defaults."""
    ports = [{"port": 80, "targetPort": "http", "nodePort": 30080, "name": "web"}, {"port": 53, "protocol": "UDP"}]
    item: dict[str, Any] = {
        "metadata": {"name": "x", "namespace": "y"},
        "spec": {
            "clusterIP": "10.96.0.9",
            "ports": ports,
            "type": "LoadBalancer",
            "externalIPs": ["1.2.3.4", "::1"],
            "selector": {"b": "2", "a": "1"},
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"hostname": "x"}]}},
    }
    service = fromapi.service_of(item)
    assert service.cluster_ip == IPv4Address("10.96.0.9") and not service.headless
    assert service.ports == (ServicePort(80, "web", "TCP", "http", 30080), ServicePort(53, "", "UDP", 53))
    assert service.external_ips == (IPv4Address("1.2.3.4"),) and service.load_balancer_ips == (IPv4Address("5.6.7.8"),)
    assert service.selector == (("a", "1"), ("b", "2")) and service.session_affinity == "None"


@pytest.mark.parametrize("spec", [{"clusterIP": "None"}, {"type": "ExternalName", "externalName": "x"}])
def test_headless(spec: dict[str, Any]) -> None:
    """No cluster IP, and none to come."""
    service = fromapi.service_of({"metadata": {"name": "x"}, "spec": spec})
    assert service.headless and service.cluster_ip is None


def test_endpoints() -> None:
    """Only what is ready, and only whole subsets."""
    ready = {"addresses": [{"ip": "10.244.1.2", "nodeName": "n", "targetRef": {"name": "p"}}, {"ip": "::1"}], "ports": [{"port": 80}]}
    waiting = {"notReadyAddresses": [{"ip": "10.244.1.3"}], "ports": [{"port": 80}]}
    found = fromapi.endpoints_of({"metadata": {"name": "x"}, "subsets": [ready, waiting]})
    assert found.subsets == (EndpointSubset((EndpointAddress(IPv4Address("10.244.1.2"), "n", "p"),), (EndpointPort(80),)),)
    assert fromapi.endpoints_of({"metadata": {"name": "x"}, "subsets": None}).subsets == ()


def test_pod() -> None:
    """Its owner is its controller."""
    container = {
        "name": "c",
        "image": "nginx:1.8",
        "ports": [{"containerPort": 80}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": {}}],
    }
    owners = [{"name": "other"}, {"name": "rs", "controller": True}]
    item = {
        "metadata": {"name": "x", "namespace": "y", "ownerReferences": owners},
        "spec": {"containers": [container], "nodeName": "n"},
        "status": {"podIP": "10.244.1.2"},
    }
    pod = fromapi.pod_of(item)
    assert (pod.owner, pod.node_name, pod.pod_ip) == ("rs", "n", IPv4Address("10.244.1.2"))
    assert pod.containers[0].ports == (ContainerPort(80),) and pod.containers[0].env == (("A", "1"),)
    assert fromapi.pod_of({"metadata": {"name": "x"}}).pod_ip is None
