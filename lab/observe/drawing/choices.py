"""How a node's rules choose among a service's back ends: the chains, and each end's chance, read from the rules that kube-proxy writes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

from lab.kubeproxy import backends, iptables_v17, iptables_v133, nft_names, nft_rules, rules
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.kubeproxy.tables import Table
from lab.model import objects as kubernetes
from lab.observe import graph as model


@dataclass(frozen=True)
class End:
    """One way a packet can go.

    chain        the back end's own, where it is rewritten; empty in userspace mode, and while the back end has no address
    condition    what the rule says: `--probability 0.50000000000`, empty for the last one, which takes the rest; `0 of 2` with nftables
    share        of all new connections, 0 to 1
    """

    chain: str
    condition: str
    share: float
    backend: model.Backend


@dataclass(frozen=True)
class Choice:
    """What a node does with a packet for one port of a service.

    entry      the chain in which it is recognised, and `match`, by what
    chain      the service port's own, in which an end is chosen
    """

    port: model.Port
    entry: str
    match: str
    chain: str
    ends: tuple[End, ...]


def choices(graph: model.Graph, service: model.Service) -> tuple[Choice, ...]:
    """One a port. A service without cluster IP has none."""
    if service.headless or not service.ports:
        return ()
    return tuple(_choice(graph, service, port) for port in service.ports)


def _choice(graph: model.Graph, service: model.Service, port: model.Port) -> Choice:
    ip = service.cluster_ip or "…"
    match = f"-d {ip} {port.protocol.lower()} --dport {port.port}"
    if graph.proxy_mode == "userspace":
        ends = (End("", "", 1 / len(port.backends), one) for one in port.backends)
        return Choice(port, "KUBE-PORTALS-CONTAINER", match, "", tuple(ends))
    stand_ins = replace(port, backends=tuple(replace(one, ip=one.ip or str(IPv4Address(place))) for place, one in enumerate(port.backends, 1)))
    found = (_nftables if graph.proxy_mode == "nftables" else _iptables)(graph, service, stand_ins)
    named = [replace(end, chain=end.chain if real.ip else "", backend=real) for end, real in _paired(found.ends, stand_ins, port)]
    return replace(found, port=port, match=match, ends=tuple(named))


def _paired(ends: Iterable[End], stand_ins: model.Port, port: model.Port) -> Iterator[tuple[End, model.Backend]]:
    """Each end with the back end that it really is, whose address may not be known yet."""
    real = dict(zip(stand_ins.backends, port.backends, strict=True))
    for end in ends:
        yield end, real[end.backend]


def _objects(service: model.Service, port: model.Port) -> tuple[kubernetes.Service, kubernetes.Endpoints]:
    protocol: Literal["TCP", "UDP"] = "UDP" if port.protocol == "UDP" else "TCP"
    wanted = kubernetes.ServicePort(port.port, port.name, protocol, 0, port.node_port)
    kind: Literal["NodePort", "ClusterIP"] = "NodePort" if port.node_port else "ClusterIP"
    made = kubernetes.Service(service.name, service.namespace, (wanted,), IPv4Address(service.cluster_ip or 0), type=kind)
    subsets = tuple(
        kubernetes.EndpointSubset(
            (kubernetes.EndpointAddress(IPv4Address(one.ip), one.node, one.pod),), (kubernetes.EndpointPort(one.port, port.name, protocol),)
        )
        for one in port.backends
    )
    return made, kubernetes.Endpoints(service.name, service.namespace, subsets)


def _iptables(graph: model.Graph, service: model.Service, port: model.Port) -> Choice:
    made, endpoints = _objects(service, port)
    config = ProxyConfig(IPv4Network(graph.pod_network) if graph.pod_network else None)
    tables: Sequence[Table] = (
        iptables_v17.generate([made], [endpoints], config) if graph.rules_version == "1.7" else iptables_v133.generate([made], [endpoints], config)
    )
    found = [rules.parse(line) for table in tables if table.name == "nat" for line in table.rules]
    to_pod = {rule.chain: rule.value("--to-destination") for rule in found if rule.target == "DNAT"}
    chosen = [rule for rule in found if rule.target in to_pod and rule.chain.startswith("KUBE-SVC-")]
    chain = next((rule.chain for rule in chosen), "")
    return Choice(port, "KUBE-SERVICES", "", chain, tuple(_shares(port, chosen, to_pod)))


def _shares(port: model.Port, chosen: Iterable[rules.Rule], to_pod: dict[str, str]) -> Iterator[End]:
    """Each rule gets its probability of what the rules before it have let pass."""
    left = 1.0
    by_address = {f"{one.ip}:{one.port}": one for one in port.backends}
    for rule in chosen:
        text = rules.saved(rule)
        said = re.search(r"--probability [\d.]+", text)
        chance = float(said[0].split()[1]) if said else 1.0
        yield End(rule.target, said[0] if said else "", left * chance, by_address[to_pod[rule.target]])
        left *= 1 - chance


def _nftables(graph: model.Graph, service: model.Service, port: model.Port) -> Choice:
    made, endpoints = _objects(service, port)
    (one,) = backends.view([made], [endpoints])
    table = nft_rules.part_of(made, endpoints, ProxyConfig())
    chain = nft_names.of_service(nft_names.SERVICE, one)
    ends = {nft_names.of_endpoint(nft_names.ENDPOINT, one, backend): backend.text for backend in one.backends}
    by_address = {f"{each.ip}:{each.port}": each for each in port.backends}
    found = re.findall(r"(\d+) : goto ([^ ,}]+)", " ".join(table.chains.get(chain, ())))
    drawn = (End(name, f"{number} of {len(found)}", 1 / len(found), by_address[ends[name]]) for number, name in found)
    return Choice(port, "services", "", chain if found else "", tuple(drawn))
