"""Text in columns of a terminal, where a Chinese character is two columns wide. Pure.

Widths follow Unicode's East Asian Width (UAX #11): W and F take two columns, combining marks and format characters none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

CLOSING = "，。、；：？！）》」』”’…,.;:?!)]}%"
"""What must not begin a line: Chinese and English closing punctuation."""
OPENING = "（《「『“‘([{"
"""What must not end a line."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def width(text: str) -> int:
    """How many columns the text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(char) for char in text)


def pad(text: str, columns: int, right: bool = False) -> str:
    """The text, filled with blanks to so many columns; with `right` the blanks come first. Longer text stays as it is."""
    blanks = " " * max(columns - width(text), 0)
    return blanks + text if right else text + blanks


def wrap(text: str, columns: int) -> list[str]:
    """Break text into lines of at most `columns` columns; a blank line of the text stays one.

    English breaks at blanks, Chinese between any two characters except before closing and after opening punctuation. A word that
    is wider than a line gets a line of its own and overflows: commands and addresses stay whole.
    """
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line = ""
        for piece in _pieces(paragraph):
            if line and width(line) + width(piece.rstrip()) > columns:
                lines.append(line.rstrip())
                line = piece.lstrip()
            else:
                line += piece
        lines.append(line.rstrip())
    return lines


def fold(lines: Sequence[str], head: int, tail: int) -> tuple[list[str], int, list[str]]:
    """The first `head` and last `tail` lines, and how many are left out between them (0: all lines come first)."""
    hidden = len(lines) - head - tail
    if hidden <= 1:
        return list(lines), 0, []
    return list(lines[:head]), hidden, list(lines[len(lines) - tail :])


def visible(text: str) -> str:
    """Text from anywhere, harmless to a terminal: control characters other than tab and newline become \\xNN."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _columns(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _pieces(paragraph: str) -> list[str]:
    """The parts of a paragraph between which a line may break, blanks at their ends."""
    pieces = [""]
    for char in paragraph:
        before = pieces[-1][-1:]
        if before and _may_break(before, char):
            pieces.append(char)
        else:
            pieces[-1] += char
    return [piece for piece in pieces if piece]


def _may_break(before: str, after: str) -> bool:
    if before == " ":
        return after != " "
    if after == " " or after in CLOSING or before in OPENING:
        return False
    return _columns(before) == 2 or _columns(after) == 2
