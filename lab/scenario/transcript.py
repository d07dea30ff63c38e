"""Plain text of what happened in a step, for reports that are not written live. Pure.

Commands and steps are entries of the report document that lab.report.jsonout describes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def transcript(commands: Sequence[Mapping[str, Any]], shown: Sequence[Mapping[str, Any]] = ()) -> str:
    """Commands as typed and what came back, as a terminal would show them; between them what the step showed otherwise."""
    parts = _shown_after(0, shown)
    for number, command in enumerate(commands, 1):
        parts.append(f"{command['prompt']} {command['command']}\n")
        parts += [text if text.endswith("\n") else f"{text}\n" for text in (command["stdout"], command["stderr"]) if text]
        if command["status"]:
            parts.append(f"(exit status {command['status']})\n")
        parts += _shown_after(number, shown)
    return "".join(parts)


def _shown_after(number: int, shown: Sequence[Mapping[str, Any]]) -> list[str]:
    return ["\n".join((one["title"]["en"], *one["lines"], "")) for one in shown if one["after"] == number]


def failure_text(step: Mapping[str, Any]) -> str:
    """Every failed check of a step entry of the report document: the command it judges, expected against real."""
    commands = {command["number"]: command for command in step.get("commands", ())}
    parts: list[str] = [step["reason"]["en"] + "\n"] if step.get("reason") else []
    for check in step.get("checks", ()):
        if check["ok"]:
            continue
        parts.append(f"✗ {check['name']['en']}\n")
        if check["command"] in commands:
            parts.append(transcript([commands[check["command"]]]))
        if check["diff"]:
            parts.append("\n".join(check["diff"]) + "\n")
        else:
            parts.append(f"expected ({check['kind']}): {check['expected']}\nreally: {check['actual'] or '(nothing)'}\n")
    return "".join(parts)
