"""A listing of then beside one of now: which lines are the same, and of what class each difference is. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lab.errors import UsageError
from lab.model.text import Text
from lab.scenario.model import flat

Kind = Literal["same", "renamed", "changed", "gone", "new", "unknown"]
MARKS: dict[Kind, str] = {"same": "=", "renamed": "~", "changed": "!", "gone": "-", "new": "+", "unknown": "?"}
WORDS: dict[Kind, Text] = {
    "same": Text("same", "相同"),
    "renamed": Text("renamed", "改名"),
    "changed": Text("changed", "改变"),
    "gone": Text("gone", "消失"),
    "new": Text("new", "新增"),
    "unknown": Text("unexplained", "无法解释"),
}


@dataclass(frozen=True)
class Difference:
    """A difference that is known, and why it came about.

    then   regular expression for the whole line of then; empty for a new line
    now    the line of now, with \\1 for what the first group matched; for a new line a regular expression; empty for one that is gone
    """

    kind: Kind
    then: str
    now: str
    why: Text

    def __post_init__(self) -> None:
        """Refuse a difference whose class does not fit its patterns: UsageError."""
        has = bool(self.then), bool(self.now)
        wanted = {"gone": (True, False), "new": (False, True), "renamed": (True, True), "changed": (True, True)}
        if wanted.get(self.kind) != has:
            raise UsageError(f"a difference of the class {self.kind!r} cannot have then {self.then!r} and now {self.now!r}")


@dataclass(frozen=True)
class Row:
    """One line of then, of now, or both; `why` is empty where nothing needs a reason."""

    kind: Kind
    then: str
    now: str
    why: Text = Text("", "")


def compare(then: Sequence[str], now: Sequence[str], known: Sequence[Difference]) -> list[Row]:
    """Every line of both listings in one row each: those of then in their order, what is new behind them.

    A line that is in both is the same wherever it stands; empty lines are passed over. What no known difference explains is `unknown`.
    """
    left = [line for line in now if line]
    rows = []
    for line in filter(None, then):
        row = _matched(line, left, known)
        if row.now:
            left.remove(row.now)
        rows.append(row)
    return rows + [_new(line, known) for line in left]


def _matched(line: str, left: Sequence[str], known: Sequence[Difference]) -> Row:
    if line in left:
        return Row("same", line, line)
    for one in known:
        found = re.fullmatch(one.then, line) if one.then else None
        if found is None:
            continue
        if one.kind == "gone":
            return Row("gone", line, "", one.why)
        expected = found.expand(one.now)
        if expected in left:
            return Row(one.kind, line, expected, one.why)
    return Row("unknown", line, "")


def _new(line: str, known: Sequence[Difference]) -> Row:
    why = next((one.why for one in known if one.kind == "new" and re.fullmatch(one.now, line)), None)
    return Row("unknown", "", line) if why is None else Row("new", "", line, why)


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a person compares them: one line for what is the same, then above now for what is not."""
    for row in rows:
        mark = MARKS[row.kind]
        if row.kind == "same":
            yield f"{mark}       {row.then}"
            continue
        if row.then:
            yield f"{mark} then  {row.then}"
        if row.now:
            yield f"{mark if not row.then else ' '} now   {row.now}"


def reasons(rows: Sequence[Row]) -> list[Text]:
    """Why the lines differ: each reason once, with its class before it."""
    found: dict[Text, Kind] = {}
    for row in rows:
        if row.why.en:
            found.setdefault(row.why, row.kind)
    return [Text(f"{WORDS[kind].en}: {flat(why.en)}", f"{WORDS[kind].zh}：{flat(why.zh)}") for why, kind in found.items()]
