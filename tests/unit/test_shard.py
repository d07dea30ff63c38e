"""Shares of the scenarios."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.cli.shard import Shard, parse
from lab.errors import UsageError


@given(st.lists(st.integers(), min_size=1, max_size=40), st.data())
def test_the_shares_are_the_whole_once_and_about_equal(things: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(1, len(things)))
    shares = [Shard(number, total).of(things) for number in range(1, total + 1)]
    assert sorted(sum(shares, [])) == sorted(things)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_is_written() -> None:
    assert parse("2/4") == Shard(2, 4)


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4", " 1/4", "1/99999", "１/４"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError, match="say K/N"):
        parse(text)


def test_a_share_of_nothing_is_wrong_usage_and_never_a_green_run() -> None:
    with pytest.raises(UsageError, match="only 2 scenarios"):
        Shard(3, 3).of(["a", "b"])
