"""The picture of a whole cluster: the router and the outside on top, nodes side by side, services below as the virtual things they are. Pure.

Up to five nodes stand in a row; more than that make more rows, and more than ten the compact form of lab.observe.drawing.grid.
"""

from __future__ import annotations

import math

from lab.observe import graph as model
from lab.observe.drawing import grid, machines
from lab.observe.drawing.frame import Frame, finished
from lab.observe.drawing.picture import Box, Label, Line, Picture, Sheet, block_width
from lab.observe.drawing.words import Language, say

LARGE = 10
"""More nodes than that are drawn compactly."""
MARGIN, BETWEEN = 24.0, 24.0
TOP = 64.0
"""Where the band of the router begins, under the title."""
ROOMY, NARROW = 292.0, 250.0
"""Widths of a node: with at most four in the picture, and with more."""


def picture(graph: model.Graph, language: Language = "en") -> Picture:
    """The cluster."""
    if len(graph.nodes) > LARGE:
        return grid.picture(graph, language)
    return _Cluster(graph, language).picture()


class _Cluster:
    """The picture in the making, from the top down."""

    def __init__(self, graph: model.Graph, language: Language) -> None:
        self.graph, self.language, self.sheet = graph, language, Sheet()
        within = {node.segment for node in graph.nodes}
        self.outside = [one for one in graph.clients if one.segment not in within]
        order = {segment.number: place for place, segment in enumerate(graph.segments)}
        inside = [one for one in graph.machines if one.segment in within]
        self.inside = sorted(inside, key=lambda one: (order[one.segment], one.kind != "node"))
        self.shape = machines.Shape(graph, language, ROOMY if len(self.inside) <= 4 else NARROW)
        self.frame = Frame(graph, self.sheet, language)

    def picture(self) -> Picture:
        rows = self._rows()
        wide = max(len(row) for row in rows) * (self.shape.width + BETWEEN) - BETWEEN
        center, self.width = self.frame.placed(max(wide, 560.0) + 2 * MARGIN, self.outside)
        bottom = self.frame.band(self.outside, center, MARGIN, TOP, self.width - MARGIN)
        self.under = bottom + 5.0
        y = bottom + 12.0
        for number, row in enumerate(rows):
            y = self._row(row, number, y) + BETWEEN
        y = self.frame.services(MARGIN, y - BETWEEN + 10.0, self.width - MARGIN)
        y = self.frame.legend(MARGIN, y)
        return finished(self.graph, self.language, "cluster", self.sheet, self.width, y)

    def _rows(self) -> list[list[model.Machine]]:
        count = math.ceil(len(self.inside) / (4 if len(self.inside) <= 4 else 5))
        size = math.ceil(len(self.inside) / count)
        return [self.inside[start : start + size] for start in range(0, len(self.inside), size)]

    def _row(self, row: list[model.Machine], number: int, y: float) -> float:
        """A row of machines with the wires that lead to them; returns where it ends."""
        switched = any(self.graph.segment(one).switch for one in row)
        channel, top = y + 6.0, y + (76.0 if switched else 34.0)
        left = MARGIN + (self.width - 2 * MARGIN - len(row) * (self.shape.width + BETWEEN) + BETWEEN) / 2
        height = max([self.shape.height(one) for one in row if one.kind == "node"], default=machines.POD)
        cards: dict[int, list[Box]] = {}
        for place, machine in enumerate(row):
            x = left + place * (self.shape.width + BETWEEN)
            if machine.kind == "node":
                card = machines.draw(self.sheet, self.shape, machine, x, top, height)
            else:
                card = self.frame.client(machine, x, top, self.shape.width)
            cards.setdefault(machine.segment, []).append(card)
        for segment in self.graph.segments:
            if found := cards.get(segment.number):
                self._wire(segment, found, number, channel, left)
        return top + machines.TAB + height

    def _wire(self, segment: model.Segment, cards: list[Box], row: int, channel: float, left: float) -> None:
        """From the router, by the switch if there is one, to the cards of one row."""
        ends = cards
        if segment.switch:
            text = (Line(segment.switch, "mono"), Line(say("switch", self.language, network=segment.network), "small"))
            first, last = cards[0].x - 20.0, cards[-1].right + 8.0
            width = max(last - first, block_width(text))
            ident = self.sheet.name("switch", segment.switch)
            bar = Box(ident, "switch", min(first, cards[-1].right + 8.0 - width), channel + 20.0, width, 36.0, text, machine=segment.switch)
            self.sheet.box(bar)
            for card in cards:
                x = card.middle[0]
                self.sheet.link("wire", bar, card, [(x, bar.bottom), (x, card.y)])
            ends = [bar]
        if segment.gateway and self.frame.router is not None:
            for end in ends:
                self._to_router(self.frame.router, end, segment, row, channel, left)

    def _to_router(self, router: Box, end: Box, segment: model.Segment, row: int, channel: float, left: float) -> None:
        x = end.middle[0]
        if row == 0:
            middle = router.middle[0]
            points = [(middle, router.bottom), (middle, channel), (x, channel), (x, end.y)]
        else:
            trunk = MARGIN / 2
            around = self.under
            points = [(router.middle[0] - 20.0, router.bottom), (router.middle[0] - 20.0, around), (trunk, around), (trunk, channel)]
            points += [(x, channel), (x, end.y)]
        tip = f"{self.graph.router} {segment.card} – {segment.network}"
        self.sheet.link("wire", router, end, points, tip=tip)
        self.sheet.label(Label(segment.gateway, x - 5.0, end.y - 7.0 if end.kind != "switch" else channel + 14.0, "mono", "end"))
