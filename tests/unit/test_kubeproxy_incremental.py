"""lab.kubeproxy's iptables mode: whatever changes lead to a state, in however many portions, the rules are those of a fresh start."""

from __future__ import annotations

import random
import shlex
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import CommandError
from lab.kubeproxy import incremental, rules
from lab.kubeproxy.iptables import IptablesProxy
from lab.kubeproxy.modes import ModeConfig
from lab.kubeproxy.seen import Seen
from lab.model.objects import Endpoints, Service
from tests.tablekernel import BUILT_IN, TableKernel
from tests.unit.test_kubeproxy_iptables import CONFIG, TWO, _service, services

VERSIONS = ("1.7", "1.33")
Pairs = list[tuple[Service, Endpoints]]
STATES = st.lists(st.lists(services, max_size=4, unique_by=lambda pair: pair[0].name), min_size=1, max_size=4)


def _proxy(kernel: TableKernel, version: str, portion: int) -> IptablesProxy:
    return IptablesProxy(kernel.run, ModeConfig(CONFIG, rules_version=version, hold_ports=False), portion)


def _sync(proxy: IptablesProxy, pairs: Pairs) -> None:
    proxy.sync([one for one, _ in pairs], [one for _, one in pairs])


def _compared(kernel: TableKernel) -> dict[tuple[str, str], list[str]]:
    """Chains with their rules; chains of all services sorted, because services stand there in any order, but for what has to be last."""
    found = {}
    for table, chains in kernel.tables.items():
        for chain, some in chains.items():
            common = chain in ("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL")
            found[table, chain] = [*sorted(some), *(some[-1:] if (table, chain) == ("nat", "KUBE-SERVICES") else [])] if common else some
    return found


def _fresh(pairs: Pairs, version: str) -> dict[tuple[str, str], list[str]]:
    kernel = TableKernel()
    _sync(_proxy(kernel, version, 10**6), pairs)
    return _compared(kernel)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(states=STATES, portion=st.sampled_from([1, 5, 20, 10**6]), dice=st.integers(0, 1 << 32).map(random.Random))
def test_any_way_leads_to_the_same_rules(version: str, states: list[Pairs], portion: int, dice: random.Random) -> None:
    kernel = TableKernel(refuse=lambda: dice.random() < 0.1)
    proxy = _proxy(kernel, version, portion)
    for pairs in states:
        if dice.random() < 0.2:
            proxy = _proxy(kernel, version, portion)  # a restart
        if dice.random() < 0.2:
            proxy.refresh()
        if dice.random() < 0.1:
            kernel.tables = TableKernel().tables  # somebody flushes everything
            proxy.refresh()
        while True:
            try:
                _sync(proxy, pairs)
                break
            except CommandError:
                continue
        assert _compared(kernel) == _fresh(pairs, version)


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(states=STATES, portion=st.sampled_from([1, 5, 20]))
def test_no_packet_ever_meets_half_a_chain(version: str, states: list[Pairs], portion: int) -> None:
    """After each COMMIT of each portion: a chain that can be reached is as it was before the sync or as it is after it."""
    whole: list[dict[tuple[str, str], list[str]]] = [{}, {}]

    def check() -> None:
        for table in BUILT_IN:
            for chain in kernel.reachable(table) - {*BUILT_IN[table]}:
                some = kernel.tables[table][chain]
                assert sorted(some) in [sorted(state.get((table, chain), ["none"])) for state in whole], f"{chain} is neither old nor new: {some}"

    kernel = TableKernel(check)
    proxy = _proxy(kernel, version, portion)
    for pairs in states:
        whole = [whole[1], {key: some for key, some in _fresh_exactly(pairs, version).items()}]
        _sync(proxy, pairs)


def _fresh_exactly(pairs: Pairs, version: str) -> dict[tuple[str, str], list[str]]:
    kernel = TableKernel()
    _sync(_proxy(kernel, version, 10**6), pairs)
    return {(table, chain): some for table, chains in kernel.tables.items() for chain, some in chains.items()}


