"""Step mode: what a key means. Pure; the command line reads the keys and shows the words."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from lab.model.text import Text
from lab.scenario.model import Step


class Answer(Enum):
    """What the learner wants at a pause."""

    NEXT = "next"
    REPEAT = "repeat"
    SHELL = "shell"
    QUIT = "quit"


class Quit(Exception):
    """The learner quit while the lab was being booted."""


Pause = Callable[[Step | None, Step | None], Answer]
"""Called before every step and after the last one: (the step that comes next, or None; the step before, or None)."""

KEYS = {"n": Answer.NEXT, "\n": Answer.NEXT, "\r": Answer.NEXT, "": Answer.QUIT, "r": Answer.REPEAT, "s": Answer.SHELL}
QUITTING = {"q", "\x03", "\x04"}


def decide(key: str, repeatable: bool = True) -> Answer | None:
    """The answer that one key gives; None for a key without a meaning here, on which the caller asks again.

    key          one character; "" is the end of the input, which quits as q does
    repeatable   whether a step came before: without one, r means nothing
    """
    lowered = key.lower()
    answer = Answer.QUIT if lowered in QUITTING else KEYS.get(lowered)
    return None if answer is Answer.REPEAT and not repeatable else answer


def decide_boot(key: str) -> Answer | None:
    """The same at a pause of the boot, where there is no step to repeat."""
    return decide(key, repeatable=False)


def boot_help_line() -> Text:
    """The keys that mean something there."""
    return Text("n, Enter: go on   s: open a shell here   q: quit", "n 或回车：继续   s：打开 shell   q：退出")


def help_line(upcoming: bool, repeatable: bool) -> Text:
    """The keys that mean something at this pause."""
    first = Text("n, Enter: next step", "n 或回车：下一步") if upcoming else Text("n, Enter: finish", "n 或回车：结束")
    parts = [first]
    if repeatable:
        parts.append(Text("r: repeat the last step", "r：重做上一步"))
    parts += [Text("s: open a shell here", "s：打开 shell"), Text("q: quit", "q：退出")]
    return Text("   ".join(part.en for part in parts), "   ".join(part.zh for part in parts))
