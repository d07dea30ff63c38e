"""lab.kubeproxy: v1.7's rules as text, for every kind of service."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubeproxy import conntrack, iptables_v17, kubelet, names, tables
from lab.kubeproxy.backends import view
from lab.kubeproxy.iptables_v17 import ProxyConfig, generate
from lab.model.objects import EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Service, ServicePort

CONFIG = ProxyConfig(IPv4Network("10.244.0.0/16"), node_ips=(IPv4Address("10.229.53.146"),), hostname="n1")
VIP = IPv4Address("10.105.211.16")


def _service(**changes: object) -> Service:
    return replace(Service("nginx-service", "default", (ServicePort(8000, target_port=80),), VIP), **changes)


HTTP = EndpointPort(80)


def _endpoints(*ips: str, port: EndpointPort = HTTP, nodes: tuple[str, ...] = ()) -> Endpoints:
    where = [*nodes, *[""] * len(ips)]
    addresses = tuple(EndpointAddress(IPv4Address(ip), node) for ip, node in zip(ips, where, strict=False))
    return Endpoints("nginx-service", "default", (EndpointSubset(addresses, (port,)),) if addresses else ())


TWO = _endpoints("10.244.1.53", "10.244.2.199", nodes=("n1", "n2"))
SVC, SEP1, SEP2 = "KUBE-SVC-GKN7Y2BSGW4NJTYL", "KUBE-SEP-RGXD32JDVTBAD2NU", "KUBE-SEP-YEFU7DZX4NWUTRQS"
XLB, FW = SVC.replace("SVC", "XLB"), SVC.replace("SVC", "FW")
C = '-m comment --comment "default/nginx-service:"'


def _rules(service: Service, endpoints: Endpoints = TWO, config: ProxyConfig = CONFIG, table: str = "nat") -> list[str]:
    """The rules that are there because of the service."""
    everything = {one.name: [*one.rules, *one.last] for one in generate([service], [endpoints], config)}
    nothing = {one.name: [*one.rules, *one.last] for one in generate([], [], config)}
    return [rule for rule in everything[table] if rule not in nothing[table]]


@pytest.mark.parametrize(
    "prefix, name, protocol, endpoint, chain",
    [
        ("KUBE-SVC-", "default/nginx-service:", "tcp", "", SVC),
        ("KUBE-SEP-", "default/nginx-service:", "tcp", "10.244.1.53:80", SEP1),
        ("KUBE-SEP-", "default/nginx-service:", "tcp", "10.244.2.199:80", SEP2),
        ("KUBE-SVC-", "default/kubernetes:https", "tcp", "", "KUBE-SVC-NPX46M4PTMTKRN6Y"),
        ("KUBE-SVC-", "kube-system/kube-dns:dns", "udp", "", "KUBE-SVC-TCOU7JCQXEZGVUNU"),
        ("KUBE-SVC-", "kube-system/kube-dns:dns-tcp", "tcp", "", "KUBE-SVC-ERIFXISQEP7F7OF4"),
        ("KUBE-SEP-", "ns1/svc1:p80", "tcp", "10.180.0.1:80", "KUBE-SEP-SXIVWICOYRO3J4NJ"),
    ],
)
def test_chain_names_are_those_of_real_clusters(prefix: str, name: str, protocol: str, endpoint: str, chain: str) -> None:
    assert names.chain(prefix, name, protocol, endpoint) == chain


def test_cluster_ip_of_the_article() -> None:
    match = f'-A KUBE-SERVICES -m comment --comment "default/nginx-service: cluster IP" -m tcp -p tcp -d {VIP}/32 --dport 8000'
    assert _rules(_service()) == [
        f"{match} ! -s 10.244.0.0/16 -j KUBE-MARK-MASQ",
        f"{match} -j {SVC}",
        f"-A {SVC} {C} -m statistic --mode random --probability 0.50000 -j {SEP1}",
        f"-A {SEP1} {C} -s 10.244.1.53/32 -j KUBE-MARK-MASQ",
        f"-A {SEP1} {C} -m tcp -p tcp -j DNAT --to-destination 10.244.1.53:80",
        f"-A {SVC} {C} -j {SEP2}",
        f"-A {SEP2} {C} -s 10.244.2.199/32 -j KUBE-MARK-MASQ",
        f"-A {SEP2} {C} -m tcp -p tcp -j DNAT --to-destination 10.244.2.199:80",
    ]


def test_masquerading_follows_the_flags() -> None:
    everything = _rules(_service(), config=replace(CONFIG, masquerade_all=True))
    assert everything[0].endswith("--dport 8000 -j KUBE-MARK-MASQ")
    nothing = _rules(_service(), config=replace(CONFIG, cluster_cidr=None))
    assert [rule for rule in nothing if "KUBE-SERVICES" in rule and "MARK" in rule] == []


def test_the_mark_is_printed_as_go_prints_it() -> None:
    nat = generate([], [], replace(CONFIG, masquerade_bit=14))[1]
    assert "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x00004000/0x00004000" in nat.rules


def test_without_endpoints_the_filter_table_refuses_and_the_chain_is_empty() -> None:
    service = _service(type="NodePort", ports=(ServicePort(8000, node_port=30080),), external_ips=(IPv4Address("1.2.3.4"),))
    comment = '-m comment --comment "default/nginx-service: has no endpoints"'
    assert _rules(service, _endpoints(), table="filter") == [
        f"-A KUBE-SERVICES {comment} -m tcp -p tcp -d 1.2.3.4/32 --dport 8000 -j REJECT",
        f"-A KUBE-SERVICES {comment} -m addrtype --dst-type LOCAL -m tcp -p tcp --dport 30080 -j REJECT",
        f"-A KUBE-SERVICES {comment} -m tcp -p tcp -d {VIP}/32 --dport 8000 -j REJECT",
    ]
    assert not [rule for rule in _rules(service, _endpoints()) if rule.startswith(f"-A {SVC}")]
    assert _rules(service, TWO, table="filter") == []


def test_node_port() -> None:
    rules = _rules(_service(type="NodePort", ports=(ServicePort(8000, node_port=30080),)))
    match = f"-A KUBE-NODEPORTS {C} -m tcp -p tcp --dport 30080"
    assert [rule for rule in rules if "NODEPORTS" in rule] == [f"{match} -j KUBE-MARK-MASQ", f"{match} -j {SVC}"]


def test_node_port_with_local_policy() -> None:
    service = _service(type="NodePort", ports=(ServicePort(8000, node_port=30080),), external_traffic_policy="Local")
    rules = _rules(service)
    assert [rule for rule in rules if "NODEPORTS" in rule] == [f"-A KUBE-NODEPORTS {C} -m tcp -p tcp --dport 30080 -j {XLB}"]
    comment = "Redirect pods trying to reach external loadbalancer VIP to clusterIP"
    assert [rule for rule in rules if rule.startswith(f"-A {XLB}")] == [
        f'-A {XLB} -m comment --comment "{comment}" -s 10.244.0.0/16 -j {SVC}',
        f'-A {XLB} -m comment --comment "Balancing rule 0 for default/nginx-service:" -j {SEP1}',
    ]
    elsewhere = _rules(service, config=replace(CONFIG, hostname="n3"))
    assert f'-A {XLB} -m comment --comment "default/nginx-service: has no local endpoints" -j KUBE-MARK-DROP' in elsewhere


def test_external_ip() -> None:
    rules = [rule for rule in _rules(_service(external_ips=(IPv4Address("1.2.3.4"),))) if "external IP" in rule]
    match = '-A KUBE-SERVICES -m comment --comment "default/nginx-service: external IP" -m tcp -p tcp -d 1.2.3.4/32 --dport 8000'
    assert rules == [
        f"{match} -j KUBE-MARK-MASQ",
        f"{match} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j {SVC}",
        f"{match} -m addrtype --dst-type LOCAL -j {SVC}",
    ]


def test_load_balancer_with_source_ranges() -> None:
    service = _service(
        type="LoadBalancer",
        load_balancer_ips=(IPv4Address("1.2.3.4"),),
        load_balancer_source_ranges=(IPv4Network("10.229.0.0/16"), IPv4Network("5.0.0.0/8")),
    )
    match = f'-A {FW} -m comment --comment "default/nginx-service: loadbalancer IP"'
    assert [rule for rule in _rules(service) if rule.startswith(f"-A {FW}")] == [
        f"{match} -j KUBE-MARK-MASQ",
        f"{match} -s 10.229.0.0/16 -j {SVC}",
        f"{match} -s 5.0.0.0/8 -j {SVC}",
        f"{match} -s 1.2.3.4/32 -j {SVC}",
        f"{match} -j KUBE-MARK-DROP",
    ], "a range holds the node's own address, so the balancer's may pass as well"
    assert f"-j {FW}" in next(rule for rule in _rules(service) if "loadbalancer IP" in rule and "KUBE-SERVICES" in rule)


def test_client_affinity() -> None:
    rules = _rules(_service(session_affinity="ClientIP"))
    balance = [rule for rule in rules if rule.startswith(f"-A {SVC}")]
    assert balance[:2] == [f"-A {SVC} {C} -m recent --name {sep} --rcheck --seconds 10800 --reap -j {sep}" for sep in (SEP1, SEP2)]
    assert f"-A {SEP1} {C} -m recent --name {SEP1} --set -m tcp -p tcp -j DNAT --to-destination 10.244.1.53:80" in rules


def test_headless_and_external_name_services_have_no_rules() -> None:
    assert _rules(_service(cluster_ip=None, headless=True)) == _rules(_service(type="ExternalName")) == []


def test_several_ports_are_several_services() -> None:
    service = _service(ports=(ServicePort(80, "http"), ServicePort(53, "dns", "UDP"), ServicePort(53, "dns-tcp")))
    endpoints = Endpoints(
        "nginx-service",
        "default",
        (EndpointSubset((EndpointAddress(IPv4Address("10.244.1.2")),), (EndpointPort(8080, "http"), EndpointPort(5353, "dns", "UDP"))),),
    )
    views = {(one.name, one.protocol): [back.text for back in one.backends] for one in view([service], [endpoints])}
    assert views == {
        ("default/nginx-service:http", "tcp"): ["10.244.1.2:8080"],
        ("default/nginx-service:dns", "udp"): ["10.244.1.2:5353"],
        ("default/nginx-service:dns-tcp", "tcp"): [],
    }


@given(st.integers(1, 60))
def test_the_probabilities_give_every_back_end_its_share(count: int) -> None:
    left, shares = 1.0, []
    for index in range(count):
        found = re.search(r"--probability ([\d.]+)", iptables_v17._chance(index, count))
        chance = float(found[1]) if found else 1.0
        shares.append(left * chance)
        left *= 1 - chance
    assert sum(shares) == pytest.approx(1.0)
    assert max(abs(share - 1 / count) for share in shares) <= 1e-5 * count, "five digits, as v1.7 prints them"


addresses = st.integers(2, 250).map(lambda last: f"10.244.1.{last}")
services = st.builds(
    lambda number, sticky, policy, node_port, backends: (
        Service(
            f"s{number}",
            "default",
            (ServicePort(80, node_port=30000 + number if node_port else 0),),
            IPv4Address("10.96.0.10") + number,
            type="NodePort" if node_port else "ClusterIP",
            session_affinity="ClientIP" if sticky else "None",
            external_traffic_policy=policy,
        ),
        replace(_endpoints(*sorted(backends), nodes=("n1",)), name=f"s{number}"),
    ),
    st.integers(0, 200),
    st.booleans(),
    st.sampled_from(["Cluster", "Local"]),
    st.booleans(),
    st.sets(addresses, max_size=4),
)


@given(st.lists(services, max_size=8, unique_by=lambda pair: pair[0].name), st.randoms(use_true_random=False))
def test_any_services(pairs: list[tuple[Service, Endpoints]], dice: random.Random) -> None:
    wanted = tables.joined(kubelet.tables(), generate([one for one, _ in pairs], [one for _, one in pairs], CONFIG))
    for table in wanted:
        declared = set(table.chains)
        assert len(declared) == len(table.chains)
        for rule in [*table.rules, *table.last]:
            assert rule.split()[1] in declared
            target = re.search(r"-j (KUBE-\S+)", rule)
            assert target is None or target[1] in declared, rule
        assert all(len(chain) <= 28 for chain in declared), "the kernel's limit for a chain's name"
    dice.shuffle(pairs)
    assert wanted == tables.joined(kubelet.tables(), generate([one for one, _ in pairs], [one for _, one in pairs], CONFIG))


SAVED = f"""# Generated by iptables-save
*nat
:PREROUTING ACCEPT [5:300]
:KUBE-SERVICES - [7:420]
:{SVC} - [1:60]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [1:60]
:MINE - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A MINE -j RETURN
COMMIT
"""


def test_what_is_there_keeps_its_counters_and_what_is_stale_goes() -> None:
    text = tables.restore_text(generate([_service()], [TWO], CONFIG), tables.parse_saved(SAVED), names.OWN_PREFIXES)
    nat = text[text.index("*nat") :].splitlines()
    assert ":KUBE-SERVICES - [7:420]" in nat and f":{SVC} - [1:60]" in nat and f":{SEP1} - [0:0]" in nat
    assert "-X KUBE-SEP-AAAAAAAAAAAAAAAA" in nat and ":KUBE-SEP-AAAAAAAAAAAAAAAA - [1:60]" in nat
    assert not [line for line in nat if "MINE" in line], "foreign chains are nobody's business"
    assert not [line for line in nat if line.startswith("-I PREROUTING")], "this jump is there already"
    assert [line for line in nat if line.startswith("-I")] == [
        '-I OUTPUT 1 -m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
        '-I POSTROUTING 1 -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING',
    ]
    assert nat.index("-X KUBE-SEP-AAAAAAAAAAAAAAAA") < nat.index(iptables_v17.NODEPORTS_LAST), "v1.7's order"


def _udp(*ips: str, node_port: int = 0) -> dict[str, object]:
    service = _service(ports=(ServicePort(53, protocol="UDP", node_port=node_port),), type="NodePort" if node_port else "ClusterIP")
    return dict(conntrack.state_of(view([service], [_endpoints(*ips, port=EndpointPort(53, protocol="UDP"))])))


@pytest.mark.parametrize(
    "before, after, commands",
    [
        (_udp("10.0.0.1"), _udp("10.0.0.1"), []),
        (_udp("10.0.0.1", "10.0.0.2"), _udp("10.0.0.1"), [f"conntrack -D --orig-dst {VIP} --dst-nat 10.0.0.2 -p udp"]),
        (_udp("10.0.0.1"), {}, [f"conntrack -D --orig-dst {VIP} -p udp"]),
        (_udp(), _udp("10.0.0.1"), [f"conntrack -D --orig-dst {VIP} -p udp"]),
        ({}, _udp(), []),
        ({}, _udp("10.0.0.1"), [f"conntrack -D --orig-dst {VIP} -p udp"]),
        ({}, _udp(node_port=30053), ["conntrack -D -p udp --dport 30053"]),
    ],
)
def test_udp_entries_that_have_to_go(before: dict, after: dict, commands: list[str]) -> None:  # type: ignore[type-arg]
    assert [" ".join(command) for command in conntrack.deletions(before, after)] == commands


def test_tcp_entries_stay() -> None:
    assert conntrack.state_of(view([_service()], [TWO])) == {}
