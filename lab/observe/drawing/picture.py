"""A picture as data: boxes, links and labels with their places. Layouts make it, writers put it down; neither knows the other. Pure.

Coordinates are CSS pixels from the top left corner. Widths of text are estimates, on the safe side, of the fonts that the writers ask for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from lab.model.columns import width as columns

LINE = 15.0
"""From one line of text in a box to the next."""
PAD = 9.0
"""Between a box's edge and its text."""
SIZES = {"name": 13.0, "mono": 11.0, "word": 11.0, "small": 10.0, "title": 18.0}
"""Font size of a style of text. `mono` is for what machines print, `name` is bold, the rest is prose."""
_WIDE = {"name": 0.63, "mono": 0.605, "word": 0.52, "small": 0.53, "title": 0.69}
"""Average width of a character in units of the font's size; a Chinese one counts as two."""

Style = Literal["name", "mono", "word", "small", "title"]
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of text in a box."""

    text: str
    style: Style = "mono"


@dataclass(frozen=True)
class Box:
    """A rectangle with text in it.

    id       unique in its picture; letters, digits, dots, dashes, underscores
    kind     what it stands for: node, pod, device …; writers choose colours by it
    lines    from the top; centred vertically unless the box holds other boxes
    parent   id of the box that it lies in, empty for none
    machine, interface   the place in the lab that it stands for, if any
    tip      what a reader gets to know who stays on it
    """

    id: str
    kind: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[Line, ...] = ()
    parent: str = ""
    machine: str = ""
    interface: str = ""
    tip: str = ""

    @property
    def right(self) -> float:
        """x of the right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """y of the lower edge."""
        return self.y + self.height

    @property
    def middle(self) -> Point:
        """The centre."""
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Link:
    """A line from box `a` to box `b`, by way of points.

    kind    wire: a veth pair; local: inside a machine's kernel; tunnel: the way of wrapped packets; control: daemons that talk or write;
            service: exists in rules only; path: the way of a packet
    arrow   whether it points at b
    """

    id: str
    kind: str
    a: str
    b: str
    points: tuple[Point, ...]
    arrow: bool = False
    tip: str = ""


@dataclass(frozen=True)
class Label:
    """Text beside things. `x` is its beginning, middle or end, as `anchor` says; y the line that it stands on."""

    text: str
    x: float
    y: float
    style: Style = "word"
    anchor: Literal["start", "middle", "end"] = "start"
    kind: str = "muted"


@dataclass(frozen=True)
class Picture:
    """The whole. `title` and `description` are for those who do not see it."""

    view: str
    title: str
    description: str
    width: float
    height: float
    boxes: tuple[Box, ...]
    links: tuple[Link, ...] = ()
    labels: tuple[Label, ...] = ()

    def box_at(self, machine: str, interface: str) -> Box | None:
        """The box that stands for an interface, else for its machine; None when the picture shows neither."""
        places = {(box.machine, box.interface): box for box in self.boxes if box.machine}
        return places.get((machine, interface)) or places.get((machine, ""))


@dataclass
class Sheet:
    """A picture that is being laid out."""

    boxes: list[Box] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)

    def name(self, *words: str) -> str:
        """An id made of words, not yet used: what an id cannot hold is left out, and a number tells twins apart."""
        base = "-".join(re.sub(r"[^A-Za-z0-9_.]+", "-", word) for word in words if word) or "x"
        name, number = base, 1
        while name in self._ids:
            number += 1
            name = f"{base}--{number}"
        self._ids.add(name)
        return name

    def box(self, box: Box) -> Box:
        """Put a box down."""
        self.boxes.append(box)
        return box

    def link(self, kind: str, a: Box, b: Box, points: Iterable[Point], arrow: bool = False, tip: str = "") -> None:
        """Put a link down."""
        self.links.append(Link(self.name("link", a.id, b.id), kind, a.id, b.id, tuple(points), arrow, tip))

    def label(self, label: Label) -> None:
        """Put a label down."""
        self.labels.append(label)


def text_width(text: str, style: Style) -> float:
    """About how wide the text will be."""
    return columns(text) * _WIDE[style] * SIZES[style]


def fitted(text: str, style: Style, room: float) -> str:
    """The text, with its middle left out where it is wider than the room: a name's beginning and end tell most."""
    if text_width(text, style) <= room:
        return text
    keep = max(4, int(room / (_WIDE[style] * SIZES[style])) - 1)
    while keep > 4 and text_width(text[: keep - keep * 2 // 5] + "…" + text[len(text) - keep * 2 // 5 :], style) > room:
        keep -= 1
    tail = keep * 2 // 5
    return f"{text[: keep - tail]}…{text[len(text) - tail :]}"


def filled(words: Iterable[str], style: Style, room: float, comma: str = ", ") -> list[str]:
    """Words in as few lines as they need, each no wider than the room if its words allow."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}{comma}{word}" if lines else word
        if lines and text_width(longer, style) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def block_width(lines: Iterable[Line]) -> float:
    """The width of a box that holds these lines."""
    return max((text_width(line.text, line.style) for line in lines), default=0.0) + 2 * PAD
