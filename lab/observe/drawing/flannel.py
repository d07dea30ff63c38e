"""The picture of a packet between two nodes, the article's second figure: down from a pod to the wire, and up to the other pod. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.observe import graph as model
from lab.observe.drawing.frame import finished
from lab.observe.drawing.hops import Hop, Way, way
from lab.observe.drawing.picture import PAD, Box, Label, Line, Picture, Sheet, fitted
from lab.observe.drawing.words import Language, say

MARGIN, TOP, INSET = 24.0, 74.0, 16.0
SIDE, CENTRE = 384.0, 312.0
"""Widths of a node, and of the space between the two."""
HEAD, HOP, GAP, NUMBER = 34.0, 44.0, 22.0, 22.0
HEADER = 36.0


def picture(graph: model.Graph, language: Language = "en") -> Picture:
    """The way of a packet between two pods. Raises UsageError where flannel has none to go."""
    return _Flannel(graph, way(graph, language), language).picture()


class _Flannel:
    """The picture in the making."""

    def __init__(self, graph: model.Graph, found: Way, language: Language) -> None:
        self.graph, self.way, self.language, self.sheet = graph, found, language, Sheet()
        self.right = MARGIN + SIDE + CENTRE
        self.width = self.right + SIDE + MARGIN

    def picture(self) -> Picture:
        down, between, up = _parts(self.way.hops)
        rows = max(len(down), len(up), 3)
        height = HEAD + rows * (HOP + GAP) - GAP + INSET
        lefts = self._node(self.way.nodes[0], MARGIN, height)
        rights = self._node(self.way.nodes[1], self.right, height)
        boxes = self._column(lefts, down, rows, 1)
        middle = self._middle(between, TOP + height, len(down) + 1)
        last = self._column(rights, up[::-1], rows, 0)
        self._numbers(last[::-1], len(down) + len(between) + 1)
        self._path([*boxes, *middle, *last[::-1]])
        bottom = self._packets(height)
        self._leases(bottom)
        if not up:
            self._pod_out_of_reach(rights)
        end = (middle[-1].bottom if middle else TOP + height) + MARGIN
        if self.way.lost:
            self.sheet.label(Label(self.way.lost, self.width / 2, end, "word", "middle", "bad"))
            end += MARGIN
        heading = say("flannel_heading", self.language, backend=self.graph.backend)
        made = finished(self.graph, self.language, "flannel", self.sheet, self.width, end, heading)
        return replace(
            made, description=". ".join(f"{number} {hop.machine} {hop.interface}: {hop.text}" for number, hop in enumerate(self.way.hops, 1))
        )

    def _node(self, node: model.Machine, x: float, height: float) -> Box:
        lines = (Line(fitted(node.name, "name", SIDE - 2 * PAD), "name"),)
        return self.sheet.box(Box(self.sheet.name("node", node.name), "node", x, TOP, SIDE, height, lines, machine=node.name, tip=node.name))

    def _column(self, node: Box, hops: list[Hop], rows: int, number: int) -> list[Box]:
        """The hops of a node from the pod down to the card, which stands at the bottom. `number` 0: they are numbered later."""
        boxes = []
        for place, hop in enumerate(hops):
            row = rows - 1 if place == len(hops) - 1 else place
            y = TOP + HEAD + row * (HOP + GAP)
            boxes.append(self._hop(hop, node.x + INSET + NUMBER + 8.0, y, SIDE - 2 * INSET - NUMBER - 8.0, node.id))
        if number:
            self._numbers(boxes, number)
        return boxes

    def _hop(self, hop: Hop, x: float, y: float, width: float, parent: str = "") -> Box:
        name = hop.machine if hop.kind in ("pod", "router", "switch") else hop.interface
        room = width - 2 * PAD
        head = f"{name}  {hop.address}".rstrip()
        lines = (Line(fitted(head, "mono", room)), Line(fitted(hop.text, "small", room), "small"))
        place = hop.interface if hop.kind != "daemon" else "(flanneld)"
        kind = "pod-waiting" if hop.kind == "pod" and not hop.address else "header" if hop.kind in ("router", "switch") else hop.kind
        ident = self.sheet.name(hop.kind, hop.machine, hop.interface)
        return self.sheet.box(Box(ident, kind, x, y, width, HOP, lines, parent, hop.machine, place, f"{head}: {hop.text}"))

    def _numbers(self, boxes: list[Box], first: int) -> None:
        for number, box in enumerate(boxes, first):
            name = self.sheet.name("step", str(number))
            y = box.middle[1] - NUMBER / 2
            x = box.x - NUMBER - 8.0 if box.parent else box.x - NUMBER / 2 - NUMBER
            self.sheet.box(Box(name, "number", x, y, NUMBER, NUMBER, (Line(str(number), "mono"),), box.parent))

    def _middle(self, hops: list[Hop], y: float, number: int) -> list[Box]:
        """The router or switch below both nodes."""
        width = 330.0
        boxes = [self._hop(hop, (self.width - width) / 2, y + GAP + 6.0, width) for hop in hops]
        self._numbers(boxes, number)
        return boxes

    def _path(self, boxes: list[Box]) -> None:
        for a, b in zip(boxes, boxes[1:], strict=False):
            wrapped = any(hop.wrapped for hop in self.way.hops if (hop.machine, hop.interface) == (a.machine, a.interface.strip("()")))
            kind = "tunnel" if wrapped else "path"
            ax, ay, bx, by = *a.middle, *b.middle
            if not a.parent and b.parent:
                points = [(a.right, ay), (bx, ay), (bx, b.bottom)]
            elif a.parent and not b.parent:
                points = [(ax, a.bottom), (ax, by), (b.x, by)]
            elif a.parent != b.parent:
                points = [(ax, a.bottom), (ax, a.bottom + 30.0), (bx, a.bottom + 30.0), (bx, b.bottom)]
            else:
                points = [(ax, a.bottom), (ax, b.y)] if ay < by else [(ax, a.y), (ax, b.bottom)]
            self.sheet.link(kind, a, b, points, arrow=True)

    def _packets(self, height: float) -> float:
        """What is on the wire, header in header, between the nodes; returns where it ends."""
        x, width = MARGIN + SIDE + 28.0, CENTRE - 56.0
        headers = self.way.headers
        wraps = len(headers) > 2
        y = TOP + height - len(headers) * HEADER - 26.0
        key = "on_the_wire" if wraps else "on_the_wire_plain"
        self.sheet.label(Label(say(key, self.language), x + width / 2, y - 8.0, "small", "middle"))
        for place, (name, text) in enumerate(headers):
            kind = "outer" if place > 1 else "pod"
            lines = (Line(name, "small"), Line(fitted(text, "mono", width - 2 * PAD)))
            self.sheet.box(Box(self.sheet.name("header", str(place)), kind, x, y, width, HEADER, lines))
            y += HEADER
        self.sheet.label(Label(say("pod_mtu", self.language, mtu=self.way.mtu), x + width / 2, y + 16.0, "small", "middle"))
        return y - len(headers) * HEADER - 26.0

    def _leases(self, bottom: float) -> None:
        """Where flanneld knows the way from: etcd's record of who has which subnet."""
        x, width = MARGIN + SIDE + 28.0, CENTRE - 56.0
        leases = [f"{node.subnet or '…'} → {node.address.partition('/')[0]}" for node in self.way.nodes]
        lines = (Line(say("leases_in_etcd", self.language), "small"), *(Line(fitted(text, "mono", width - 2 * PAD)) for text in leases))
        height = 15.0 * len(lines) + 14.0
        if TOP + height + 20.0 < bottom:
            self.sheet.box(Box(self.sheet.name("leases"), "daemon", x, TOP, width, height, lines))

    def _pod_out_of_reach(self, node: Box) -> None:
        pod = self.way.target
        hop = Hop("pod", pod.name, "eth0", pod.ip, say("never_arrives", self.language))
        self._hop(hop, node.x + INSET + NUMBER + 8.0, TOP + HEAD, SIDE - 2 * INSET - NUMBER - 8.0, node.id)


def _parts(hops: Sequence[Hop]) -> tuple[list[Hop], list[Hop], list[Hop]]:
    """The hops on the first node, between the nodes, and on the second, which a lost packet does not reach.

    By the cards, through which a packet leaves the one and enters the other: a pod may be called as a node is.
    """
    cards = [place for place, hop in enumerate(hops) if hop.kind == "card"]
    if not cards:
        return list(hops), [], []
    left, right = cards[0] + 1, cards[1] if len(cards) > 1 else len(hops)
    return list(hops[:left]), list(hops[left:right]), list(hops[right:])
