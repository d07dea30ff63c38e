"""kube-proxy's nftables mode: from services and endpoints to the table `ip kube-proxy` as data. Pure.

Source of chains, rules and their order: pkg/proxy/nftables/proxier.go of v1.33. Left out, because the lab has no such services: IPv6,
internalTrafficPolicy, topology hints, terminating endpoints.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from lab.kubeproxy import nft_names as names
from lab.kubeproxy.backends import Backend, ServicePortView, view
from lab.kubeproxy.iptables_v17 import ProxyConfig
from lab.model.objects import Endpoints, Service

BASE_CHAINS = {
    # These two see a packet's destination before DNAT: the firewall of a load balancer's address needs that.
    "filter-prerouting-pre-dnat": "type filter hook prerouting priority -110 ;",
    "filter-output-pre-dnat": "type filter hook output priority -110 ;",
    "filter-input": "type filter hook input priority 0 ;",
    "filter-forward": "type filter hook forward priority 0 ;",
    "filter-output": "type filter hook output priority 0 ;",
    "nat-prerouting": "type nat hook prerouting priority -100 ;",
    "nat-output": "type nat hook output priority -100 ;",
    "nat-postrouting": "type nat hook postrouting priority 100 ;",
}
"""Where the kernel calls in: chain -> its hook."""

_DESTINATION = "ipv4_addr . inet_proto . inet_service : verdict"
_NODE_PORT = "inet_proto . inet_service : verdict"
CONTAINERS = {
    "cluster-ips": 'set {} {{ type ipv4_addr ; comment "Active ClusterIPs" ; }}',
    "nodeport-ips": 'set {} {{ type ipv4_addr ; comment "IPs that accept NodePort traffic" ; }}',
    "no-endpoint-services": f'map {{}} {{{{ type {_DESTINATION} ; comment "vmap to drop or reject packets to services with no endpoints" ; }}}}',
    "no-endpoint-nodeports": (
        f'map {{}} {{{{ type {_NODE_PORT} ; comment "vmap to drop or reject packets to service nodeports with no endpoints" ; }}}}'
    ),
    "firewall-ips": f'map {{}} {{{{ type {_DESTINATION} ; comment "destinations that are subject to LoadBalancerSourceRanges" ; }}}}',
    "service-ips": f'map {{}} {{{{ type {_DESTINATION} ; comment "ClusterIP, ExternalIP and LoadBalancer IP traffic" ; }}}}',
    "service-nodeports": f'map {{}} {{{{ type {_NODE_PORT} ; comment "NodePort traffic" ; }}}}',
}
"""Sets and maps whose elements come and go with services: name -> declaration, {} for the qualified name."""

REJECT = "goto reject-chain"


@dataclass
class Ruleset:
    """The table: chain -> rules, in order; affinity set -> its timeout in seconds; container -> element -> what it maps to.

    An element of a set maps to nothing (""). `comments` are those of elements: (container, element) -> text.
    """

    chains: dict[str, list[str]] = field(default_factory=dict)
    affinity: dict[str, int] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=lambda: {name: {} for name in CONTAINERS})
    comments: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, other: Ruleset) -> None:
        """Take in what another has; of what both have, the other's counts."""
        self.chains |= other.chains
        self.affinity |= other.affinity
        self.comments |= other.comments
        for name, elements in other.elements.items():
            self.elements[name] |= elements


def part_of(service: Service, endpoints: Endpoints | None, config: ProxyConfig) -> Ruleset:
    """What the table has because of one service."""
    part = Ruleset()
    for one in view((service,), (endpoints,) if endpoints else ()):
        _ServicePort(part, one, config).write()
    return part


def generate(
    services: Iterable[Service],
    endpoints: Iterable[Endpoints],
    config: ProxyConfig,
    service_cidr: IPv4Network | None = None,
) -> Ruleset:
    """The whole table.

    config         its first node IP is the one that answers at node ports; without any, all addresses but 127.0.0.0/8 do
    service_cidr   the service network: what goes to an address of it that no service has is dropped; None: is let go
    """
    table = Ruleset()
    _base(table, config, service_cidr)
    for one in view(services, endpoints):
        _ServicePort(table, one, config).write()
    return table


