"""Where a journey stops in a picture, and by which lines it gets from one stop to the next. Pure.

A journey is data as `lab trace --format json` prints it: legs of hops, each at an interface of a machine with the packet's layers. Keys that
are not known are passed over, so that newer journeys can be drawn as well.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.observe.drawing.picture import Box, Picture, Point
from lab.observe.graph import Graph


@dataclass(frozen=True)
class Stop:
    """A hop in the picture.

    leg      there, back or error
    layers   the packet's layers as text, from the outside in
    changes  `dnat A → B` and the like; `rules`: the chains of the rules that it met
    point    where; `way`: the points that lead there from the stop before, both ends included
    """

    leg: str
    machine: str
    interface: str
    direction: str
    microseconds: float
    layers: tuple[str, ...]
    changes: tuple[str, ...]
    rules: tuple[str, ...]
    point: Point
    way: tuple[Point, ...]

    @property
    def wrapped(self) -> bool:
        """Whether the packet is inside of another one here."""
        return len(self.layers) > 1


def stops(graph: Graph, picture: Picture, journey: Mapping[str, Any]) -> tuple[Stop, ...]:
    """The stops of a journey, bridge ports and sockets left out; a hop that the picture has no place for stays where the one before was."""
    found: list[Stop] = []
    before: tuple[Box, Point] | None = None
    for leg, hop in _hops(journey):
        place = _place(graph, picture, str(hop["machine"]), str(hop.get("interface", ""))) or before
        if place is None:
            continue
        layers = tuple(str(layer["text"]) for layer in hop.get("layers", ()))
        wraps = len(layers) > 1 or bool(found and found[-1].wrapped)
        way = (place[1],) if before is None else _way(picture, before, place, wraps)
        found.append(_stop(leg, hop, layers, place[1], way))
        before = place
    return tuple(found)


def _hops(journey: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for leg in journey.get("legs", ()):
        for hop in leg["hops"]:
            if not hop.get("minor") and hop.get("layers"):
                yield str(leg["kind"]), hop


def _stop(leg: str, hop: Mapping[str, Any], layers: tuple[str, ...], point: Point, way: tuple[Point, ...]) -> Stop:
    changes = tuple(f"{one['kind']} {one['before']} → {one['after']}".strip() for one in hop.get("changes", ()))
    chains = tuple(dict.fromkeys(str(rule["chain"]) for rule in hop.get("rules", ()) if rule.get("rule")))
    words = str(hop["machine"]), str(hop.get("interface", "")), str(hop.get("direction", ""))
    return Stop(leg, *words, float(hop.get("microseconds", 0.0)), layers, changes, chains, point, way)


def _place(graph: Graph, picture: Picture, machine: str, interface: str) -> tuple[Box, Point] | None:
    """The box and the point of an interface: its own, for the node's end of a pod's wire a point on the wire, else the machine's."""
    for pod in graph.pods:
        if pod.node == machine and pod.veth == interface:
            box = picture.box_at(pod.name, "eth0")
            return (box, (box.x - 5.0, box.middle[1])) if box else None
    found = picture.box_at(machine, interface) or picture.box_at(machine, "eth0")
    return (found, found.middle) if found else None


def _way(picture: Picture, begin: tuple[Box, Point], end: tuple[Box, Point], wraps: bool) -> tuple[Point, ...]:
    """Along the links of the picture where they join the two boxes, else straight; within a box, along its middle."""
    (a, start), (b, stop) = begin, end
    if a.id == b.id:
        return (start, stop)
    boxes = {box.id: box for box in picture.boxes}
    points, inside = [start], a
    for name, link in _along(picture, a.id, b.id, wraps) or ():
        points += [*_across(inside, points[-1], link[0]), *link]
        inside = boxes[name]
    across = _across(inside, points[-1], stop) if inside.id == b.id else ()
    return tuple(_without_repeats([*points, *across, stop]))


def _across(box: Box, begin: Point, end: Point) -> tuple[Point, Point]:
    """The two corners of a way through a box, from one point of it to another."""
    middle = box.middle[1]
    return (begin[0], middle), (end[0], middle)


def _along(picture: Picture, begin: str, end: str, wraps: bool) -> list[tuple[str, Sequence[Point]]] | None:
    """The cheapest way between two boxes (Dijkstra), as links: the box that each leads to, and its points.

    A wrapped packet prefers the tunnel's links, others avoid them.
    """
    costs = {"wire": 1.0, "local": 1.0, "tunnel": 0.4 if wraps else 4.0, "path": 1.0}
    edges: dict[str, list[tuple[str, float, Sequence[Point]]]] = {}
    for link in picture.links:
        if link.kind in costs:
            edges.setdefault(link.a, []).append((link.b, costs[link.kind], link.points))
            edges.setdefault(link.b, []).append((link.a, costs[link.kind], link.points[::-1]))
    queue: list[tuple[float, int, str, list[tuple[str, Sequence[Point]]]]] = [(0.0, 0, begin, [])]
    seen: set[str] = set()
    number = 0
    while queue:
        cost, _, name, ways = heapq.heappop(queue)
        if name == end:
            return ways
        if name in seen:
            continue
        seen.add(name)
        for other, more, points in edges.get(name, ()):
            number += 1
            heapq.heappush(queue, (cost + more, number, other, [*ways, (other, points)]))
    return None


def _without_repeats(points: Sequence[Point]) -> list[Point]:
    return [point for number, point in enumerate(points) if number == 0 or point != points[number - 1]]
