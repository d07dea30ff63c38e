"""kube-proxy's nftables mode: names, and transactions from one state to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import CommandError
from lab.kubeproxy import nft_names, nft_rules, nft_text
from lab.kubeproxy.backends import Backend, view
from lab.kubeproxy.nftables import NftablesProxy
from lab.model.objects import Service, ServicePort
from tests.unit.test_kubeproxy_iptables import CONFIG, TWO, _endpoints, _service

STICKY = _service(session_affinity="ClientIP")


def test_names_are_those_of_real_clusters() -> None:
    service = Service("svc1", "ns1", (ServicePort(80, "p80"),), IPv4Address("172.30.0.41"))
    (one,) = view([service], [])
    assert nft_names.of_service(nft_names.SERVICE, one) == "service-ULMVA6XW-ns1/svc1/tcp/p80"
    backend = Backend(IPv4Address("10.180.0.1"), 80)
    assert nft_names.of_endpoint(nft_names.ENDPOINT, one, backend) == "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"


def test_a_name_too_long_is_cut_and_stays_unique() -> None:
    one, two = nft_names.hashed("x" * 300 + "1"), nft_names.hashed("x" * 300 + "2")
    assert len(one) == len(two) == 240 and one.endswith("...") and one != two


def test_nothing_changed_is_no_transaction() -> None:
    state = nft_rules.generate([STICKY], [TWO], CONFIG)
    assert nft_text.changes(state, nft_rules.generate([STICKY], [TWO], CONFIG)) == ""


def test_one_more_back_end_touches_its_service_only() -> None:
    other = replace(_service(), name="other", cluster_ip=IPv4Address("10.96.0.7"))
    before = nft_rules.generate([_service(), other], [_endpoints("10.244.1.53")], CONFIG)
    after = nft_rules.generate([_service(), other], [TWO], CONFIG)
    lines = nft_text.changes(before, after).splitlines()
    assert [line.split()[0:2] for line in lines] == [["flush", "chain"], *[["add", "chain"]] * 4]
    assert [line.count(" ; ") for line in lines[-2:]] == [2, 2], "two rules each"
    assert all("nginx-service" in line for line in lines)


def test_the_first_back_end_ends_the_refusal() -> None:
    before = nft_rules.generate([_service()], [], CONFIG)
    lines = nft_text.changes(before, nft_rules.generate([_service()], [TWO], CONFIG)).splitlines()
    assert lines[0] == "delete element ip kube-proxy no-endpoint-services { 10.105.211.16 . tcp . 8000 }"
    assert lines[-1].startswith("add element ip kube-proxy service-ips { 10.105.211.16 . tcp . 8000 : goto service-")
    assert before.comments == {("no-endpoint-services", "10.105.211.16 . tcp . 8000"): "default/nginx-service"}, "no colon today"


def test_another_timeout_makes_the_affinity_sets_anew() -> None:
    before, after = (nft_rules.generate([replace(STICKY, affinity_seconds=seconds)], [TWO], CONFIG) for seconds in (10, 20))
    lines = nft_text.changes(before, after).splitlines()
    deleted = [line.split()[-1] for line in lines if line.startswith("delete set")]
    assert sorted(deleted) == sorted(before.affinity) and len(deleted) == 2
    assert sum("timeout 20s" in line for line in lines) == 2
    assert sum(line.count("@affinity-") for line in lines if line.startswith("add chain")) == 4, "all rules that speak of them"


def test_what_nft_lists_is_understood() -> None:
    text = """table ip kube-proxy {
    set cluster-ips {
        type ipv4_addr
    }
    set affinity-AAAAAAAA-default/x/tcp/__10.0.0.1/80 {
        type ipv4_addr
        flags dynamic,timeout
        timeout 3h
    }
    chain services {
    }
    chain endpoint-AAAAAAAA-default/x/tcp/__10.0.0.1/80 {
        update @affinity-AAAAAAAA-default/x/tcp/__10.0.0.1/80 { ip saddr timeout 3h }
    }

    chain service-BBBBBBBB-a/b/tcp/ {
    }
}"""
    left = nft_text.parse_list(text)
    end = "endpoint-AAAAAAAA-default/x/tcp/__10.0.0.1/80"
    assert left.chains == {end: ["update @affinity-AAAAAAAA-default/x/tcp/__10.0.0.1/80 { ip saddr timeout 3h }"], "service-BBBBBBBB-a/b/tcp/": []}
    assert left.affinity == {"affinity-AAAAAAAA-default/x/tcp/__10.0.0.1/80": 10800}


@pytest.mark.parametrize("shown, seconds", [("3h", 10800), ("1m30s", 90), ("2d", 172800), ("2s", 2)])
def test_timeouts_as_nft_shows_them(shown: str, seconds: int) -> None:
    text = f"set affinity-x/y {{\n type ipv4_addr\n timeout {shown}\n}}"
    assert nft_text.parse_list(text).affinity == {"affinity-x/y": seconds}


IPS = st.sets(st.sampled_from(["10.244.1.53", "10.244.2.199", "10.244.3.7"])).map(sorted)


@given(IPS, IPS, st.booleans(), st.booleans())
def test_transactions_refer_only_to_what_is_there(one: list[str], two: list[str], sticky: bool, stays: bool) -> None:
    before = nft_rules.generate([STICKY if sticky else _service()], [_endpoints(*one)], CONFIG)
    after = nft_rules.generate([STICKY] if stays else [], [_endpoints(*two)], CONFIG)
    chains, sets = set(before.chains), set(before.affinity)
    for line in nft_text.changes(before, after).splitlines():
        verb, kind, _, _, name, *rest = line.split()
        if (verb, kind) == ("add", "chain"):
            chains.add(name)
        elif (verb, kind) == ("add", "set"):
            sets.add(name)
        elif (verb, kind) == ("delete", "set"):
            sets.remove(name)
        elif kind in ("chain", "rule"):
            assert name in chains
        for word in rest:
            assert not word.startswith("@affinity-") or word[1:] in sets
            assert not word.startswith(("service-5", "endpoint-")) or word.rstrip(",") in chains
    assert sets == set(after.affinity)


MANY = [
    nft_rules.part_of(replace(STICKY, name=f"s{number}", cluster_ip=IPv4Address("10.96.1.0") + number), replace(TWO, name=f"s{number}"), CONFIG)
    for number in range(9)
]


def _table(parts: Sequence[nft_rules.Ruleset]) -> nft_rules.Ruleset:
    table = nft_rules.generate([], [], CONFIG)
    for part in parts:
        table.add(part)
    return table


def test_in_portions_a_service_is_whole_before_anything_leads_to_it() -> None:
    texts = list(nft_text.portions(_table(MANY), MANY, nft_text.NOTHING, 6))
    filled = [{line.split()[4] for line in text.splitlines() if line.endswith(" ; }") and line.startswith("add chain")} for text in texts]
    assert len(texts) == 7
    for part in MANY:
        assert [len(part.chains.keys() & chains) for chains in filled if part.chains.keys() & chains] == [3]
        assert all(any(f"add set ip kube-proxy {name} " in text for text in texts) for name in part.affinity)
    assert [text.count("goto service-") for text in texts] == [0] * 6 + [9], "elements come last"
    assert [text.count("hook") for text in texts] == [0] * 6 + [8]


def test_in_portions_only_what_the_kernel_lacks_is_written() -> None:
    parts = [replace(part, affinity={}, chains={chain: ["counter"] for chain in part.chains}) for part in MANY]
    found = {chain: list(rules) for part in parts for chain, rules in part.chains.items()}
    left = nft_text.Leftovers({**found, "service-AAAAAAAA-a/gone/tcp/": ["counter"]}, {"affinity-AAAAAAAA-a/gone/tcp/": 10800})
    first, last = nft_text.portions(_table(parts), parts, left, 6)
    assert "default/s" not in first and "flush chain ip kube-proxy service-AAAAAAAA-a/gone/tcp/" in last
    assert "delete set ip kube-proxy affinity-AAAAAAAA-a/gone/tcp/" in last
    lost = next(iter(parts[4].chains))
    found[lost].clear()
    _, piece, _ = nft_text.portions(_table(parts), parts, left, 6)
    assert piece.splitlines() == [
        f"flush chain ip kube-proxy {lost}", f"add chain ip kube-proxy {lost}", f"add chain ip kube-proxy {lost} {{ counter ; }}"
    ]  # fmt: skip


def test_in_portions_another_timeout_makes_the_sets_anew_together_with_their_rules() -> None:
    left = nft_text.Leftovers(_table(MANY).chains, {name: 5 for part in MANY for name in part.affinity})
    for text in list(nft_text.portions(_table(MANY), MANY, left, 6))[1:-1]:
        lines = text.splitlines()
        kinds = [" ".join(line.split()[:2]) for line in lines]
        assert sorted(set(kinds), key=kinds.index) == ["flush chain", "delete set", "add set", "add chain"]
        assert 2 * kinds.count("flush chain") == 3 * kinds.count("delete set"), "three chains and two sets a service"


class _Nft:
    """Stands for nft: remembers what it was fed, and fails when told so."""

    def __init__(self) -> None:
        self.fed: list[str] = []
        self.fails = False

    def __call__(self, argv: Sequence[str], stdin: str) -> str:
        if "list" in argv:
            raise CommandError("Error: No such file or directory")
        self.fed.append(stdin)
        if self.fails:
            raise CommandError("Error: it does not want to")
        return ""


def test_after_a_failure_everything_is_written() -> None:
    nft = _Nft()
    proxy = NftablesProxy(nft, CONFIG)
    proxy.sync([_service()], [TWO])
    nft.fails = True
    with pytest.raises(CommandError):
        proxy.sync([_service()], [])
    nft.fails = False
    proxy.sync([_service()], [])
    assert nft.fed[2].startswith("add table ip kube-proxy") and "no-endpoint-services { 10.105.211.16" in nft.fed[2]


def test_emptied_chains_go_with_the_next_sync() -> None:
    nft = _Nft()
    proxy = NftablesProxy(nft, CONFIG)
    proxy.sync([_service()], [TWO])
    proxy.sync([], [])
    assert nft.fed[-1].count("flush chain") == 3 and "delete chain" not in nft.fed[-1]
    proxy.sync([], [])
    assert len(nft.fed) == 3 and nft.fed[-1].count("delete chain") == 3
    proxy.sync([], [])
    assert len(nft.fed) == 3


def test_in_a_large_cluster_emptied_chains_gather() -> None:
    nft = _Nft()
    proxy = NftablesProxy(nft, CONFIG)
    services = [replace(_service(), name=f"s{number}", cluster_ip=IPv4Address("10.96.1.0") + number) for number in range(150)]
    ends = [replace(TWO, name=one.name) for one in services]
    for count in range(0, 4):
        proxy.sync(services, [replace(one, subsets=()) for one in ends[:count]] + ends[count:])
    assert sum("delete chain ip kube-proxy endpoint" in text for text in nft.fed) == 2
    proxy.refresh()
    proxy.sync(services, ends[4:])
    assert any("delete chain ip kube-proxy endpoint" in text for text in nft.fed[-2:])


def test_without_an_address_node_ports_are_open_on_all_but_localhost() -> None:
    table = nft_rules.generate([], [], replace(CONFIG, node_ips=()))
    assert table.chains["services"][1].startswith("fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto")
    assert table.elements["nodeport-ips"] == {}
