"""kube-proxy of today (v1.33) in iptables mode: from services and endpoints to the filter, nat and mangle tables. Pure.

What is different from v1.7 stands in docs/kube-proxy.md. The order of the services is sorted, as in lab.kubeproxy.iptables_v17.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lab.kubeproxy import kubelet, names
from lab.kubeproxy.backends import Backend, ServicePortView, view
from lab.kubeproxy.iptables_v17 import NODEPORTS_LAST, ProxyConfig
from lab.kubeproxy.tables import Jump, Table
from lab.model.objects import Endpoints, Service

EXTERNAL = "KUBE-EXT-"
LOCAL = "KUBE-SVL-"
CANARY = "KUBE-PROXY-CANARY"
"""Chains without rules: when they vanish, somebody has flushed the tables, and kube-proxy writes everything anew."""

OWN_PREFIXES = (names.SERVICE, names.ENDPOINT, names.FIREWALL, EXTERNAL, LOCAL)

_NEW = "-m conntrack --ctstate NEW"
_NOT_OURS = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"


def generate(
    services: Iterable[Service], endpoints: Iterable[Endpoints], config: ProxyConfig, comments: bool = True
) -> tuple[Table, Table, Table]:
    """kube-proxy's part of the mangle, filter and nat table. comments: False leaves those of the choice between back ends out."""
    filter_table, nat = of_ports(view(services, endpoints), config, comments)
    return Table("mangle", (CANARY,), ()), _filter_skeleton(config).followed_by(filter_table), _nat_skeleton(config).followed_by(nat)


def of_ports(views: Iterable[ServicePortView], config: ProxyConfig, comments: bool = True) -> tuple[Table, Table]:
    """What these service ports add to the filter and nat tables, and nothing else: so one service can be looked at alone."""
    made = _Rules(config, comments)
    for one in views:
        made.service_port(replace(one, name=one.name.removesuffix(":"), backends=tuple(sorted(one.backends, key=lambda end: end.text))))
    return Table("filter", (), made.filter), Table("nat", made.chains, made.nat)


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def _jump(chain: str, target: str, comment: str, match: str = "") -> Jump:
    return Jump(chain, f"{match} {_comment(comment)} -j {target}".lstrip())


def _filter_skeleton(config: ProxyConfig) -> Table:
    """Without services: where refusals and the load balancers' firewall hang, and what is forwarded."""
    mark = f"{1 << config.masquerade_bit:#x}"
    visible, balancer = "kubernetes externally-visible service portals", "kubernetes load balancer firewall"
    rules = (
        "-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
        f"-A KUBE-FORWARD {_comment('kubernetes forwarding rules')} -m mark --mark {mark}/{mark} -j ACCEPT",
        f"-A KUBE-FORWARD {_comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        f"-A KUBE-FIREWALL {_comment('block incoming localnet connections')} -d 127.0.0.0/8 ! -s 127.0.0.0/8 {_NOT_OURS} -j DROP",
    )
    jumps = (
        _jump("INPUT", "KUBE-EXTERNAL-SERVICES", visible, _NEW),
        _jump("FORWARD", "KUBE-EXTERNAL-SERVICES", visible, _NEW),
        _jump("INPUT", "KUBE-NODEPORTS", "kubernetes health check service ports"),
        _jump("FORWARD", "KUBE-SERVICES", "kubernetes service portals", _NEW),
        _jump("OUTPUT", "KUBE-SERVICES", "kubernetes service portals", _NEW),
        _jump("FORWARD", "KUBE-FORWARD", "kubernetes forwarding rules"),
        _jump("INPUT", "KUBE-PROXY-FIREWALL", balancer, _NEW),
        _jump("OUTPUT", "KUBE-PROXY-FIREWALL", balancer, _NEW),
        _jump("FORWARD", "KUBE-PROXY-FIREWALL", balancer, _NEW),
        *kubelet.JUMPS,
    )
    chains = ("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD", "KUBE-NODEPORTS", "KUBE-PROXY-FIREWALL", kubelet.CHAIN, CANARY)
    return Table("filter", chains, rules, jumps=jumps)


