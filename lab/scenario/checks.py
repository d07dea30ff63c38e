"""Checks as pure judges: a judge has a name, is made from what is expected, and turns what really came back into a Verdict.

    verdict = equal(Text("the chain's name", "链名"), "KUBE-SVC-GKN7Y2BSGW4NJTYL")(actual)

`name` is a Text, a str (the same in both languages), or None for a name made from the expectation.
"""

from __future__ import annotations

import difflib
import json as jsonlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lab.model.text import Text

Name = Text | str | None
Kind = Literal["equal", "lines", "contains", "lacks", "matches", "status", "between", "split", "json"]
SPLIT_ERROR = 1e-6
"""How often `even_split` may call an honest random choice uneven: once in a million runs."""


@dataclass(frozen=True)
class Verdict:
    """What a judge found.

    kind       how `expected` and `actual` are to be compared, for writers that want to say it in words
    expected   as a person would write it; so is `actual`
    diff       lines of a unified diff, empty where there is nothing to align
    """

    name: Text
    ok: bool
    kind: Kind
    expected: str
    actual: str
    diff: tuple[str, ...] = ()


Judge = Callable[[Any], Verdict]


def equal(name: Name, expected: object) -> Judge:
    """The value is exactly this."""

    def judge(actual: object) -> Verdict:
        want, got = _show(expected), _show(actual)
        many = "\n" in want or "\n" in got
        diff = () if actual == expected or not many else _diff(want.splitlines(), got.splitlines())
        return Verdict(_name(name, f"it is {want}", f"值为 {want}"), actual == expected, "equal", want, got, diff)

    return judge


def lines(name: Name, expected: Sequence[str]) -> Judge:
    """The text is exactly these lines, in this order; blanks at the end of a line do not count."""
    want = [line.rstrip() for line in expected]
    plural = "line" if len(want) == 1 else "lines"
    title = _name(name, f"the output is exactly {len(want)} {plural}", f"输出正好是预期的 {len(want)} 行")

    def judge(actual: str) -> Verdict:
        got = [line.rstrip() for line in actual.splitlines()]
        diff = () if got == want else _diff(want, got)
        return Verdict(title, got == want, "lines", "\n".join(want), "\n".join(got), diff)

    return judge


def contains(name: Name, expected: str) -> Judge:
    """The text has this in it."""
    title = _name(name, f"the output contains “{expected}”", f"输出中有“{expected}”")
    return lambda actual: Verdict(title, expected in actual, "contains", expected, actual.rstrip("\n"))


def lacks(name: Name, unwanted: str) -> Judge:
    """The text does not have this in it."""
    title = _name(name, f"the output does not contain “{unwanted}”", f"输出中没有“{unwanted}”")
    return lambda actual: Verdict(title, unwanted not in actual, "lacks", unwanted, actual.rstrip("\n"))


def matches(name: Name, pattern: str) -> Judge:
    """The regular expression is found somewhere in the text; ^ and $ match at lines."""
    title = _name(name, f"the output matches /{pattern}/", f"输出匹配 /{pattern}/")
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda actual: Verdict(title, bool(compiled.search(actual)), "matches", pattern, actual.rstrip("\n"))


def status(name: Name, *allowed: int) -> Judge:
    """The exit status is one of these."""
    want = ", ".join(map(str, allowed))
    title = _name(name, f"the exit status is {want}", f"退出状态是 {want}")
    return lambda actual: Verdict(title, actual in allowed, "status", want, str(actual))


def between(name: Name, low: float, high: float) -> Judge:
    """The number is at least `low` and at most `high`."""
    want = f"{_number(low)} … {_number(high)}"
    title = _name(name, f"the number is within {want}", f"数值在 {want} 之间")
    return lambda actual: Verdict(title, low <= actual <= high, "between", want, _number(actual))


def even_split(name: Name, among: Sequence[str]) -> Judge:
    """A random choice fell about equally often on each of `among`, and on nothing else.

    The value is a mapping from what was chosen to how often. The bounds are those of the binomial distribution with
    p = 1/len(among), so wide that a fair choice misses them once in 1/SPLIT_ERROR runs.
    """
    from lab.model.statistics import binomial_bounds

    def judge(actual: Mapping[str, int]) -> Verdict:
        total = sum(actual.values())
        low, high = binomial_bounds(total, 1 / len(among), SPLIT_ERROR / len(among)) if total else (1, 1)
        ok = set(actual) <= set(among) and all(low <= actual.get(one, 0) <= high for one in among)
        want = ", ".join(f"{one}: {low} … {high}" for one in among)
        got = ", ".join(f"{one}: {count}" for one, count in sorted(actual.items())) or "0"
        title = _name(name, f"{total} choices are split evenly", f"{total} 次选择均匀分布")
        return Verdict(title, ok, "split", want, got)

    return judge


def json(name: Name, expected: Mapping[str, Any]) -> Judge:
    """The text is a JSON object that has at least these keys with these values, at every depth of `expected`."""
    want = jsonlib.dumps(expected, indent=2, sort_keys=True)
    title = _name(name, f"the JSON has {jsonlib.dumps(expected)}", f"JSON 中有 {jsonlib.dumps(expected)}")

    def judge(actual: str) -> Verdict:
        try:
            value = jsonlib.loads(actual)
        except ValueError:
            return Verdict(title, False, "json", want, actual.rstrip("\n"))
        got = jsonlib.dumps(_restrict(value, expected), indent=2, sort_keys=True)
        diff = () if got == want else _diff(want.splitlines(), got.splitlines())
        return Verdict(title, got == want, "json", want, jsonlib.dumps(value, indent=2, sort_keys=True), diff)

    return judge


def _restrict(value: Any, shape: Any) -> Any:
    """The part of `value` that `shape` speaks of."""
    if isinstance(value, dict) and isinstance(shape, Mapping):
        return {key: _restrict(value[key], inner) for key, inner in shape.items() if key in value}
    return value


def _name(given: Name, en: str, zh: str) -> Text:
    if given is None:
        return Text(en, zh)
    return Text(given, given) if isinstance(given, str) else given


def _show(value: object) -> str:
    return value.rstrip("\n") if isinstance(value, str) else str(value)


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def _diff(expected: Sequence[str], actual: Sequence[str]) -> tuple[str, ...]:
    return tuple(difflib.unified_diff(expected, actual, "expected", "actual", lineterm=""))