def many(count: int) -> Pairs:
    """So many services with the same two back ends."""
    return [
        (replace(_service(), name=f"s{number}", cluster_ip=_service().cluster_ip + number), replace(TWO, name=f"s{number}"))  # type: ignore[operator]
        for number in range(count)
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_large_state_is_written_in_portions_by_the_nft_variant_only(version: str) -> None:
    nft, legacy, small = TableKernel(), TableKernel(version="legacy"), TableKernel()
    for kernel, count in ((nft, 50), (legacy, 50), (small, 5)):
        _sync(_proxy(kernel, version, 100), many(count))
    assert nft.restores > 4 and legacy.restores == small.restores == 1
    assert nft.tables == legacy.tables


@pytest.mark.parametrize("version", VERSIONS)
def test_after_a_restart_a_large_state_that_is_there_is_left_alone_and_a_damaged_one_repaired(version: str) -> None:
    kernel, pairs = TableKernel(), many(50)
    _sync(_proxy(kernel, version, 100), pairs)
    before, restores = {table: dict(chains) for table, chains in kernel.tables.items()}, kernel.restores
    _sync(_proxy(kernel, version, 100), pairs)
    assert kernel.restores == restores
    chain = next(chain for chain in kernel.tables["nat"] if chain.startswith("KUBE-SVC-"))
    kernel.tables["nat"][chain] = kernel.tables["nat"][chain][1:]
    _sync(_proxy(kernel, version, 100), pairs)
    assert kernel.tables == before and kernel.restores == restores + 1


def test_one_change_among_many_is_a_few_lines() -> None:
    kernel, pairs, said = TableKernel(), many(200), []

    def run(argv: list[str], stdin: str) -> str:
        said.append(stdin)
        return kernel.run(argv, stdin)

    proxy = IptablesProxy(run, ModeConfig(CONFIG, hold_ports=False), 100)  # type: ignore[arg-type]
    _sync(proxy, pairs)
    said.clear()
    proxy.sync([one for one, _ in pairs], [one for _, one in pairs[:-1]])
    assert len(said) == 1 and len(said[0].splitlines()) < 20
    assert 's199: has no endpoints"' in said[0]


def test_seen_tells_what_came_went_and_changed() -> None:
    pairs = many(4)
    some, ends = [one for one, _ in pairs], [one for _, one in pairs]
    seen = Seen()
    seen.look(some, ends)
    assert {name for _, name in seen.changed} == {"s0", "s1", "s2", "s3"} and seen.addresses == 8
    seen.forget_changes()
    seen.look(some, ends)
    assert not seen.changed
    other = replace(ends[2], subsets=())
    seen.look([some[1], some[0], some[2], some[3]], ends)
    assert not seen.changed, "another order is no change"
    seen.look([some[1], some[0], some[2]], [ends[0], ends[1], other, ends[3]])
    assert {name for _, name in seen.changed} == {"s2", "s3"} and seen.addresses == 6
    assert set(seen.services) == {("default", "s0"), ("default", "s1"), ("default", "s2")} and seen.endpoints["default", "s2"] is other


WORDS = st.text(st.sampled_from("ab -\"'\\:/\t"), max_size=12)


@given(WORDS)
def test_a_rule_is_split_as_a_shell_splits_it(line: str) -> None:
    try:
        words = shlex.split(line)
    except ValueError:
        with pytest.raises(Exception, match="is no iptables rule"):
            rules._words(line)
        return
    assert rules._words(line) == words


SAVED = """# Generated by iptables-save v1.8.9 (nf_tables) on Wed Nov 25 16:00:00 2026
*nat
:PREROUTING ACCEPT [3:180]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SVC-B - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-A
-A KUBE-SERVICES -d 10.96.0.2/32 -j KUBE-SVC-B
-A KUBE-SVC-B -j ACCEPT
COMMIT
*filter
:KUBE-SERVICES - [0:0]
COMMIT
"""


def test_what_iptables_save_prints_is_read_chain_by_chain() -> None:
    assert list(incremental.chains_of(SAVED)) == [
        (("nat", "PREROUTING"), ("-A PREROUTING -j KUBE-SERVICES",)),
        (("nat", "KUBE-SERVICES"), ("-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-A", "-A KUBE-SERVICES -d 10.96.0.2/32 -j KUBE-SVC-B")),
        (("nat", "KUBE-SVC-B"), ("-A KUBE-SVC-B -j ACCEPT",)),
        (("nat", "KUBE-SVC-A"), ()),
        (("filter", "KUBE-SERVICES"), ()),
    ]
    assert list(incremental.chains_of("")) == []
