"""Columns of a terminal: widths, breaking lines, folding, and what a terminal must not get."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.columns import CLOSING, fold, pad, visible, width, wrap
from lab.report.words import seconds

MIXED = st.text(st.sampled_from("ab1. 节点网络，。（）“”flannel"), max_size=200)


@pytest.mark.parametrize(("text", "columns"), [("", 0), ("pod", 3), ("节点", 4), ("节点 1", 6), ("✓", 1), ("e\u0301", 1), ("（，）", 6), ("“x”", 3)])
def test_width(text: str, columns: int) -> None:
    assert width(text) == columns


def test_pad_counts_columns() -> None:
    assert pad("节点", 6) + "|" == "节点  |"
    assert pad("7", 3, right=True) == "  7"
    assert pad("节点", 3) == "节点"


@pytest.mark.parametrize(
    ("text", "columns", "lines"),
    [
        ("one two three", 8, ["one two", "three"]),
        ("kube-proxy把Service变成规则", 14, ["kube-proxy把", "Service变成规", "则"]),
        ("节点网络，路由", 8, ["节点网", "络，路由"]),
        ("看（地址）", 4, ["看", "（地", "址）"]),
        ("a-very-long-word b", 5, ["a-very-long-word", "b"]),
        ("one\n\ntwo", 10, ["one", "", "two"]),
        ("", 10, [""]),
    ],
)
def test_wrap(text: str, columns: int, lines: list[str]) -> None:
    assert wrap(text, columns) == lines


@given(MIXED, st.integers(4, 40))
def test_wrap_loses_nothing_and_keeps_the_width_where_it_can(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    for line in lines:
        unbroken = max((width(piece) for piece in wrap(line, 1)), default=0)
        assert width(line) <= max(columns, unbroken)


@given(MIXED, st.integers(10, 40))
def test_no_line_of_chinese_begins_with_closing_punctuation(text: str, columns: int) -> None:
    for before, line in zip(wrap(text, columns), wrap(text, columns)[1:], strict=False):
        assert not line or line[0] not in CLOSING or before == "" or text.find(f" {line[0]}") >= 0


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, ([], 0, [])), (4, (["0", "1", "2", "3"], 0, [])), (5, (["0", "1"], 2, ["4"])), (9, (["0", "1"], 6, ["8"]))],
)
def test_fold(count: int, expected: tuple[list[str], int, list[str]]) -> None:
    assert fold([str(number) for number in range(count)], 2, 1) == expected


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    assert visible("a\tb\nc") == "a\tb\nc"
    assert visible("\x1b[2J\r\x00\x7f\x9b节") == "\\x1b[2J\\x0d\\x00\\x7f\\x9b节"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0 ms"), (0.0042, "4 ms"), (0.0994, "99 ms"), (0.1, "0.10 s"), (2.345, "2.35 s"), (12.34, "12.3 s")]
)
def test_seconds(value: float, text: str) -> None:
    assert seconds(value) == text
