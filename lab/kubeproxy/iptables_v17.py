"""kube-proxy v1.7 in iptables mode: from services and endpoints to the filter and nat tables. Pure.

Source of every rule and of the order within a service port: pkg/proxy/iptables/proxier.go of mid-2017. The order of the services is
random there (a Go map); here it is sorted, so that equal input gives equal rules.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network

from lab.kubeproxy import names
from lab.kubeproxy.backends import ServicePortView, view
from lab.kubeproxy.tables import Jump, Table
from lab.model.objects import Endpoints, Service

AFFINITY_SECONDS = 10800
"""v1.7 knows one timeout of ClientIP affinity: 180 minutes."""

NODEPORTS_LAST = (
    '-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain" '
    "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
)


@dataclass(frozen=True)
class ProxyConfig:
    """kube-proxy's flags, as far as rules depend on them.

    cluster_cidr     the pod network; None: nothing is marked for masquerading because of where it comes from
    masquerade_bit   0 to 31
    node_ips         the node's own addresses; a load balancer's source range that has one of them lets the balancer's address pass
    hostname         the node's name: back ends of this name are the local ones of externalTrafficPolicy Local
    """

    cluster_cidr: IPv4Network | None = None
    masquerade_all: bool = False
    masquerade_bit: int = 14
    node_ips: tuple[IPv4Address, ...] = ()
    hostname: str = ""

    @cached_property
    def pods(self) -> str:
        """`10.244.0.0/16`, empty without cluster CIDR. Kept: it stands in a rule of every service, and a network is slow to print."""
        return "" if self.cluster_cidr is None else str(self.cluster_cidr)


def generate(
    services: Iterable[Service],
    endpoints: Iterable[Endpoints],
    config: ProxyConfig,
    refused: Container[tuple[str, int, str]] = (),
) -> tuple[Table, Table]:
    """kube-proxy's part of the filter and of the nat table, as one sync writes it.

    refused: (address, port, protocol) of ports that another program holds, with an empty address for node ports. An external IP is left out
    then. Of a service port with a node port all that comes after its cluster IP and external IPs is: its chain stays empty, as in v1.7.
    Needs KUBE-MARK-DROP in the nat table (lab.kubeproxy.kubelet) as soon as there is a LoadBalancer service or a Local policy.
    """
    filter_table, nat = _skeleton(config)
    refusals, rules = of_ports(view(services, endpoints), config, refused)
    return filter_table.followed_by(refusals), nat.followed_by(rules)


def of_ports(views: Sequence[ServicePortView], config: ProxyConfig, refused: Container[tuple[str, int, str]] = ()) -> tuple[Table, Table]:
    """What these service ports add to the two tables, and nothing else: so one service can be looked at alone."""
    nat = _Nat(config, refused)
    for one in views:
        nat.service_port(one)
    return Table("filter", (), [f"-A KUBE-SERVICES {match} -j REJECT" for one in views if not one.backends for match in _unserved(one)]), nat.table()


def _skeleton(config: ProxyConfig) -> tuple[Table, Table]:
    """The tables without services. v1.7 hooks its refusals into INPUT and OUTPUT, not into FORWARD: pods are not refused."""
    mask = _mask(config.masquerade_bit)
    portals = f"{_comment('kubernetes service portals')} -j KUBE-SERVICES"
    postrouting = f"{_comment('kubernetes postrouting rules')} -j KUBE-POSTROUTING"
    rules = (
        f"-A KUBE-POSTROUTING {_comment('kubernetes service traffic requiring SNAT')} -m mark --mark {mask} -j MASQUERADE",
        f"-A KUBE-MARK-MASQ -j MARK --set-xmark {mask}",
    )
    jumps = (Jump("OUTPUT", portals), Jump("PREROUTING", portals), Jump("POSTROUTING", postrouting))
    return (
        Table("filter", ("KUBE-SERVICES",), (), jumps=(Jump("INPUT", portals), Jump("OUTPUT", portals))),
        Table("nat", ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"), rules, (NODEPORTS_LAST,), jumps),
    )


def _mask(bit: int) -> str:
    """A mark as Go's %#08x prints it: 0x00004000/0x00004000."""
    return f"0x{1 << bit:08x}/0x{1 << bit:08x}"


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def _unserved(one: ServicePortView) -> Iterator[str]:
    """Matches of what is refused because the service port has no back ends."""
    comment, protocol = _comment(f"{one.name} has no endpoints"), f"-m {one.protocol} -p {one.protocol}"
    for ip in one.service.external_ips:
        yield f"{comment} {protocol} -d {ip}/32 --dport {one.port.port}"
    if one.port.node_port:
        yield f"{comment} -m addrtype --dst-type LOCAL {protocol} --dport {one.port.node_port}"
    yield f"{comment} {protocol} -d {one.cluster_ip}/32 --dport {one.port.port}"


