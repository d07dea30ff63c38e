"""A journey on the picture of its cluster: a dot that goes the packet's way, and what the packet looks like at each stop. Pure.

The animation is CSS: it runs in a picture that stands alone, and in a page whose policy forbids scripts. Readers who ask their system for
less motion, and paper, get the way as a line without the dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lab.model.markup import text
from lab.model.text import Text
from lab.observe import graph as model
from lab.observe.drawing import cluster, svg
from lab.observe.drawing.picture import Picture, Point, fitted, text_width
from lab.observe.drawing.stops import Stop, stops
from lab.observe.drawing.words import Language, pick, say

MOVE, STAY = 0.7, 1.1
"""Seconds to get to a stop, and at it."""
PANEL, LINE = 132.0, 16.0
MARGIN = 24.0
STYLE = (
    ".lab-picture .trail{fill:none;stroke:var(--path);stroke-width:5;stroke-opacity:.22;stroke-linejoin:round}"
    ".lab-picture .trail.back{stroke:var(--good)}"
    ".lab-picture .trail.error{stroke:var(--bad)}"
    ".lab-picture .told{visibility:hidden}"
    ".lab-picture .tag rect{fill:var(--paper);stroke:var(--path)}"
    ".lab-picture .wrap{fill:none;stroke:var(--tunnel);stroke-width:4}"
    ".lab-picture .caption{fill:var(--panel);stroke:var(--node-edge)}"
    ".lab-picture .lost{fill:var(--bad);font-weight:700}"
    "@media print{.lab-picture .traveller,.lab-picture .told{display:none}}"
    "@media (prefers-reduced-motion:reduce){.lab-picture .traveller,.lab-picture .told{display:none}}"
)
"""What all journeys share; a picture that stands alone brings it along."""


@dataclass(frozen=True)
class Animation:
    """A journey as parts of a picture: `markup` on top of it, `style` for it alone; `picture` has room for the captions."""

    picture: Picture
    markup: str
    style: str
    stops: tuple[Stop, ...]


def render(graph: model.Graph, journey: Mapping[str, Any], language: Language = "en") -> str:
    """The journey as an SVG that stands alone. `journey` as lab.observe.drawing.stops describes it; `graph`: the cluster it took place in."""
    made = animated(graph, journey, "j-", language)
    return svg.render(made.picture, "j-", extra=made.markup, style=STYLE + made.style)


def animated(graph: model.Graph, journey: Mapping[str, Any], prefix: str, language: Language = "en") -> Animation:
    """The parts. `prefix` keeps names apart where several pictures share a page."""
    drawn = cluster.picture(graph, language)
    found = stops(graph, drawn, journey)
    height = drawn.height + (PANEL + MARGIN if found else 0.0)
    title = say("journey", language, source=journey.get("source", ""), target=journey.get("asked") or journey.get("target", ""))
    picture = replace(drawn, title=f"{title}. {drawn.title}", height=height)
    if not found:
        return Animation(picture, "", "", ())
    markup = "".join((*_trails(found), *_captions(picture, found, journey, prefix, language), _traveller(picture, found, prefix)))
    return Animation(picture, f'<g class="journey">{markup}</g>\n', "".join(_style(found, prefix)), found)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _trails(found: Sequence[Stop]) -> Iterator[str]:
    """The whole way as a line, a leg at a time."""
    for leg in dict.fromkeys(stop.leg for stop in found):
        points = [point for stop in found if stop.leg == leg for point in stop.way]
        listed = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
        yield f'<polyline class="trail {text(leg)}" points="{listed}"/>\n'


def _captions(picture: Picture, found: Sequence[Stop], journey: Mapping[str, Any], prefix: str, language: Language) -> Iterator[str]:
    """A panel under the picture; of its texts, one at a time is to be seen."""
    x, y, width = MARGIN, picture.height - PANEL - MARGIN / 2, picture.width - 2 * MARGIN
    yield f'<rect class="caption" x="{_number(x)}" y="{_number(y)}" width="{_number(width)}" height="{_number(PANEL)}" rx="7"/>\n'
    for number, stop in enumerate(found):
        lines = list(_told(stop, number, len(found), language))
        if number == len(found) - 1 and journey.get("loss"):
            loss = journey["loss"]["text"]
            lines.insert(1, ("lost", pick(Text(str(loss["en"]), str(loss["zh"])), language)))
        rows = []
        for row, (style, line) in enumerate(lines[:7]):
            shown = fitted(line, "mono", width - 28.0)
            rows.append(f'<text class="{style}" x="{_number(x + 14)}" y="{_number(y + 22 + LINE * row)}">{text(shown)}</text>')
        yield f'<g class="told {prefix}at {prefix}at{number}">{"".join(rows)}</g>\n'


def _told(stop: Stop, number: int, total: int, language: Language) -> Iterator[tuple[str, str]]:
    where = f"{stop.machine} {stop.interface}".strip()
    yield "name", f"{number + 1}/{total}  {say(f'leg_{stop.leg}', language)}  {where}, {say(f'direction_{stop.direction}', language)}"
    yield "small", f"{stop.microseconds:.0f} µs"
    for depth, layer in enumerate(stop.layers):
        yield "mono", f"{'  ' * depth}{layer}"
    for change in stop.changes:
        yield "mono accent", change
    if stop.rules:
        yield "small", f"{say('rules_met', language)} {' '.join(stop.rules)}"


def _traveller(picture: Picture, found: Sequence[Stop], prefix: str) -> str:
    """The dot, a ring around it while the packet is wrapped, and a tag with its addresses."""
    tags = "".join(_tag(picture, stop, f"{prefix}at {prefix}at{number}") for number, stop in enumerate(found))
    rings = "".join(f'<circle class="told wrap {prefix}at {prefix}at{number}" r="11"/>' for number, stop in enumerate(found) if stop.wrapped)
    return f'<g class="traveller {prefix}dot">{rings}<circle class="dot" r="7"/>{tags}</g>\n'


def _tag(picture: Picture, stop: Stop, names: str) -> str:
    """From whom to whom, layer by layer, beside the dot: on its left where the right would end outside."""
    lines = [layer.split(" ttl ")[0] for layer in stop.layers]
    width = max(text_width(line, "mono") for line in lines) + 16.0
    height = LINE * len(lines) + 8.0
    left = -width - 14.0 if stop.point[0] + width + 18.0 > picture.width else 14.0
    top = -height - 12.0
    rect = f'<rect x="{_number(left)}" y="{_number(top)}" width="{_number(width)}" height="{_number(height)}" rx="5"/>'
    texts = "".join(
        f'<text class="mono" x="{_number(left + 8)}" y="{_number(top + LINE * row + 15)}">{text(line)}</text>' for row, line in enumerate(lines)
    )
    return f'<g class="told tag {names}">{rect}{texts}</g>'


def _style(found: Sequence[Stop], prefix: str) -> Iterator[str]:
    """Key frames: the dot's places over the whole time, and one window of time that every stop's texts share, each begun later."""
    each = MOVE + STAY
    total = each * len(found)
    frames = "".join(_frames(found, total))
    yield f"@keyframes {prefix}go{{{frames}}}"
    yield f"@keyframes {prefix}show{{0%{{visibility:visible}}{100 / len(found):.3f}%,100%{{visibility:hidden}}}}"
    yield f".lab-picture .{prefix}dot{{animation:{prefix}go {total:.1f}s linear infinite}}"
    yield f".lab-picture .{prefix}at{{animation:{prefix}show {total:.1f}s step-end infinite}}"
    for number in range(len(found)):
        yield f".lab-picture .{prefix}at{number}{{animation-delay:{number * each:.1f}s}}"


def _frames(found: Sequence[Stop], total: float) -> Iterator[str]:
    """A stop's time begins with the way to it."""
    each = MOVE + STAY
    for number, stop in enumerate(found):
        lengths = [math.dist(a, b) for a, b in zip(stop.way, stop.way[1:], strict=False)]
        whole, gone = sum(lengths) or 1.0, 0.0
        yield _frame(number * each, total, stop.way[0])
        for length, point in zip(lengths, stop.way[1:], strict=True):
            gone += length
            yield _frame(number * each + MOVE * gone / whole, total, point)
    yield f"100%{{transform:translate({_number(found[-1].point[0])}px,{_number(found[-1].point[1])}px)}}"


def _frame(moment: float, total: float, point: Point) -> str:
    return f"{100 * moment / total:.3f}%{{transform:translate({_number(point[0])}px,{_number(point[1])}px)}}"
