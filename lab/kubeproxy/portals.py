"""The iptables rules of kube-proxy's userspace mode (v1.7): they only lead connections into the proxy's own sockets. Pure.

Source: pkg/proxy/userspace/proxier.go of mid-2017. There the rules of a service port stand in the order in which they were added; here they
are sorted by name. The policy Local and load balancer source ranges mean nothing to this mode.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import IPv4Address

from lab.kubeproxy import rules
from lab.kubeproxy.backends import ServicePortView
from lab.kubeproxy.tables import Jump, Saved, Table

CONTAINER, HOST = "KUBE-PORTALS-CONTAINER", "KUBE-PORTALS-HOST"
NODEPORT_CONTAINER, NODEPORT_HOST = "KUBE-NODEPORT-CONTAINER", "KUBE-NODEPORT-HOST"
NON_LOCAL = "KUBE-NODEPORT-NON-LOCAL"
OWN_PREFIXES = (CONTAINER, HOST, NODEPORT_CONTAINER, NODEPORT_HOST, NON_LOCAL)

ANY = IPv4Address("0.0.0.0")

Key = tuple[str, str]
"""A service port: its name as in comments, and its protocol in lower case."""

_PORTALS = '-m comment --comment "handle ClusterIPs; NOTE: this must be before the NodePort rules"'
_NODE_PORTS = '-m addrtype --dst-type LOCAL -m comment --comment "handle service NodePorts; NOTE: this must be the last rule in the chain"'
_PREPENDED = (Jump("PREROUTING", f"{_PORTALS} -j {CONTAINER}"), Jump("OUTPUT", f"{_PORTALS} -j {HOST}"))
_APPENDED = (Jump("PREROUTING", f"{_NODE_PORTS} -j {NODEPORT_CONTAINER}"), Jump("OUTPUT", f"{_NODE_PORTS} -j {NODEPORT_HOST}"))
_FILTER = (Jump("INPUT", f'-m comment --comment "Ensure that non-local NodePort traffic can flow" -j {NON_LOCAL}'),)


def generate(
    views: Iterable[ServicePortView],
    ports: Mapping[Key, int],
    host_ip: IPv4Address,
    bind: IPv4Address = ANY,
    claimed: Container[tuple[int, str]] = (),
) -> tuple[Table, Table]:
    """The filter and the nat table for the service ports that have a proxy port.

    ports     service port -> the port on which the proxy listens for it
    host_ip   the node's own address, to which a local client's connections are sent when the proxy listens on all
    bind      the address on which the proxy listens
    claimed   node ports with their protocols that are the proxy's; another program's are not redirected
    """
    nat: dict[str, list[str]] = {chain: [] for chain in (CONTAINER, HOST, NODEPORT_CONTAINER, NODEPORT_HOST)}
    non_local: list[str] = []
    for one in sorted(views, key=lambda view: (view.name, view.protocol)):
        port = ports.get((one.name, one.protocol))
        if port is None:
            continue
        to_container = f"-j REDIRECT --to-ports {port}" if bind == ANY else f"-j DNAT --to-destination {bind}:{port}"
        to_host = f"-j DNAT --to-destination {host_ip if bind == ANY else bind}:{port}"
        for chain, match in _portals(one):
            nat[chain].append(f"-A {chain} {match} {to_container if chain == CONTAINER else to_host}")
        if (one.port.node_port, one.protocol) in claimed:
            match = _head(one, one.port.node_port)
            nat[NODEPORT_CONTAINER].append(f"-A {NODEPORT_CONTAINER} {match} {to_container}")
            nat[NODEPORT_HOST].append(f"-A {NODEPORT_HOST} {match} {to_host}")
            non_local.append(f"-A {NON_LOCAL} {_head(one, port)} -m state --state NEW -j ACCEPT")
    every = [rule for chain in nat.values() for rule in chain]
    return Table("filter", (NON_LOCAL,), non_local, jumps=_FILTER), Table("nat", tuple(nat), every, jumps=_PREPENDED)


def _head(one: ServicePortView, port: int, ip: IPv4Address | None = None) -> str:
    destination = f" -d {ip}/32" if ip else ""
    return f'-m comment --comment "{one.name}" -p {one.protocol} -m {one.protocol} --dport {port}{destination}'


def _portals(one: ServicePortView) -> Iterator[tuple[str, str]]:
    """(chain, match) of every address of a service. An external IP that is another machine's stays reachable there from the node itself."""
    for ip in (one.cluster_ip, *one.service.load_balancer_ips):
        yield CONTAINER, _head(one, one.port.port, ip)
        yield HOST, _head(one, one.port.port, ip)
    for ip in one.service.external_ips:
        head = _head(one, one.port.port, ip)
        yield CONTAINER, f"{head} -m physdev ! --physdev-is-in"
        yield CONTAINER, f"{head} -m addrtype --dst-type LOCAL"
        yield HOST, f"{head} -m addrtype --dst-type LOCAL"


def with_appended(tables: Iterable[Table], saved: Mapping[str, Saved]) -> list[Table]:
    """The tables with the jumps to the node ports' chains, which belong at the end of their chains, where the kernel lacks them."""
    missing = [f"-A {jump.chain} {jump.rule}" for jump in _APPENDED if jump.saved not in saved.get("nat", Saved()).rules]
    return [replace(table, last=missing) if table.name == "nat" else table for table in tables]


def removable(tables: Iterable[Table]) -> list[Table]:
    """The tables with all their jumps, for their removal."""
    return [replace(table, jumps=(*table.jumps, *_APPENDED)) if table.name == "nat" else table for table in tables]


def in_place(tables: Iterable[Table], saved: Mapping[str, Saved]) -> bool:
    """Whether the kernel has exactly these rules and jumps, so that there is nothing to write and the counters can go on."""
    for table in removable(tables):
        current = saved.get(table.name, Saved())
        wanted = {rules.saved(rules.parse(rule)) for rule in table.rules}
        own = {rule for rule in current.rules if rule.split(" ", 2)[1] in table.chains}
        if not current.chains.keys() >= set(table.chains) or own != wanted or any(jump.saved not in current.rules for jump in table.jumps):
            return False
    return True
