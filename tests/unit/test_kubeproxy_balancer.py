"""lab.kubeproxy.balancer: whose turn it is."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from lab.kubeproxy.balancer import RoundRobin

KEY = "default/web:"


def _balancer(*ends: str, timeout: float = 0.0) -> RoundRobin[str, str]:
    made: RoundRobin[str, str] = RoundRobin(lambda _: None)
    made.set_service(KEY, timeout)
    made.set_ends(KEY, ends)
    return made


def _turns(balancer: RoundRobin[str, str], count: int, client: str = "c", now: float = 0.0, again: bool = False) -> str:
    return "".join(balancer.next(KEY, client, now, again) or "-" for _ in range(count))


def test_everybody_in_turn() -> None:
    assert _turns(_balancer("a", "b", "c"), 7) == "abcabca"


def test_nobody() -> None:
    assert _turns(_balancer(), 2) == "--"
    assert RoundRobin[str, str](lambda _: None).next("unknown", "c", 0.0) is None


def test_the_same_ends_in_another_order_change_nothing() -> None:
    balancer = _balancer("a", "b", "c")
    assert _turns(balancer, 2) == "ab"
    balancer.set_ends(KEY, ["c", "b", "a", "a"])
    assert _turns(balancer, 2) == "ca"


def test_a_change_shuffles_and_begins_anew() -> None:
    balancer: RoundRobin[str, str] = RoundRobin(lambda ends: ends.reverse())
    balancer.set_ends(KEY, ["a", "b"])
    assert _turns(balancer, 3) == "bab"
    balancer.set_ends(KEY, ["a", "b", "c"])
    assert _turns(balancer, 3) == "cba"


def test_affinity_lasts_from_the_last_use() -> None:
    balancer = _balancer("a", "b", timeout=10.0)
    assert [balancer.next(KEY, "one", now) for now in (0.0, 9.0, 18.0)] == ["a", "a", "a"]
    assert balancer.next(KEY, "two", 18.0) == "b"
    assert balancer.next(KEY, "one", 28.0) == "a", "its time is over, and it is a's turn"
    assert balancer.next(KEY, "two", 28.0) == "b"


def test_who_does_not_answer_is_forgotten_and_the_next_one_remembered() -> None:
    balancer = _balancer("a", "b", "c", timeout=10.0)
    assert balancer.next(KEY, "one", 0.0) == "a"
    assert balancer.next(KEY, "one", 1.0, again=True) == "b"
    assert balancer.next(KEY, "one", 2.0) == "b"


def test_affinity_ends_with_the_end_and_with_the_wish() -> None:
    balancer = _balancer("a", "b", timeout=10.0)
    assert _turns(balancer, 3, "one") == "aaa"
    balancer.set_ends(KEY, ["b", "c"])
    assert balancer.next(KEY, "one", 0.0) == "b"
    balancer.set_service(KEY, 0.0)
    assert sorted(_turns(balancer, 2, "one")) == ["b", "c"]


def test_idle_clients_and_old_services_take_no_memory() -> None:
    balancer = _balancer("a", "b", timeout=10.0)
    for number in range(1000):
        balancer.next(KEY, str(number), float(number))
    balancer.forget_idle_clients(1000.0)
    assert sorted(balancer._services[KEY].clients, key=int) == [str(number) for number in range(991, 1000)]
    balancer.forget([])
    assert balancer.ends(KEY) == ()


@given(ends=st.lists(st.integers(0, 50), min_size=1, unique=True), rounds=st.integers(1, 5), seed=st.integers())
def test_round_robin_is_exactly_fair(ends: list[int], rounds: int, seed: int) -> None:
    balancer: RoundRobin[str, int] = RoundRobin(random.Random(seed).shuffle)
    balancer.set_ends(KEY, ends)
    got = [balancer.next(KEY, "c", 0.0) for _ in range(rounds * len(ends))]
    assert sorted(one for one in got if one is not None) == sorted(ends * rounds)
