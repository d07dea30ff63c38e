"""A Table of the apiserver as text, like kubectl prints it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PADDING = 3
"""Blanks between two columns."""

TODAY_WIDTH, OLD_WIDTH = 6, 10
"""The least width of a column in kubectl of today and of v1.7, padding included."""


def text(table: dict[str, Any], wide: bool = False, namespaces: bool = False, width: int = TODAY_WIDTH) -> str:
    """The table's lines, each ended; nothing when it has no rows.

    wide        also columns with a priority above 0
    namespaces  a first column NAMESPACE, from the objects of the rows
    width       TODAY_WIDTH or OLD_WIDTH
    """
    columns = table.get("columnDefinitions") or []
    rows = table.get("rows") or []
    shown = [place for place, column in enumerate(columns) if wide or not column.get("priority")]
    if not rows or not shown:
        return ""
    lines = [[str(columns[place].get("name", "")).upper() for place in shown]]
    lines += [[_cell(row.get("cells") or [], place) for place in shown] for row in rows]
    if namespaces:
        spaces = [str(((row.get("object") or {}).get("metadata") or {}).get("namespace", "")) for row in rows]
        lines = [[first, *line] for first, line in zip(["NAMESPACE", *spaces], lines, strict=True)]
    return aligned(lines, width)


def _cell(cells: Sequence[Any], place: int) -> str:
    value = cells[place] if place < len(cells) else ""
    first, more, _ = ("" if value is None else str(value)).partition("\n")
    return f"{first}..." if more else first


def aligned(lines: Sequence[Sequence[str]], width: int = TODAY_WIDTH) -> str:
    """Lines of as many cells each, in columns; the last one is not filled up."""
    widths = [max(width, PADDING + max(map(len, column))) for column in zip(*lines, strict=True)]
    texts = ("".join(cell.ljust(size) for cell, size in zip(line[:-1], widths, strict=False)) + line[-1] for line in lines)
    return "".join(f"{line}\n" for line in texts)
