"""Which subnet a node takes."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.flannel.allocate import CANDIDATES, Discard, OutOfSubnets, Reuse, Take, candidates, choose
from lab.flannel.config import Config, parse
from lab.flannel.lease import Attrs, Lease

ME = IPv4Address("192.168.1.2")
OTHER = IPv4Address("192.168.1.3")
CONFIG = parse('{"Network": "10.244.0.0/16"}')


def lease(subnet: str, owner: IPv4Address = OTHER, etcd_lease: int = 0) -> Lease:
    return Lease(IPv4Network(subnet), Attrs(owner), etcd_lease)


def first(free: Sequence[IPv4Network]) -> IPv4Network:
    return free[0]


def last(free: Sequence[IPv4Network]) -> IPv4Network:
    return free[-1]


def test_a_fresh_network_offers_the_first_hundred_subnets_but_never_the_very_first() -> None:
    assert choose(CONFIG, [], ME, None, first) == Take(IPv4Network("10.244.1.0/24"))
    assert choose(CONFIG, [], ME, None, last) == Take(IPv4Network("10.244.100.0/24"))


def test_a_lease_of_the_same_address_is_reused_before_anything_else() -> None:
    mine = lease("10.244.7.0/24", ME)
    assert choose(CONFIG, [lease("10.244.3.0/24"), mine], ME, IPv4Network("10.244.9.0/24"), first) == Reuse(mine)


@pytest.mark.parametrize("subnet", ["10.244.0.0/24", "10.99.1.0/24", "10.244.2.0/25"])
def test_a_lease_that_the_config_no_longer_allows_is_discarded(subnet: str) -> None:
    mine = lease(subnet, ME)
    assert choose(CONFIG, [mine], ME, None, first) == Discard(mine)


def test_a_reserved_first_subnet_is_reused_when_subnet_min_allows_it() -> None:
    config = parse('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.0.0"}')
    mine = lease("10.244.0.0/24", ME)
    assert choose(config, [mine], ME, None, first) == Reuse(mine)


def test_the_previous_subnet_is_taken_again_if_it_is_free() -> None:
    assert choose(CONFIG, [lease("10.244.1.0/24")], ME, IPv4Network("10.244.9.0/24"), first) == Take(
        IPv4Network("10.244.9.0/24"), True
    )


@pytest.mark.parametrize("previous", ["10.244.1.0/24", "10.99.1.0/24", "10.244.9.0/25"])
def test_a_previous_subnet_that_is_leased_or_does_not_fit_is_forgotten(previous: str) -> None:
    assert choose(CONFIG, [lease("10.244.1.0/24")], ME, IPv4Network(previous), first) == Take(IPv4Network("10.244.2.0/24"))


def test_out_of_subnets() -> None:
    config = parse('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.4.0", "SubnetMax": "10.244.5.0"}')
    with pytest.raises(OutOfSubnets, match="out of subnets: all between 10.244.4.0 and 10.244.5.0 are leased"):
        choose(config, [lease("10.244.4.0/24"), lease("10.244.5.0/24")], ME, None, first)


def test_leases_of_another_size_block_all_they_cover() -> None:
    config = parse('{"Network": "10.244.0.0/16", "SubnetMin": "10.244.4.0", "SubnetMax": "10.244.9.0"}')
    found = candidates(config, [lease("10.244.4.128/25"), lease("10.244.6.0/23"), lease("10.244.6.64/26"), lease("10.0.0.0/12")])
    assert [str(subnet.network_address) for subnet in found] == ["10.244.5.0", "10.244.8.0", "10.244.9.0"]


SMALL = parse('{"Network": "10.244.0.0/20", "SubnetLen": 26}')
TAKEN = st.builds(
    lambda number, length: Lease(IPv4Network((0x0AF40000 + number * 16, length), strict=False), Attrs(OTHER)),
    st.integers(0, 300),
    st.integers(21, 32),
)


@given(st.lists(TAKEN, max_size=40))
def test_candidates_are_exactly_the_free_subnets(taken: list[Lease]) -> None:
    every = [IPv4Network((number, 26)) for number in range(int(SMALL.subnet_min), int(SMALL.subnet_max) + 1, 64)]
    free = [subnet for subnet in every if not any(subnet.overlaps(each.subnet) for each in taken)]
    assert candidates(SMALL, taken) == free[:CANDIDATES]


@given(st.randoms(use_true_random=False), st.integers(1, 63))
def test_nodes_that_choose_one_after_another_never_share(dice: object, nodes: int) -> None:
    leases: list[Lease] = []
    for number in range(nodes):
        choice = choose(SMALL, leases, IPv4Address(number + 1), None, dice.choice)  # type: ignore[attr-defined]
        assert isinstance(choice, Take)
        assert SMALL.fits(choice.subnet)
        assert not any(choice.subnet.overlaps(each.subnet) for each in leases)
        leases.append(Lease(choice.subnet, Attrs(IPv4Address(number + 1))))


def test_choosing_among_many_leases_looks_at_each_once() -> None:
    config: Config = parse('{"Network": "10.0.0.0/8"}')
    taken = [Lease(IPv4Network((0x0A000000 + number * 256, 24)), Attrs(OTHER)) for number in range(1, 20_000)]
    assert candidates(config, taken)[0] == IPv4Network((0x0A000000 + 20_000 * 256, 24))