def _base(table: Ruleset, config: ProxyConfig, service_cidr: IPv4Network | None) -> None:
    """Everything that is there without any service."""
    mark = f"0x{1 << config.masquerade_bit:x}"
    node_ports = "ip daddr @nodeport-ips" if config.node_ips else "ip daddr != 127.0.0.0/8"
    unknown = [f'ip daddr {{ {service_cidr} }} drop comment "Drop traffic to unallocated ClusterIPs"'] if service_cidr else []
    endpoints_check = "ct state new jump service-endpoints-check"
    table.chains |= {
        "filter-prerouting-pre-dnat": ["ct state new jump firewall-check"],
        "filter-output-pre-dnat": ["ct state new jump firewall-check"],
        "filter-input": ["ct state new jump nodeport-endpoints-check", endpoints_check],
        "filter-forward": [endpoints_check, "ct state new jump cluster-ips-check"],
        "filter-output": [endpoints_check, "ct state new jump cluster-ips-check"],
        "nat-prerouting": ["jump services"],
        "nat-output": ["jump services"],
        "nat-postrouting": ["jump masquerading"],
        "services": [
            "ip daddr . meta l4proto . th dport vmap @service-ips",
            f"{'' if config.node_ips else 'fib daddr type local '}{node_ports} meta l4proto . th dport vmap @service-nodeports",
        ],
        "firewall-check": ["ip daddr . meta l4proto . th dport vmap @firewall-ips"],
        "service-endpoints-check": ["ip daddr . meta l4proto . th dport vmap @no-endpoint-services"],
        "nodeport-endpoints-check": [f"{node_ports} meta l4proto . th dport vmap @no-endpoint-nodeports"],
        "cluster-ips-check": ['ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"', *unknown],
        "mark-for-masquerade": [f"mark set mark or {mark}"],
        "masquerading": [f"mark and {mark} == 0 return", f"mark set mark xor {mark}", "masquerade fully-random"],
        "reject-chain": ["reject"],
    }
    if config.node_ips:
        table.elements["nodeport-ips"][str(config.node_ips[0])] = ""