def _nat_skeleton(config: ProxyConfig) -> Table:
    """Without services: where the choice of back ends hangs, and masquerading."""
    mark = f"{1 << config.masquerade_bit:#x}"
    rules = (
        f"-A KUBE-POSTROUTING -m mark ! --mark {mark}/{mark} -j RETURN",
        f"-A KUBE-POSTROUTING -j MARK --xor-mark {mark}",
        f"-A KUBE-POSTROUTING {_comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE",
        f"-A KUBE-MARK-MASQ -j MARK --or-mark {mark}",
    )
    jumps = (
        _jump("OUTPUT", "KUBE-SERVICES", "kubernetes service portals"),
        _jump("PREROUTING", "KUBE-SERVICES", "kubernetes service portals"),
        _jump("POSTROUTING", "KUBE-POSTROUTING", "kubernetes postrouting rules"),
    )
    chains = ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-MARK-MASQ", CANARY)
    return Table("nat", chains, rules, (NODEPORTS_LAST,), jumps)


class _Rules:
    """What services add to the filter and nat tables, service port by service port."""

    def __init__(self, config: ProxyConfig, comments: bool) -> None:
        self.config, self.comments = config, comments
        self.chains: list[str] = []
        self.nat: list[str] = []
        self.filter: list[str] = []

    def service_port(self, one: ServicePortView) -> None:
        """All rules of one service port."""
        only_local = one.service.external_traffic_policy == "Local" and one.service.type in ("NodePort", "LoadBalancer")
        outside = [end for end in one.backends if end.node and end.node == self.config.hostname] if only_local else list(one.backends)
        self._filter_rules(one, bool(outside))
        if not one.backends:
            return
        service = names.chain(names.SERVICE, one.name, one.protocol)
        external, firewall, local = (service.replace(names.SERVICE, prefix) for prefix in (EXTERNAL, names.FIREWALL, LOCAL))
        ranged = bool(one.service.load_balancer_ips and one.service.load_balancer_source_ranges)
        self.nat.append(f"-A KUBE-SERVICES {_to(one, 'cluster IP', one.cluster_ip)} -j {service}")
        self.nat += [f"-A KUBE-SERVICES {_to(one, 'external IP', ip)} -j {external}" for ip in one.service.external_ips]
        balancer = firewall if ranged else external
        self.nat += [f"-A KUBE-SERVICES {_to(one, 'loadbalancer IP', ip)} -j {balancer}" for ip in one.service.load_balancer_ips]
        if one.port.node_port:
            protocol = f"-m {one.protocol} -p {one.protocol}"
            self.nat.append(f"-A KUBE-NODEPORTS {_comment(one.name)} {protocol} --dport {one.port.node_port} -j {external}")
        self.chains.append(service)
        if one.port.node_port or one.service.external_ips or one.service.load_balancer_ips:
            self.chains.append(external)
            self._external_chain(one, external, service, (local if outside else "") if only_local else service, only_local)
        if ranged:
            self.chains.append(balancer)
            self._firewall_chain(one, balancer, external)
        self._masquerade_pods(one, service)
        self._balance(one, service, one.backends)
        if only_local and outside:
            self.chains.append(local)
            self._balance(one, local, outside)
        self._endpoints(one)

    def _filter_rules(self, one: ServicePortView, outside: bool) -> None:
        """Refuse what has no back end at all; drop what has one on other nodes only, so that a load balancer tries another node."""
        if not one.backends:
            self.filter.append(f"-A KUBE-SERVICES {_to(one, 'has no endpoints', one.cluster_ip)} -j REJECT")
        if not outside:
            what, target = ("has no local endpoints", "DROP") if one.backends else ("has no endpoints", "REJECT")
            for ip in (*one.service.external_ips, *one.service.load_balancer_ips):
                self.filter.append(f"-A KUBE-EXTERNAL-SERVICES {_to(one, what, ip)} -j {target}")
            if one.port.node_port:
                match = f"{_comment(f'{one.name} {what}')} -m addrtype --dst-type LOCAL -m {one.protocol} -p {one.protocol}"
                self.filter.append(f"-A KUBE-EXTERNAL-SERVICES {match} --dport {one.port.node_port} -j {target}")
        if one.backends and one.service.load_balancer_source_ranges:
            what = f"traffic not accepted by {names.chain(names.FIREWALL, one.name, one.protocol)}"
            self.filter += [f"-A KUBE-PROXY-FIREWALL {_to(one, what, ip)} -j DROP" for ip in one.service.load_balancer_ips]
        if one.service.health_check_node_port and one.service.type == "LoadBalancer" and one.service.external_traffic_policy == "Local":
            match = f"{_comment(f'{one.name} health check node port')} -m tcp -p tcp --dport {one.service.health_check_node_port}"
            self.filter.append(f"-A KUBE-NODEPORTS {match} -j ACCEPT")

    def _external_chain(self, one: ServicePortView, chain: str, service: str, target: str, only_local: bool) -> None:
        """What comes from outside: masqueraded, or with policy Local to this node's back ends with the client's address kept."""
        what = f"{one.name} external destinations"
        if not only_local:
            self.nat.append(f"-A {chain} {_comment(f'masquerade traffic for {what}')} -j KUBE-MARK-MASQ")
        else:
            local = "-m addrtype --src-type LOCAL"
            if self.config.cluster_cidr is not None:
                self.nat.append(f"-A {chain} {_comment(f'pod traffic for {what}')} -s {self.config.pods} -j {service}")
            self.nat.append(f"-A {chain} {_comment(f'masquerade LOCAL traffic for {what}')} {local} -j KUBE-MARK-MASQ")
            self.nat.append(f"-A {chain} {_comment(f'route LOCAL traffic for {what}')} {local} -j {service}")
        if target:
            self.nat.append(f"-A {chain} -j {target}")

    def _firewall_chain(self, one: ServicePortView, chain: str, external: str) -> None:
        """A load balancer's source ranges. What they do not let pass is dropped in the filter table."""
        match = f"-A {chain} {_comment(f'{one.name} loadbalancer IP')}"
        ranges = one.service.load_balancer_source_ranges
        self.nat += [f"{match} -s {allowed} -j {external}" for allowed in ranges]
        if any(address in allowed for allowed in ranges for address in self.config.node_ips):
            self.nat += [f"{match} -s {ip} -j {external}" for ip in one.service.load_balancer_ips]
        self.nat.append(f"-A {chain} {_comment(f'other traffic to {one.name} will be dropped by KUBE-PROXY-FIREWALL')}")

    def _masquerade_pods(self, one: ServicePortView, service: str) -> None:
        match = f"-A {service} {_to(one, 'cluster IP', one.cluster_ip)}"
        if self.config.masquerade_all:
            self.nat.append(f"{match} -j KUBE-MARK-MASQ")
        elif self.config.cluster_cidr is not None:
            self.nat.append(f"{match} ! -s {self.config.pods} -j KUBE-MARK-MASQ")

    def _balance(self, one: ServicePortView, chain: str, ends: Sequence[Backend]) -> None:
        """The choice between back ends."""
        pairs = list(self._named(one, ends))
        if one.service.session_affinity == "ClientIP":
            recent = f"--rcheck --seconds {one.service.affinity_seconds} --reap"
            self.nat += [f"-A {chain}{said} -m recent --name {end} {recent} -j {end}" for said, end in pairs]
        for index, (said, end) in enumerate(pairs):
            left = len(pairs) - index
            chance = "" if left == 1 else f" -m statistic --mode random --probability {1 / left:0.10f}"
            self.nat.append(f"-A {chain}{said}{chance} -j {end}")

    def _named(self, one: ServicePortView, ends: Sequence[Backend]) -> Iterator[tuple[str, str]]:
        """A back end's comment and chain."""
        for end in ends:
            said = f" {_comment(f'{one.name} -> {end.text}')}" if self.comments else ""
            yield said, names.chain(names.ENDPOINT, one.name, one.protocol, end.text)

    def _endpoints(self, one: ServicePortView) -> None:
        said = f" {_comment(one.name)}" if self.comments else ""
        for end in one.backends:
            chain = names.chain(names.ENDPOINT, one.name, one.protocol, end.text)
            remember = f" -m recent --name {chain} --set" if one.service.session_affinity == "ClientIP" else ""
            self.chains.append(chain)
            self.nat.append(f"-A {chain}{said} -s {end.address} -j KUBE-MARK-MASQ")
            self.nat.append(f"-A {chain}{said}{remember} -m {one.protocol} -p {one.protocol} -j DNAT --to-destination {end.text}")


def _to(one: ServicePortView, what: str, ip: object) -> str:
    return f"{_comment(f'{one.name} {what}')} -m {one.protocol} -p {one.protocol} -d {ip} --dport {one.port.port}"
