"""From the apiserver's JSON to the lab's own data. Pure.

What comes from an apiserver has been checked there: fields that are not needed are passed over, missing ones get the API's defaults, and a
part that makes no sense is left out. Manifests, which nobody has checked, are read by lab.model.manifests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Literal, cast

from lab.model.objects import (
    AFFINITY_SECONDS,
    Container,
    ContainerPort,
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    Pod,
    Service,
    ServicePort,
)

Json = Mapping[str, Any]


def service_of(item: Json) -> Service:
    """A Service object."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    kind = spec.get("type") or "ClusterIP"
    cluster_ip = spec.get("clusterIP") or ""
    ingress = ((item.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return Service(
        metadata["name"],
        metadata.get("namespace", "default"),
        tuple(_service_port(port) for port in spec.get("ports") or ()),
        _address(cluster_ip),
        _pairs(spec.get("selector")),
        cast(Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], kind),
        spec.get("sessionAffinity") or "None",
        _addresses(spec.get("externalIPs") or ()),
        _addresses(one.get("ip", "") for one in ingress),
        _networks(spec.get("loadBalancerSourceRanges") or ()),
        spec.get("externalTrafficPolicy") or "Cluster",
        cluster_ip == "None" or kind == "ExternalName",
        ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds") or AFFINITY_SECONDS,
        spec.get("healthCheckNodePort") or 0,
    )


def endpoints_of(item: Json) -> Endpoints:
    """An Endpoints object; only addresses that are ready."""
    metadata = item["metadata"]
    subsets = []
    for subset in item.get("subsets") or ():
        addresses = tuple(_endpoint_address(one, ip) for one in subset.get("addresses") or () if (ip := _address(one.get("ip", ""))))
        ports = tuple(EndpointPort(port["port"], port.get("name", ""), port.get("protocol") or "TCP") for port in subset.get("ports") or ())
        if addresses and ports:
            subsets.append(EndpointSubset(addresses, ports))
    return Endpoints(metadata["name"], metadata.get("namespace", "default"), tuple(subsets))


def pod_of(item: Json) -> Pod:
    """A Pod object."""
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    owners = [owner["name"] for owner in metadata.get("ownerReferences") or () if owner.get("controller")]
    return Pod(
        metadata["name"],
        metadata.get("namespace", "default"),
        tuple(container_of(one) for one in spec.get("containers") or ()),
        _pairs(metadata.get("labels")),
        spec.get("nodeName", ""),
        _address(status.get("podIP", "")),
        owners[0] if owners else "",
    )


def container_of(item: Json) -> Container:
    """One entry of a pod's `containers`. Of `env` only what has a plain value."""
    return Container(
        item["name"],
        item.get("image", ""),
        tuple(item.get("command") or ()),
        tuple(item.get("args") or ()),
        tuple(ContainerPort(one["containerPort"], one.get("name", ""), one.get("protocol") or "TCP") for one in item.get("ports") or ()),
        tuple((one["name"], one.get("value", "")) for one in item.get("env") or () if "valueFrom" not in one),
    )


def _service_port(port: Json) -> ServicePort:
    target = port.get("targetPort") or port["port"]
    return ServicePort(port["port"], port.get("name", ""), port.get("protocol") or "TCP", target, port.get("nodePort") or 0)


def _endpoint_address(item: Json, ip: IPv4Address) -> EndpointAddress:
    """The names of nodes are the same few for thousands of addresses, so each is kept once."""
    return EndpointAddress(ip, sys.intern(item.get("nodeName") or ""), (item.get("targetRef") or {}).get("name", ""))


def _pairs(labels: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((labels or {}).items()))


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _addresses(texts: Iterable[str]) -> tuple[IPv4Address, ...]:
    return tuple(found for found in map(_address, texts) if found is not None)


def _networks(texts: Iterable[str]) -> tuple[IPv4Network, ...]:
    found = []
    for text in texts:
        try:
            found.append(IPv4Network(text))
        except ValueError:
            continue
    return tuple(found)