class _ServicePort:
    """Writes one service port into the table."""

    def __init__(self, table: Ruleset, one: ServicePortView, config: ProxyConfig) -> None:
        self.table, self.one, self.config = table, one, config
        self.only_local = one.service.external_traffic_policy == "Local" and one.service.type in ("NodePort", "LoadBalancer")
        self.local = [backend for backend in one.backends if backend.node and backend.node == config.hostname]
        self.cluster_chain = names.of_service(names.SERVICE, one)
        self.local_chain = names.of_service(names.LOCAL, one)
        self.external_chain = names.of_service(names.EXTERNAL, one)

    def write(self) -> None:
        """Elements first: they decide where a packet goes; then the chains they lead to."""
        one = self.one
        self.table.elements["cluster-ips"][str(one.cluster_ip)] = ""
        self._destination(one.cluster_ip, self.cluster_chain, refused=REJECT if not one.backends else "")
        external = bool(one.service.external_ips or one.service.load_balancer_ips or one.port.node_port)
        refused = REJECT if not one.backends else "drop" if self.only_local and not self.local else ""
        for ip in (*one.service.external_ips, *one.service.load_balancer_ips):
            self._destination(ip, self.external_chain, refused)
        if one.port.node_port:
            self._element("service-nodeports", "no-endpoint-nodeports", f"{one.protocol} . {one.port.node_port}", self.external_chain, refused)
        self._firewall()
        if not one.backends:
            return
        self._cluster()
        if external:
            self._external()
            if self.only_local and self.local:
                self._balance(self.local_chain, self.local)
        for backend in one.backends:
            self._endpoint(backend)

    def _destination(self, ip: IPv4Address, chain: str, refused: str) -> None:
        self._element("service-ips", "no-endpoint-services", f"{ip} . {self.one.protocol} . {self.one.port.port}", chain, refused)

    def _element(self, served: str, unserved: str, key: str, chain: str, refused: str) -> None:
        """A destination leads to its chain as long as the service has back ends anywhere; what that chain lets fall is refused."""
        if self.one.backends:
            self.table.elements[served][key] = f"goto {chain}"
        if refused:
            self.table.elements[unserved][key] = refused
            self.table.comments[unserved, key] = names.shown(self.one)

    def _firewall(self) -> None:
        """Load balancer source ranges: who is in none of them is dropped, before DNAT. Node ports are not subject to them."""
        service = self.one.service
        ranges = service.load_balancer_source_ranges
        if not service.load_balancer_ips or not ranges:
            return
        chain = names.of_service(names.FIREWALL, self.one)
        sources = [str(one) for one in ranges]
        if any(address in one for one in ranges for address in self.config.node_ips[:1]):
            sources += [str(ip) for ip in service.load_balancer_ips]
        self.table.chains[chain] = [f"ip saddr != {{ {', '.join(sources)} }} drop"]
        for ip in service.load_balancer_ips:
            self.table.elements["firewall-ips"][f"{ip} . {self.one.protocol} . {self.one.port.port}"] = f"goto {chain}"

    def _cluster(self) -> None:
        one, cidr = self.one, self.config.cluster_cidr
        foreign = "" if self.config.masquerade_all else f"ip saddr != {cidr} "
        if self.config.masquerade_all or cidr is not None:
            match = f"ip daddr {one.cluster_ip} {one.protocol} dport {one.port.port}"
            self.table.chains[self.cluster_chain] = [f"{match} {foreign}jump mark-for-masquerade"]
        self._balance(self.cluster_chain, one.backends)

    def _external(self) -> None:
        rules = self.table.chains.setdefault(self.external_chain, [])
        if not self.only_local:
            rules += ["jump mark-for-masquerade", f"goto {self.cluster_chain}"]
            return
        if self.config.cluster_cidr is not None:
            rules.append(f'ip saddr {self.config.cluster_cidr} goto {self.cluster_chain} comment "short-circuit pod traffic"')
        rules.append('fib saddr type local jump mark-for-masquerade comment "masquerade local traffic"')
        rules.append(f'fib saddr type local goto {self.cluster_chain} comment "short-circuit local traffic"')
        if self.local:
            rules.append(f"goto {self.local_chain}")

    def _balance(self, chain: str, backends: Sequence[Backend]) -> None:
        """Back to the back end of before, if the client has one; else one of them at random, by one number and one look into a map."""
        rules = self.table.chains.setdefault(chain, [])
        ends = [names.of_endpoint(names.ENDPOINT, self.one, backend) for backend in backends]
        if self.one.service.session_affinity == "ClientIP":
            for backend, end in zip(backends, ends, strict=True):
                rules.append(f"ip saddr @{names.of_endpoint(names.AFFINITY, self.one, backend)} goto {end}")
        verdicts = ", ".join(f"{index} : goto {end}" for index, end in enumerate(ends))
        rules.append(f"numgen random mod {len(ends)} vmap {{ {verdicts} }}")

    def _endpoint(self, backend: Backend) -> None:
        rules = [f"ip saddr {backend.ip} jump mark-for-masquerade"]
        if self.one.service.session_affinity == "ClientIP":
            known = names.of_endpoint(names.AFFINITY, self.one, backend)
            self.table.affinity[known] = self.one.service.affinity_seconds
            rules.append(f"update @{known} {{ ip saddr }}")
        rules.append(f"meta l4proto {self.one.protocol} dnat to {backend.text}")
        self.table.chains[names.of_endpoint(names.ENDPOINT, self.one, backend)] = rules
