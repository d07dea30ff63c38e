"""A journey as a picture: a column for every place, a row for every sighting, time downwards; what happened on the right.

One SVG that needs nothing else, light or dark as the reader's system is. Every text is escaped, so no name is ever markup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.model import markup
from lab.model.columns import visible
from lab.observe.drawing.style import VARIABLES
from lab.observe.trace.journey import Hop, Journey, LegKind
from lab.report import journey as table
from lab.report.words import Language

_COLUMN, _ROW, _LINE = 104, 30, 15
_LEFT, _TOP, _NOTES = 92, 118, 690
_LONGEST = 96
_STYLE = VARIABLES + (
    ".paper{fill:var(--paper)}text{fill:var(--ink);white-space:pre;"
    'font:11px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,"Noto Sans CJK SC",monospace}'
    ".title{font-size:16px;font-weight:600}.muted{fill:var(--muted)}.life{stroke:var(--node-edge)}.machine{fill:var(--panel);stroke:var(--node-edge)}"
    ".way{stroke-width:2;fill:none}.there{stroke:var(--path)}.back{stroke:var(--good)}.error{stroke:var(--bad)}.dot{stroke:none}"
    ".dot.there,.name.there{fill:var(--path);stroke:none}.dot.back,.name.back{fill:var(--good);stroke:none}"
    ".dot.error,.name.error,.lost{fill:var(--bad);stroke:none}.changed{fill:var(--tunnel)}.name{font-weight:600}"
).replace("\n", "")


@dataclass(frozen=True)
class _Row:
    """A hop with its place in the picture, and the notes beside it: class and text."""

    leg: LegKind
    hop: Hop
    column: int
    y: int
    notes: tuple[tuple[str, str], ...]


def svg(journey: Journey, language: Language = "en") -> str:
    """The picture's text. Equal journeys give equal text, byte for byte."""
    words = table.Words(journey, language)
    columns = _columns(journey)
    rows = list(_rows(journey, words, columns))
    ends = rows[-1] if rows else None
    bottom = (ends.y + max(len(ends.notes), 1) * _LINE + 16) if ends else _TOP
    right = _LEFT + len(columns) * _COLUMN
    width, height = right + _NOTES, bottom + 34
    verdict = words.verdict()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" class="lab-picture">',
        f"<title>{_text(words.title())}</title><desc>{_text(verdict)}</desc><style>{_STYLE}</style>",
        '<rect class="paper" width="100%" height="100%"/>',
        f'<text class="title" x="16" y="28">{_text(words.title())}</text>',
        *_heads(columns, bottom),
        *_ways(rows, words),
        *_end(rows, journey),
        f'<text class="{"lost" if journey.loss else "name back"}" x="16" y="{bottom + 16}">{_text(verdict)}</text>',
    ]
    return "\n".join([*parts, "</svg>", ""])


def _columns(journey: Journey) -> list[tuple[str, str]]:
    """The places from left to right: machines in the order of the way, each one's interfaces side by side."""
    return [(machine, card) for machine, cards in journey.places for card in ([*_shown(journey, machine, cards)] or [""])]


def _shown(journey: Journey, machine: str, cards: tuple[str, ...]) -> Iterator[str]:
    hops = [hop for leg in journey.legs for hop in leg.hops if hop.machine == machine and not hop.minor]
    return (card for card in cards if any(hop.interface == card for hop in hops))


def _rows(journey: Journey, words: table.Words, columns: list[tuple[str, str]]) -> Iterator[_Row]:
    y = _TOP
    for leg in journey.legs:
        y += _LINE
        for hop in leg.hops:
            if hop.minor:
                continue
            notes = tuple(_notes(hop, words))
            yield _Row(leg.kind, hop, _column(columns, hop), y, notes)
            y += max(_ROW, len(notes) * _LINE + 8)


def _column(columns: list[tuple[str, str]], hop: Hop) -> int:
    """A socket stands at the first interface of its machine."""
    same = [number for number, (machine, card) in enumerate(columns) if machine == hop.machine and hop.interface in ("", card)]
    return same[0] if same else 0


def _notes(hop: Hop, words: table.Words) -> Iterator[tuple[str, str]]:
    yield ("", words.headers(hop)) if hop.packet else ("muted", words.socket(hop))
    yield from (("changed", f"✎ {line}") for line in words.changes(hop))
    yield from (("muted", line) for line in words.rules(hop))


def _heads(columns: list[tuple[str, str]], bottom: int) -> Iterator[str]:
    begun = 0
    for number, (machine, card) in enumerate(columns):
        x = _LEFT + number * _COLUMN + _COLUMN // 2
        yield f'<line class="life" x1="{x}" y1="{_TOP - 14}" x2="{x}" y2="{bottom - 8}"/>'
        yield f'<text class="muted" x="{x}" y="{_TOP - 20}" text-anchor="middle">{_text(card)}</text>'
        if number + 1 == len(columns) or columns[number + 1][0] != machine:
            size = (number + 1 - begun) * _COLUMN - 8
            left = _LEFT + begun * _COLUMN + 4
            yield f'<g><title>{_text(machine)}</title><rect class="machine" x="{left}" y="50" width="{size}" height="28" rx="5"/>'
            yield f'<text x="{left + size // 2}" y="68" text-anchor="middle">{_text(_fitting(machine, size // 7))}</text></g>'
            begun = number + 1


def _ways(rows: list[_Row], words: table.Words) -> Iterator[str]:
    before: _Row | None = None
    notes = _LEFT + (max((row.column for row in rows), default=0) + 1) * _COLUMN + 12
    for row in rows:
        x = _LEFT + row.column * _COLUMN + _COLUMN // 2
        if before is None or before.leg != row.leg:
            yield f'<text class="name {row.leg}" x="16" y="{row.y - 12}">{_text(words.leg(row.leg))}</text>'
        elif before is not None:
            start = _LEFT + before.column * _COLUMN + _COLUMN // 2
            yield f'<path class="way {row.leg}" d="M{start} {before.y} L{x} {row.y}"/>'
        yield f'<text class="muted" x="{_LEFT - 14}" y="{row.y + 4}" text-anchor="end">{row.hop.time / 1000:.0f} µs</text>'
        yield f'<circle class="dot {row.leg}" cx="{x}" cy="{row.y}" r="4"/>'
        for number, (style, line) in enumerate(row.notes):
            yield f'<text class="{style}" x="{notes}" y="{row.y + 4 + number * _LINE}">{_text(_fitting(line, _LONGEST))}</text>'
        before = row


def _end(rows: list[_Row], journey: Journey) -> Iterator[str]:
    """A cross where the packet was lost."""
    loss = journey.loss
    found = [row for row in rows if loss and (row.hop.machine, row.hop.interface) == (loss.machine, loss.interface)]
    if found:
        x = _LEFT + found[-1].column * _COLUMN + _COLUMN // 2
        yield f'<text class="lost" x="{x}" y="{found[-1].y + 20}" text-anchor="middle" style="font-size:16px">✗</text>'


def _fitting(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: max(size - 1, 1)]}…"


def _text(text: str) -> str:
    return markup.text(visible(text))