class _Nat:
    """What services add to the nat table, service port by service port."""

    def __init__(self, config: ProxyConfig, refused: Container[tuple[str, int, str]]) -> None:
        self.config, self.refused = config, refused
        self.chains: list[str] = []
        self.rules: list[str] = []

    def table(self) -> Table:
        """All that was added."""
        return Table("nat", self.chains, self.rules)

    def service_port(self, one: ServicePortView) -> None:
        """All rules of one service port."""
        service_chain = names.chain(names.SERVICE, one.name, one.protocol)
        only_local = one.service.external_traffic_policy == "Local" and one.service.type in ("NodePort", "LoadBalancer")
        local_chain = names.chain(names.LOCAL, one.name, one.protocol) if only_local else ""
        self.chains += [service_chain, local_chain] if only_local else [service_chain]
        self._cluster_ip(one, service_chain)
        self._external_ips(one, service_chain)
        self._load_balancers(one, local_chain or service_chain, only_local)
        if one.port.node_port and ("", one.port.node_port, one.protocol) in self.refused:
            return
        self._node_port(one, service_chain, local_chain)
        if one.backends:
            self._balance(one, service_chain)
            if only_local:
                self._balance_locally(one, service_chain, local_chain)

    def _destination(self, one: ServicePortView, what: str, ip: IPv4Address) -> str:
        return f"{_comment(f'{one.name} {what}')} -m {one.protocol} -p {one.protocol} -d {ip}/32 --dport {one.port.port}"

    def _cluster_ip(self, one: ServicePortView, service_chain: str) -> None:
        match = f"-A KUBE-SERVICES {self._destination(one, 'cluster IP', one.cluster_ip)}"
        if self.config.masquerade_all:
            self.rules.append(f"{match} -j KUBE-MARK-MASQ")
        elif self.config.cluster_cidr is not None:
            self.rules.append(f"{match} ! -s {self.config.pods} -j KUBE-MARK-MASQ")
        self.rules.append(f"{match} -j {service_chain}")

    def _external_ips(self, one: ServicePortView, service_chain: str) -> None:
        """An external IP's traffic is always masqueraded; what did not come by a bridge port from elsewhere, or is for this node, goes on."""
        for ip in one.service.external_ips:
            if (str(ip), one.port.port, one.protocol) in self.refused:
                continue
            match = f"-A KUBE-SERVICES {self._destination(one, 'external IP', ip)}"
            self.rules.append(f"{match} -j KUBE-MARK-MASQ")
            self.rules.append(f"{match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j {service_chain}")
            self.rules.append(f"{match} -m addrtype --dst-type LOCAL -j {service_chain}")

    def _load_balancers(self, one: ServicePortView, target: str, only_local: bool) -> None:
        if not one.service.load_balancer_ips:
            return
        chain = names.chain(names.FIREWALL, one.name, one.protocol)
        self.chains.append(chain)
        for ip in one.service.load_balancer_ips:
            self.rules.append(f"-A KUBE-SERVICES {self._destination(one, 'loadbalancer IP', ip)} -j {chain}")
            match = f"-A {chain} {_comment(f'{one.name} loadbalancer IP')}"
            if not only_local:
                self.rules.append(f"{match} -j KUBE-MARK-MASQ")
            ranges = one.service.load_balancer_source_ranges
            self.rules += [f"{match} -s {allowed} -j {target}" for allowed in ranges] or [f"{match} -j {target}"]
            if any(address in allowed for allowed in ranges for address in self.config.node_ips):
                self.rules.append(f"{match} -s {ip}/32 -j {target}")
            self.rules.append(f"{match} -j KUBE-MARK-DROP")

    def _node_port(self, one: ServicePortView, service_chain: str, local_chain: str) -> None:
        if not one.port.node_port:
            return
        match = f"-A KUBE-NODEPORTS {_comment(one.name)} -m {one.protocol} -p {one.protocol} --dport {one.port.node_port}"
        if local_chain:
            self.rules.append(f"{match} -j {local_chain}")
            return
        self.rules += [f"{match} -j KUBE-MARK-MASQ", f"{match} -j {service_chain}"]

    def _balance(self, one: ServicePortView, service_chain: str) -> None:
        """One KUBE-SEP chain a back end, and the choice between them."""
        comment = _comment(one.name)
        sticky = one.service.session_affinity == "ClientIP"
        chains = [names.chain(names.ENDPOINT, one.name, one.protocol, backend.text) for backend in one.backends]
        self.chains += chains
        if sticky:
            recent = f"--rcheck --seconds {AFFINITY_SECONDS} --reap"
            self.rules += [f"-A {service_chain} {comment} -m recent --name {chain} {recent} -j {chain}" for chain in chains]
        for index, (backend, chain) in enumerate(zip(one.backends, chains, strict=True)):
            self.rules.append(f"-A {service_chain} {comment}{_chance(index, len(chains))} -j {chain}")
            self.rules.append(f"-A {chain} {comment} -s {backend.address}/32 -j KUBE-MARK-MASQ")
            remember = f" -m recent --name {chain} --set" if sticky else ""
            protocol = f"-m {one.protocol} -p {one.protocol}"
            self.rules.append(f"-A {chain} {comment}{remember} {protocol} -j DNAT --to-destination {backend.text}")

    def _balance_locally(self, one: ServicePortView, service_chain: str, local_chain: str) -> None:
        """externalTrafficPolicy Local: only back ends on this node, unless the client is a pod."""
        if self.config.cluster_cidr is not None:
            comment = _comment("Redirect pods trying to reach external loadbalancer VIP to clusterIP")
            self.rules.append(f"-A {local_chain} {comment} -s {self.config.pods} -j {service_chain}")
        local = [backend for backend in one.backends if backend.node and backend.node == self.config.hostname]
        if not local:
            self.rules.append(f"-A {local_chain} {_comment(f'{one.name} has no local endpoints')} -j KUBE-MARK-DROP")
        for index, backend in enumerate(local):
            chain = names.chain(names.ENDPOINT, one.name, one.protocol, backend.text)
            comment = _comment(f"Balancing rule {index} for {one.name}")
            self.rules.append(f"-A {local_chain} {comment}{_chance(index, len(local))} -j {chain}")


def _chance(index: int, count: int) -> str:
    """The match that gives back end `index` of `count` its share of what the rules before it let pass: 1/(count-index), the last all."""
    return "" if index == count - 1 else f" -m statistic --mode random --probability {1 / (count - index):0.5f}"
