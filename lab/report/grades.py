"""A challenge on the terminal, and as a line of a teacher's list: the answers of lab.challenge.keeper as text. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from lab.model.columns import visible, wrap
from lab.model.text import Text
from lab.report.words import Language, pick

Answer = Mapping[str, Any]
COLUMNS = ("lab", "student", "challenge", "level", "solved", "passed", "checks", "hints", "attempts", "minutes")

_WORDS = {
    "level": Text("level {level}", "难度 {level}"),
    "student": Text("for {student}", "学生：{student}"),
    "go": Text(
        "Find it and repair it. `lab shell WHO`, `lab exec WHO -- CMD`, `lab kubectl …` and `lab daemon WHO` look and act; "
        "`lab check` says whether it works again, `lab check --hint` helps; `lab down {lab}` ends it.",
        "请找出并修复。用 `lab shell WHO`、`lab exec WHO -- CMD`、`lab kubectl …`、`lab daemon WHO` 查看和操作；"
        "`lab check` 检查是否恢复，`lab check --hint` 给提示；`lab down {lab}` 结束。",
    ),
    "hint": Text("Hint {number} of {of}:", "提示 {number}/{of}："),
    "solved": Text("Solved: everything works again.", "已解决：一切恢复正常。"),
    "unsolved": Text("{passed} of {all} work. Go on; `lab check --hint` helps.", "{all} 项中 {passed} 项正常。继续；`lab check --hint` 给提示。"),
    "expected": Text("expected", "预期"),
    "actual": Text("really", "实际"),
    "nothing": Text("(nothing)", "（空）"),
    "exit": Text("(exit status {status})", "（退出状态 {status}）"),
    "tally": Text("attempts: {attempts}   hints: {hints}   minutes: {minutes}", "检查次数：{attempts}   提示：{hints}   分钟：{minutes}"),
}


def story(answer: Answer, lab: str, language: Language, columns: int = 100) -> str:
    """What a learner reads at the beginning."""
    lines = [_headline(answer, language), "", *wrap(_either(answer["story"], language), columns), ""]
    return "\n".join([*lines, *wrap(_say("go", language, lab=lab), columns)])


def hint(answer: Answer, language: Language, columns: int = 100) -> str:
    """One hint."""
    return "\n".join([_say("hint", language, **_only(answer, "number", "of")), *wrap(_either(answer["hint"], language), columns)])


def grade(answer: Answer, language: Language, columns: int = 100) -> str:
    """Every check with its verdict; of those that do not hold, what was done and what came back."""
    lines = [_headline(answer, language), ""]
    for row in answer["checks"]:
        lines.append(f"  {'✓' if row['ok'] else '✗'} {_either(row['title'], language)}")
        if not row["ok"]:
            lines += [f"      {line}" for line in _failure(row, language)]
    passed, many = _passed(answer)
    lines += ["", _say("solved", language) if answer["solved"] else _say("unsolved", language, passed=passed, all=many)]
    return "\n".join([*lines, _say("tally", language, **_only(answer, "attempts", "hints", "minutes"))])


def roster(answers: Iterable[tuple[str, Answer]], header: bool = True) -> str:
    """CSV (RFC 4180): a line for each lab and its grade, below the names of the columns."""
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    if header:
        writer.writerow(COLUMNS)
    for lab, answer in answers:
        passed, many = _passed(answer)
        solved = "yes" if answer["solved"] else "no"
        row = (lab, answer["student"], answer["challenge"], answer["level"], solved, passed, many, *(answer[key] for key in COLUMNS[-3:]))
        writer.writerow([_harmless(cell) for cell in row])
    return sheet.getvalue()


def _harmless(cell: object) -> object:
    """A spreadsheet takes a text that begins like this for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@")) else cell


def _failure(row: Answer, language: Language) -> list[str]:
    lines: list[str] = []
    for command in row["commands"]:
        lines.append(visible(f"{command['prompt']} {command['command']}"))
        lines += visible(command["output"]).rstrip("\n").split("\n") if command["output"].strip() else []
        lines += [_say("exit", language, status=command["status"])] if command["status"] else []
    for failed in row["failed"]:
        lines.append(f"✗ {visible(_either(failed['name'], language))}")
        for key in ("expected", "actual"):
            if key in failed:
                lines.append(f"  {_say(key, language)}: {visible(failed[key]) or _say('nothing', language)}")
    return lines


def _headline(answer: Answer, language: Language) -> str:
    parts = [f"{answer['challenge']}: {_either(answer['title'], language)}", _say("level", language, level=answer["level"])]
    return "   ".join([*parts, _say("student", language, student=answer["student"])] if answer["student"] else parts)


def _passed(answer: Answer) -> tuple[int, int]:
    return sum(row["ok"] for row in answer["checks"]), len(answer["checks"])


def _only(answer: Answer, *keys: str) -> dict[str, Any]:
    return {key: answer[key] for key in keys}


def _either(text: Mapping[str, str], language: Language) -> str:
    return pick(Text(text["en"], text["zh"]), language)


def _say(key: str, language: Language, **values: object) -> str:
    return pick(_WORDS[key], language).format(**values)
