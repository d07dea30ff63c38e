"""Small pieces of the HTML report: texts in both languages, outputs, bars. Pure. Every text from outside is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lab.model.columns import fold, visible
from lab.model.markup import attribute, text
from lab.model.text import Text
from lab.report.words import WORDS, Language, say, seconds

HEAD, TAIL = 18, 6
"""How many lines of a long output are shown at its beginning and end."""
LANGUAGES: tuple[Language, ...] = ("en", "zh")
_TAGS = {"en": "en", "zh": "zh-CN"}


def both(en: str, zh: str) -> str:
    """A text in both languages, of which the page shows one; once where they are the same."""
    if en == zh:
        return text(visible(en))
    return "".join(f'<span class="{key}" lang="{_TAGS[key]}">{text(visible(one))}</span>' for key, one in (("en", en), ("zh", zh)))


def entry(found: Mapping[str, str] | None) -> str:
    """A text of the report document."""
    return both(found["en"], found["zh"]) if found else ""


def word(key: str, **values: object) -> str:
    """One of the writer's own words."""
    assert isinstance(WORDS[key], Text)
    return both(say(key, "en", **values), say(key, "zh", **values))


def time(value: float | None) -> str:
    """A duration, empty for none."""
    return "" if value is None else text(seconds(value))


def bar(share: float, kind: str) -> str:
    """A bar of a chart, 0 to 1 of its cell."""
    width = max(0.4, min(100.0, 100 * share))
    return (
        f'<svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true"><rect class="{kind}" width="{width:.1f}" height="6" rx="1"/></svg>'
    )


def command(one: Mapping[str, Any]) -> str:
    """A command as typed, and what came back; the middle of a long output is folded away, to be opened."""
    typed = f'<span class="prompt">{text(visible(one["prompt"]))}</span> <span class="command">{text(visible(one["command"]))}</span>'
    stdout, stderr = (visible(one[key]).rstrip("\n") for key in ("stdout", "stderr"))
    lines = [*((line, "") for line in stdout.split("\n") if stdout), *((line, "stderr") for line in stderr.split("\n") if stderr)]
    shown, hidden, rest = fold([_line(line, kind) for line, kind in lines], HEAD, TAIL)
    remarks = "".join(f'\n<span class="status">({remark})</span>' for remark in _remarks(one))
    if not hidden:
        return f"<pre>{_joined([typed, *shown])}{remarks}</pre>\n"
    middle = [_line(line, kind) for line, kind in lines[HEAD : HEAD + hidden]]
    folded = f"<details><summary>{word('whole_output', n=hidden)}</summary><pre>{_joined(middle)}</pre></details>"
    return f"<pre>{_joined([typed, *shown])}</pre>\n{folded}<pre>{_joined(rest)}{remarks}</pre>\n"


def _line(line: str, kind: str) -> str:
    return f'<span class="{kind}">{text(line)}</span>' if kind else text(line)


def _joined(lines: list[str]) -> str:
    return "\n".join(lines)


def _remarks(one: Mapping[str, Any]) -> list[str]:
    status, found = one["status"], []
    if one.get("attempts", 1) > 1:
        found.append(word("attempts", n=one["attempts"]))
    if status is None:
        found.append(word("not_run"))
    elif status < 0:
        found.append(word("signal", signal=-status))
    elif status:
        found.append(word("status", status=status))
    return found


def check(one: Mapping[str, Any]) -> str:
    """A verdict; of one that did not hold, what was expected and what really came."""
    mark, kind = ("✓", "good") if one["ok"] else ("✗", "bad")
    inner = "" if one["ok"] else _difference(one)
    return f'<li><span class="mark {kind}" aria-hidden="true">{mark}</span><div>{_said(one["ok"])}{entry(one["name"])}{inner}</div></li>\n'


def _said(ok: bool) -> str:
    """The mark for those who hear the page."""
    return f'<span class="skip">{word("passed" if ok else "failed")}: </span>'


def _difference(one: Mapping[str, Any]) -> str:
    if one["diff"] and "\n" in one["expected"] + one["actual"]:
        lines = [line for line in one["diff"] if not line.startswith(("---", "+++", "@@"))]
        return f'<pre class="diff"><span class="fold">{word("diff")}</span>\n{_joined([_changed(line) for line in lines])}</pre>'
    labels = word("status_check" if one["kind"] == "status" else one["kind"]), word("actual")
    values = (f"<pre>{text(visible(one[key])) or word('empty')}</pre>" for key in ("expected", "actual"))
    rows = "".join(f"<dt>{label}</dt><dd>{value}</dd>" for label, value in zip(labels, values, strict=True))
    return f'<dl class="pair">{rows}</dl>'


def difference(lines: Sequence[str]) -> str:
    """Lines of a diff, each with its sign."""
    return f'<pre class="diff">{_joined([_changed(line) for line in lines])}</pre>'


def _changed(line: str) -> str:
    tag = {"-": "del", "+": "ins"}.get(line[:1])
    shown = text(line[:1] + visible(line[1:]))
    return f"<{tag}>{shown}</{tag}>" if tag else shown


def identifier(*parts: str) -> str:
    """An id attribute's value, quoted."""
    return attribute("-".join(parts))
