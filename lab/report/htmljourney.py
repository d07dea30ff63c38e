"""A journey in the HTML report: the animated picture in both languages, and every stop as a table for paper and for those who hear it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lab.model.markup import text
from lab.observe import graph as model
from lab.observe.drawing import journey as drawing
from lab.observe.drawing import svg
from lab.observe.drawing.stops import Stop
from lab.report.htmltext import LANGUAGES, entry, identifier, word


@dataclass
class Journeys:
    """The journeys of one run as they are drawn. `styles`: what the page's style sheet has to have for them.

    graph   where they took place; None: they get no picture
    """

    graph: model.Graph | None
    prefix: str
    styles: list[str] = field(default_factory=list)
    _count: int = 0

    def draw(self, data: Mapping[str, Any]) -> str:
        """One journey's part of the page. `data`: as `lab trace --format json` prints it."""
        title = word("journey", source=data.get("source", ""), target=data.get("asked") or data.get("target", ""))
        loss = f'<p class="reason">{entry(data["loss"]["text"])}</p>\n' if data.get("loss") else ""
        if self.graph is None:
            return f'<p class="shown">{title}</p>\n{loss}'
        self._count += 1
        name = f"{self.prefix}-journey{self._count}"
        made = {lang: drawing.animated(self.graph, data, f"{name}-{lang}-", lang) for lang in LANGUAGES}
        self.styles += [one.style for one in made.values()]
        pictures = "".join(f'<div class="{lang}">{svg.render(one.picture, f"{name}-{lang}-", False, one.markup)}</div>' for lang, one in made.items())
        pause = (
            f'<input class="pick pause" type="checkbox" id={identifier(name, "pause")}><label for={identifier(name, "pause")}>{word("pause")}</label>'
        )
        rows = "".join(_row(number, stop) for number, stop in enumerate(made["en"].stops, 1))
        table = f"<details><summary>{word('all_stops')}</summary><table><tbody>{rows}</tbody></table></details>\n"
        figure = f'<figure class="figure" id={identifier(name)}>{pictures}</figure>'
        return f'<p class="shown">{title}</p>\n{loss}<div class="journey">{pause}{figure}</div>\n{table}'


def _row(number: int, stop: Stop) -> str:
    lines = [*stop.layers, *stop.changes, *([" ".join(stop.rules)] if stop.rules else [])]
    told = "<br>".join(f"<code>{text(line)}</code>" for line in lines)
    place = text(f"{stop.machine} {stop.interface}".strip())
    return f'<tr><td class="number">{number}</td><td>{place}</td><td class="number">{stop.microseconds:.0f} µs</td><td>{told}</td></tr>'
