"""Judges: each holds for what it is made for, fails for the nearest miss, and says both sides."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.model.text import Text
from lab.scenario import checks

CASES: list[tuple[str, checks.Judge, object, object]] = [
    ("equal number", checks.equal("n", 3), 3, 4),
    ("equal text", checks.equal("n", "a\n"), "a\n", "a"),
    ("equal type", checks.equal("n", 1), 1, "1"),
    ("lines", checks.lines("n", ["a", "b"]), "a\nb\n", "b\na\n"),
    ("lines, blank at the end", checks.lines("n", ["a"]), "a  \n", "  a\n"),
    ("lines, none", checks.lines("n", []), "", "a\n"),
    ("contains", checks.contains("n", "pod: x"), "<pod: x>", "<pod: y>"),
    ("lacks", checks.lacks("n", "bytes from"), "lost", "64 bytes from"),
    ("matches", checks.matches("n", r"^ttl=\d+$"), "x\nttl=60\ny", "x ttl=60"),
    ("status", checks.status("n", 7, 28), 28, 0),
    ("between, low", checks.between("n", 1, 24), 1, 0),
    ("between, high", checks.between("n", 1, 24), 24, 25),
    ("json", checks.json("n", {"a": {"b": 1}}), '{"a": {"b": 1, "c": 2}, "d": 3}', '{"a": {"b": 2}}'),
    ("json, key missing", checks.json("n", {"a": None}), '{"a": null}', "{}"),
    ("json, no json", checks.json("n", {}), "{}", "{"),
    ("split", checks.even_split("n", ["a", "b"]), {"a": 140, "b": 160}, {"a": 100, "b": 200}),
    ("split, a stranger", checks.even_split("n", ["a", "b"]), {"a": 150, "b": 150}, {"a": 150, "b": 149, "c": 1}),
    ("split, one missing", checks.even_split("n", ["a", "b"]), {"a": 160, "b": 140}, {"a": 300}),
    ("split, nothing", checks.even_split("n", ["a", "b"]), {"a": 1, "b": 1}, {}),
]


@pytest.mark.parametrize(("judge", "good", "bad"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_judge(judge: checks.Judge, good: object, bad: object) -> None:
    assert judge(good).ok
    verdict = judge(bad)
    assert not verdict.ok
    assert verdict.name == Text("n", "n")


@pytest.mark.parametrize(
    ("judge", "en", "zh"),
    [
        (checks.lines(None, ["a", "b"]), "the output is exactly 2 lines", "输出正好是预期的 2 行"),
        (checks.lines(None, ["a"]), "the output is exactly 1 line", "输出正好是预期的 1 行"),
        (checks.contains(None, "x"), "the output contains “x”", "输出中有“x”"),
        (checks.matches(None, "x+"), "the output matches /x+/", "输出匹配 /x+/"),
        (checks.lines(Text("five", "五"), ["a"]), "five", "五"),
    ],
)
def test_names_in_both_languages(judge: checks.Judge, en: str, zh: str) -> None:
    assert judge("").name == Text(en, zh)


def test_wrong_lines_come_with_a_diff() -> None:
    verdict = checks.lines("rules", ["one", "two", "three"])("one\n2\nthree\n")
    assert verdict.diff == ("--- expected", "+++ actual", "@@ -1,3 +1,3 @@", " one", "-two", "+2", " three")
    assert (verdict.expected, verdict.actual) == ("one\ntwo\nthree", "one\n2\nthree")


def test_bounds_of_a_split_are_told() -> None:
    verdict = checks.even_split(None, ["a", "b"])({"a": 300})
    assert verdict.expected == "a: 107 … 193, b: 107 … 193"
    assert verdict.actual == "a: 300"


Lines = st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1)


@given(Lines, Lines)
def test_lines_hold_for_these_lines_and_for_no_others(expected: list[str], actual: list[str]) -> None:
    judge: Callable[[str], checks.Verdict] = checks.lines(None, expected)
    verdict = judge("\n".join(actual) + "\n")
    assert verdict.ok == (expected == actual)
    assert bool(verdict.diff) != verdict.ok
