"""The compact picture of a large cluster: each node a small cell, each segment with several nodes a panel around them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.observe import graph as model
from lab.observe.drawing.frame import MARGIN, Frame, finished
from lab.observe.drawing.picture import PAD, Box, Label, Line, Picture, Sheet, fitted
from lab.observe.drawing.words import Language, count, say

CELL, TALL, SPACE = 168.0, 54.0, 10.0
ACROSS = 7
HEAD = 26.0
TOP = 64.0
MOST_SERVICES = 30


def picture(graph: model.Graph, language: Language = "en") -> Picture:
    """The cluster; of many services only the first are shown."""
    sheet = Sheet()
    within = {node.segment for node in graph.nodes}
    shown = replace(graph, services=graph.services[:MOST_SERVICES])
    frame = Frame(shown, sheet, language)
    outside = [one for one in graph.clients if one.segment not in within]
    center, width = frame.placed(ACROSS * (CELL + SPACE) + 3 * SPACE + 2 * MARGIN, outside)
    y = frame.band(outside, center, MARGIN, TOP, width - MARGIN) + 36.0
    alone = [one for one in graph.machines if one.segment in within and not graph.segment(one).switch]
    trunk = (frame.router.middle[0] if frame.router else 0.0, y - 24.0)
    for segment in graph.segments:
        members = [one for one in graph.machines if one.segment == segment.number and segment.switch and segment.number in within]
        if members:
            title = f"{segment.switch}  {segment.network}"
            y = _panel(graph, frame, language, _Panel(title, segment.switch, segment.gateway, members), trunk, y)
    if alone:
        y = _panel(graph, frame, language, _Panel(say("wired", language), "", "", alone), trunk, y)
    y = frame.services(MARGIN, y, width - MARGIN)
    if len(graph.services) > MOST_SERVICES:
        sheet.label(Label(say("more", language, n=len(graph.services) - MOST_SERVICES), MARGIN, y + 12.0, "small"))
        y += 18.0
    return finished(graph, language, "cluster", sheet, width, y + MARGIN)


class _Panel:
    """What one panel holds; `gateway`: the router's address on it."""

    def __init__(self, title: str, switch: str, gateway: str, members: Sequence[model.Machine]) -> None:
        self.title, self.switch, self.gateway, self.members = title, switch, gateway, members


def _panel(graph: model.Graph, frame: Frame, language: Language, panel: _Panel, trunk: tuple[float, float], y: float) -> float:
    """One panel with its cells, wired to the router; returns where the next one begins."""
    sheet, rows = frame.sheet, -(-len(panel.members) // ACROSS)
    height = HEAD + rows * (TALL + SPACE) + SPACE
    width = ACROSS * (CELL + SPACE) + SPACE
    name = sheet.name("panel", panel.switch or "router")
    box = sheet.box(Box(name, "panel", MARGIN, y, width, height, (Line(panel.title, "word"),), machine=panel.switch))
    for place, machine in enumerate(panel.members):
        x = box.x + SPACE + place % ACROSS * (CELL + SPACE)
        _cell(graph, sheet, language, machine, x, box.y + HEAD + place // ACROSS * (TALL + SPACE), box.id)
    if frame.router is not None and (panel.gateway or not panel.switch):
        (x, around), side, middle = trunk, MARGIN / 2, box.y + HEAD / 2
        sheet.link("wire", frame.router, box, [(x, frame.router.bottom), (x, around), (side, around), (side, middle), (box.x, middle)])
        if panel.gateway:
            sheet.label(Label(panel.gateway, box.right - PAD, middle + 4.0, "mono", "end"))
    return y + height + 20.0


def _cell(graph: model.Graph, sheet: Sheet, language: Language, machine: model.Machine, x: float, y: float, parent: str) -> None:
    room = CELL - 2 * PAD
    words = [machine.address]
    if machine.kind == "node":
        pods = count("pods", len(graph.pods_on(machine.name)), language)
        words.append(f"{machine.subnet}  {pods}" if machine.subnet else pods)
    else:
        words.append(say("outside", language))
    lines = (Line(fitted(machine.name, "name", room), "name"), *(Line(fitted(word, "small", room), "small") for word in words))
    kind = "cell-master" if machine.role == "master" else "cell" if machine.kind == "node" else "client"
    name = sheet.name(machine.kind, machine.name)
    sheet.box(Box(name, kind, x, y, CELL, TALL, lines, parent, machine.name, machine.interface, " ".join([machine.name, *words])))
