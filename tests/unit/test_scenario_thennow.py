"""Listings of then and of now, side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.scenario import Difference, Text
from lab.scenario.thennow import compare, lines, reasons

WHY, OTHER = Text("because", "因为"), Text("or else", "否则")
KNOWN = (
    Difference("renamed", r"old (\w+)", r"young \1", WHY),
    Difference("changed", r"(\w+)=1", r"\1=2", OTHER),
    Difference("gone", "dodo", "", WHY),
    Difference("new", "", r"robot \d", OTHER),
)
LINES = st.lists(st.sampled_from(["old a", "young a", "x=1", "x=2", "dodo", "robot 7", "stone", ""]), max_size=8)


def test_each_class() -> None:
    rows = compare(["stone", "old a", "x=1", "dodo", "odd"], ["x=2", "young a", "stone", "robot 7", "even"], KNOWN)
    assert [(row.kind, row.then, row.now) for row in rows] == [
        ("same", "stone", "stone"), ("renamed", "old a", "young a"), ("changed", "x=1", "x=2"), ("gone", "dodo", ""), ("unknown", "odd", ""),
        ("new", "", "robot 7"), ("unknown", "", "even"),
    ]  # fmt: skip
    assert list(lines(rows)) == [
        "=       stone",
        "~ then  old a", "  now   young a", "! then  x=1", "  now   x=2", "- then  dodo", "? then  odd", "+ now   robot 7", "? now   even",
    ]  # fmt: skip
    assert [why.en for why in reasons(rows)] == ["renamed: because", "changed: or else"]
    assert reasons(rows)[0].zh == "改名：因为"


def test_a_difference_needs_its_other_line() -> None:
    assert [row.kind for row in compare(["old a"], ["young b"], KNOWN)] == ["unknown", "unknown"]


@given(LINES, LINES)
def test_every_line_is_in_one_row(then: list[str], now: list[str]) -> None:
    rows = compare(then, now, KNOWN)
    assert [row.then for row in rows if row.then] == list(filter(None, then))
    assert sorted(row.now for row in rows if row.now) == sorted(filter(None, now))


@given(LINES)
def test_a_listing_is_the_same_as_itself(listing: list[str]) -> None:
    assert {row.kind for row in compare(listing, listing[::-1], KNOWN)} <= {"same"}


@pytest.mark.parametrize("kind, then, now", [("gone", "a", "b"), ("new", "a", "b"), ("renamed", "a", ""), ("same", "a", "a"), ("changed", "", "b")])
def test_a_class_has_its_patterns(kind: str, then: str, now: str) -> None:
    with pytest.raises(UsageError, match=kind):
        Difference(kind, then, now, WHY)  # type: ignore[arg-type]
