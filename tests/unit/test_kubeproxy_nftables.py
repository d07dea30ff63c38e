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
    assert [line.split()[0:2] for line in lines] == [["add", "chain"], ["flush", "chain"]] * 2 + [["add", "rule"]] * 4
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
    assert sum(line.startswith("add rule") and "@affinity-" in line for line in lines) == 4, "all rules that speak of them"


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
}"""
    left = nft_text.parse_list(text)
    assert left.chains == {"endpoint-AAAAAAAA-default/x/tcp/__10.0.0.1/80"}
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
            assert name not in sets
            sets.add(name)
        elif (verb, kind) == ("delete", "set"):
            sets.remove(name)
        elif kind in ("chain", "rule"):
            assert name in chains
        for word in rest:
            assert not word.startswith("@affinity-") or word[1:] in sets
            assert not word.startswith(("service-5", "endpoint-")) or word.rstrip(",") in chains
    assert sets == set(after.affinity)


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


def test_without_an_address_node_ports_are_open_on_all_but_localhost() -> None:
    table = nft_rules.generate([], [], replace(CONFIG, node_ips=()))
    assert table.chains["services"][1].startswith("fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto")
    assert table.elements["nodeport-ips"] == {}
