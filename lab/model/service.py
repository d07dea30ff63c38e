"""A Service of a manifest, with the defaults and rules of Kubernetes v1.7's API validation. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Literal, cast

from lab.model import tolerated
from lab.model.fields import Fields, address
from lab.model.names import label_trouble, port_name_trouble, shown
from lab.model.objects import AFFINITY_SECONDS, Protocol, Service, ServicePort

MAX_PORT = 65535
DAY = 86400
NODE_PORTS = (30000, 32767)
"""First and last node port: the apiserver's --service-node-port-range."""

_TYPES = ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName")
_ON_NODES = ("NodePort", "LoadBalancer")
"""Types that have node ports."""


def read_service(fields: Fields, name: str, namespace: str) -> Service:
    """A service from its object; metadata is read already."""
    spec = fields.child("spec", required=True)
    ingress = _ingress(fields)
    fields.finish()
    if spec is None:
        return Service(name, namespace, (), None)
    kind = spec.choice("type", _TYPES, "ClusterIP")
    cluster_ip, headless = _cluster_ip(spec, kind)
    wanted = address(spec.get("loadBalancerIP"))
    if spec.has("loadBalancerIP") and wanted is None:
        spec.wrong(f"`{shown(spec.get('loadBalancerIP'))}` is not an IPv4 address", "loadBalancerIP")
    service = Service(
        name,
        namespace,
        _ports(spec, kind, needed=not headless and kind != "ExternalName"),
        cluster_ip,
        spec.labels("selector"),
        cast(Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], kind),
        cast(Literal["None", "ClientIP"], spec.choice("sessionAffinity", ("None", "ClientIP"), "None")),
        spec.addresses("externalIPs"),
        ingress or ((wanted,) if wanted else ()),
        spec.networks("loadBalancerSourceRanges"),
        cast(Literal["Cluster", "Local"], spec.choice("externalTrafficPolicy", ("Cluster", "Local"), "Cluster")),
        headless or kind == "ExternalName",
        _affinity_seconds(spec),
        spec.number("healthCheckNodePort", 1, MAX_PORT),
    )
    _check_combinations(spec, service)
    spec.finish(tolerated.SERVICE_SPEC)
    return service


def _affinity_seconds(spec: Fields) -> int:
    """sessionAffinityConfig.clientIP.timeoutSeconds, which the API bounds by a day."""
    config = spec.child("sessionAffinityConfig")
    client = config.child("clientIP") if config else None
    seconds = client.number("timeoutSeconds", 1, DAY) if client else 0
    for part in (client, config):
        if part:
            part.finish()
    return seconds or AFFINITY_SECONDS


def _check_combinations(spec: Fields, service: Service) -> None:
    if spec.has("externalTrafficPolicy") and service.type not in _ON_NODES:
        spec.wrong(f"only NodePort and LoadBalancer services have one, not {service.type}; leave it out", "externalTrafficPolicy")
    if spec.has("sessionAffinityConfig") and service.session_affinity != "ClientIP":
        spec.wrong("only a service with `sessionAffinity: ClientIP` has one; leave it out", "sessionAffinityConfig")
    if spec.has("healthCheckNodePort") and (service.type != "LoadBalancer" or service.external_traffic_policy != "Local"):
        spec.wrong("only a LoadBalancer service with `externalTrafficPolicy: Local` has one; leave it out", "healthCheckNodePort")
    if service.type == "ExternalName" and not spec.text("externalName"):
        spec.wrong("is missing; a service of type ExternalName stands for the DNS name there", "externalName")


def _ingress(fields: Fields) -> tuple[IPv4Address, ...]:
    """What a cloud's load balancer would write: status.loadBalancer.ingress[].ip."""
    status = fields.child("status")
    balancer = status.child("loadBalancer") if status else None
    found = []
    for part in balancer.children("ingress") if balancer else ():
        ip = address(part.get("ip"))
        if ip:
            found.append(ip)
        else:
            part.wrong(f"`{shown(part.get('ip'))}` is not an IPv4 address", "ip")
    return tuple(found)


def _cluster_ip(spec: Fields, kind: str) -> tuple[IPv4Address | None, bool]:
    """The cluster IP, None when there is none or none yet; and whether the service is headless."""
    value = spec.get("clusterIP")
    if value in (None, ""):
        return None, False
    if value == "None":
        if kind in _ON_NODES:
            spec.wrong(f"a {kind} service cannot be headless; leave `None` out", "clusterIP")
        return None, True
    ip = address(value)
    if ip is None:
        text = f"`{shown(value)}` is not an IPv4 address; use one of the service network, `None`, or leave it out"
        spec.wrong(text, "clusterIP")
    return ip, False


def _ports(spec: Fields, kind: str, needed: bool) -> tuple[ServicePort, ...]:
    parts = spec.children("ports")
    if needed and (not spec.has("ports") or spec.get("ports") == []):
        spec.wrong("is missing; a service has at least one port", "ports")
    ports: list[ServicePort] = []
    for part in parts:
        port = _port(part, kind)
        if len(parts) > 1 and not port.name and not part.has("name"):
            part.wrong("is missing; with more than one port each needs a name", "name")
        for other in ports:
            if port.name and port.name == other.name:
                part.wrong(f"`{port.name}` is the name of another port of this service; use another one", "name")
            if port.port and (port.port, port.protocol) == (other.port, other.protocol):
                part.wrong(f"{port.protocol} port {port.port} stands here twice; use another one", "port")
        ports.append(port)
    return tuple(ports)


def _port(part: Fields, kind: str) -> ServicePort:
    number = part.number("port", 1, MAX_PORT, required=True)
    node_port = part.number("nodePort", *NODE_PORTS)
    if part.has("nodePort") and kind not in _ON_NODES:
        part.wrong(f"a {kind} service has no node ports; set `type: NodePort` or leave it out", "nodePort")
    port = ServicePort(
        number,
        part.text("name", trouble=label_trouble),
        cast(Protocol, part.choice("protocol", ("TCP", "UDP"), "TCP")),
        _target_port(part) or number,
        node_port,
    )
    part.finish(tolerated.SERVICE_PORT)
    return port


def _target_port(part: Fields) -> int | str:
    """A number, the name of a container port, or 0 when there is none or a wrong one."""
    value = part.get("targetPort")
    if isinstance(value, str):
        return part.text("targetPort", trouble=port_name_trouble)
    return part.number("targetPort", 1, MAX_PORT)
