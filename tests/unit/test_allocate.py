"""lab.plan.allocate: addresses as host-local gives them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Interface

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from lab.errors import UsageError
from lab.plan.allocate import HostLocal

BRIDGE = IPv4Interface("10.244.1.1/24")


def test_addresses_go_up_from_two_and_freed_ones_come_back_last() -> None:
    pool = HostLocal(BRIDGE)
    assert [str(pool.take()) for _ in range(3)] == ["10.244.1.2", "10.244.1.3", "10.244.1.4"]
    pool.release(IPv4Address("10.244.1.3"))
    assert str(pool.take()) == "10.244.1.5"
    for _ in range(249):
        pool.take()
    assert str(pool.take()) == "10.244.1.3"


def test_a_wanted_address_is_honoured_and_those_behind_it_stay_free_for_who_wants_them() -> None:
    pool = HostLocal(BRIDGE)
    assert str(pool.take(IPv4Address("10.244.1.53"))) == "10.244.1.53"
    assert str(pool.take()) == "10.244.1.2"
    assert str(pool.take(IPv4Address("10.244.1.54"))) == "10.244.1.54"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("10.244.2.7", "pod p: the address 10.244.2.7 is outside of its node's subnet 10.244.1.0/24"),
        ("10.244.1.1", "pod p: the address 10.244.1.1 belongs to the node's bridge"),
        ("10.244.1.0", "belongs to the subnet 10.244.1.0/24 itself"),
        ("10.244.1.255", "belongs to the subnet 10.244.1.0/24 itself"),
        ("10.244.1.9", "belongs to other"),
    ],
)
def test_a_wanted_address_that_cannot_be_had(wanted: str, message: str) -> None:
    pool = HostLocal(BRIDGE)
    pool.take(IPv4Address("10.244.1.9"), "other")
    with pytest.raises(UsageError, match=re.escape(message)):
        pool.take(IPv4Address(wanted), "p")


def test_an_exhausted_subnet_says_so() -> None:
    pool = HostLocal(IPv4Interface("10.244.1.1/30"))
    assert str(pool.take()) == "10.244.1.2"
    with pytest.raises(UsageError, match=r"no address left in 10\.244\.1\.0/30 for pod late: its 1 are taken"):
        pool.take(pod="late")


class Allocation(RuleBasedStateMachine):
    """Any order of takes, wanted takes and releases in a small subnet."""

    held: Bundle[IPv4Address] = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.pool = HostLocal(IPv4Interface("10.244.1.1/28"))
        self.out: set[IPv4Address] = set()

    @rule(target=held)
    def take(self) -> IPv4Address:
        if len(self.out) == 13:
            with pytest.raises(UsageError):
                self.pool.take()
            return IPv4Address("0.0.0.0")
        return self.given(self.pool.take())

    @rule(target=held, number=st.integers(0, 20))
    def take_wanted(self, number: int) -> IPv4Address:
        wanted = IPv4Address("10.244.1.0") + number
        if wanted in self.out or not 2 <= number <= 14:
            with pytest.raises(UsageError):
                self.pool.take(wanted)
            return IPv4Address("0.0.0.0")
        return self.given(self.pool.take(wanted))

    def given(self, address: IPv4Address) -> IPv4Address:
        assert address not in self.out, "handed out twice"
        assert IPv4Address("10.244.1.2") <= address <= IPv4Address("10.244.1.14")
        self.out.add(address)
        return address

    @rule(address=consumes(held))
    def release(self, address: IPv4Address) -> None:
        self.pool.release(address)
        self.out.discard(address)

    @invariant()
    def the_pool_knows_who_is_there(self) -> None:
        assert set(self.pool.taken) == self.out


TestAllocation = Allocation.TestCase
