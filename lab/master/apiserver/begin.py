"""What is there before anybody has created anything: the first namespaces, and the apiserver's own service."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Network

from lab.master.api import accounts
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.registry import Registry
from lab.master.apiserver.watchers import Object
from lab.master.resources import by_kind

NAMESPACES = ("default", "kube-system", "kube-public")
_FOLLOWING = {"Endpoints": "subsets", "EndpointSlice": "endpoints"}
"""Kind -> the field that a later start brings up to date."""

_LABELS = {"component": "apiserver", "provider": "kubernetes"}


async def begin(registry: Registry, network: IPv4Network, address: IPv4Address | None, secure_port: int) -> None:
    """Create what is missing; what is there stays, but the endpoints follow the address.

    The back ends of the service `kubernetes` come last, after the service: endpoints without one are a controller's to delete. Raises Refused
    when etcd is away.
    """
    await asyncio.gather(*(_namespace(registry, name) for name in NAMESPACES))
    port = {"name": "https", "port": 443, "protocol": "TCP", "targetPort": secure_port}
    spec = {"type": "ClusterIP", "clusterIP": str(network[1]), "ports": [port], "sessionAffinity": "None"}
    metadata = {"name": "kubernetes", "namespace": "default", "labels": _LABELS}
    await _ensure(registry, {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec})
    for item in _ways_in(address, secure_port):
        await _ensure(registry, item, _FOLLOWING[item["kind"]])


def _ways_in(address: IPv4Address | None, secure_port: int) -> list[Object]:
    """The back ends of the apiserver's own service, in both forms."""
    if address is None:
        return []
    subsets = [{"addresses": [{"ip": str(address)}], "ports": [{"name": "https", "port": secure_port, "protocol": "TCP"}]}]
    labels = {"endpointslice.kubernetes.io/skip-mirror": "true"}
    endpoints = {"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels}}
    slices = {"name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"}}
    ends = [{"addresses": [str(address)], "conditions": {"ready": True}}]
    ports = [{"name": "https", "port": secure_port, "protocol": "TCP"}]
    made = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": slices, "addressType": "IPv4"}
    return [endpoints | {"subsets": subsets}, made | {"endpoints": ends, "ports": ports}]


async def _namespace(registry: Registry, name: str) -> None:
    """A namespace with what it begins with."""
    await _ensure(registry, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": name}})
    await asyncio.gather(*(_ensure(registry, item) for item in accounts.begun(name, "")))


async def publish(registry: Registry) -> None:
    """Have the certificate of the authority in every namespace. Raises Refused when etcd is away."""
    names = [item["metadata"]["name"] for _, item in registry.cache.below("/registry/namespaces/") if "deletionTimestamp" not in item["metadata"]]
    await asyncio.gather(*(_ensure(registry, accounts.root_ca(name, registry.authority), "data") for name in names))


async def _ensure(registry: Registry, item: Object, follows: str = "") -> None:
    """Create an object; where it is there already, bring the field that `follows` up to date."""
    resource, metadata = by_kind(item["kind"]), item["metadata"]
    namespace = metadata.get("namespace", "")
    if registry.cache.get(resource.key(metadata["name"], namespace)) is None:
        try:
            await registry.create(resource, item, namespace, resource.api_version)
        except Refused as error:
            if error.code != 409:
                raise
    elif follows:
        await registry.change(resource, metadata["name"], namespace, lambda old: old | {follows: item[follows]})
