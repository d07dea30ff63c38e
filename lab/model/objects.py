"""Kubernetes objects, as far as the cluster's network can see them: frozen data without behaviour.

Field names are the Kubernetes API's in snake_case. lab.model.manifests reads them from YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

Protocol = Literal["TCP", "UDP"]

PASSED_ON = ("ConfigMap", "Secret", "ServiceAccount", "Endpoints")
"""Kinds that manifests may have and that the lab hands to its apiserver without knowing more of them than their names."""

AFFINITY_SECONDS = 10800
"""How long ClientIP affinity remembers a client unless the service says so: 180 minutes; v1.7 knows nothing else."""


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """One entry of a container's `ports`."""

    container_port: int
    name: str = ""
    protocol: Protocol = "TCP"


@dataclass(frozen=True, slots=True)
class Container:
    """What a pod runs. `command` and `args` as in the API: command replaces the image's entrypoint, args its arguments."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod. `node_name` and `pod_ip` are empty until it is scheduled and its address is allocated (or pinned by a scenario)."""

    name: str
    namespace: str
    containers: tuple[Container, ...]
    labels: tuple[tuple[str, str], ...] = ()
    node_name: str = ""
    pod_ip: IPv4Address | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment: `replicas` pods made from one template."""

    name: str
    namespace: str
    replicas: int
    selector: tuple[tuple[str, str], ...]
    labels: tuple[tuple[str, str], ...]
    containers: tuple[Container, ...]


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One entry of a service's `ports`. `target_port` may be the name of a container port."""

    port: int
    name: str = ""
    protocol: Protocol = "TCP"
    target_port: int | str = 0
    node_port: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A service. `cluster_ip` is None for a headless one, and until the apiserver has chosen one; `headless` tells them apart."""

    name: str
    namespace: str
    ports: tuple[ServicePort, ...]
    cluster_ip: IPv4Address | None
    selector: tuple[tuple[str, str], ...] = ()
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    session_affinity: Literal["None", "ClientIP"] = "None"
    external_ips: tuple[IPv4Address, ...] = ()
    load_balancer_ips: tuple[IPv4Address, ...] = ()
    load_balancer_source_ranges: tuple[IPv4Network, ...] = ()
    external_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    headless: bool = False
    affinity_seconds: int = AFFINITY_SECONDS
    health_check_node_port: int = 0


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """One back end: its address, and the node it is on (empty when unknown)."""

    ip: IPv4Address
    node_name: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """The number that one service port has on the back ends of a subset."""

    port: int
    name: str = ""
    protocol: Protocol = "TCP"


@dataclass(frozen=True, slots=True)
class EndpointSubset:
    """Addresses that share their ports; every address carries every port."""

    addresses: tuple[EndpointAddress, ...]
    ports: tuple[EndpointPort, ...]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The back ends of the service of the same name and namespace, ready ones only, in the controller's order."""

    name: str
    namespace: str
    subsets: tuple[EndpointSubset, ...] = field(default=())
