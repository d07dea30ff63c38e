"""A picture as SVG: one file that needs nothing else, in light and dark, with ids and data attributes for pages that want to animate it. Pure.

Every text is escaped, so a name from a manifest is never markup. Equal pictures give equal text, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lab.model.markup import attribute, text
from lab.observe.drawing.picture import LINE, PAD, SIZES, Box, Label, Line, Link, Picture
from lab.observe.drawing.style import STYLE

RADIUS = {"service": 26.0, "pod": 5.0, "pod-waiting": 5.0, "card": 5.0, "switch": 5.0, "bridge": 4.0}
CENTRED = ("router", "card", "service", "number", "hop")
_CONTAINERS = ("node", "panel", "area")


def render(picture: Picture, prefix: str = "", standalone: bool = True, extra: str = "", style: str = "") -> str:
    """The picture's text.

    prefix       put before every id, so that several pictures fit into one page
    standalone   with its own style; without, the page has to bring `STYLE`
    extra        more markup on top of everything
    style        more style, for a picture that stands alone
    """
    size = f"{_number(picture.width)} {_number(picture.height)}"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="lab-picture" viewBox="0 0 {size}" width="{_number(picture.width)}" '
        f'height="{_number(picture.height)}" role="img" aria-labelledby="{prefix}title {prefix}desc" data-view={attribute(picture.view)}>\n'
        f'<title id="{prefix}title">{text(picture.title)}</title>\n<desc id="{prefix}desc">{text(picture.description)}</desc>\n'
    )
    sheet = f"<style>{STYLE}{style}</style>\n" if standalone else ""
    arrows = sorted({link.kind for link in picture.links if link.arrow})
    marker = f"<defs>{''.join(_marker(kind, prefix) for kind in arrows)}</defs>\n" if arrows else ""
    containers = {box.parent for box in picture.boxes}
    under = [_box(box, prefix, True) for box in picture.boxes if box.id in containers or box.kind in _CONTAINERS]
    over = [_box(box, prefix, False) for box in picture.boxes if box.id not in containers and box.kind not in _CONTAINERS]
    paper = '<rect class="paper" width="100%" height="100%"/>\n' if standalone else ""
    parts = [*under, *(_link(link, prefix) for link in picture.links), *over, *(_label(label) for label in picture.labels)]
    return head + sheet + marker + paper + "".join(parts) + extra + "</svg>\n"


def _marker(kind: str, prefix: str) -> str:
    """An arrow's head in the colour of its kind of link."""
    size = 'viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" markerUnits="userSpaceOnUse" orient="auto"'
    return f'<marker id="{prefix}arrow-{kind}" {size}><path class="head {kind}" d="M0 0 8 4 0 8z"/></marker>'


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _data(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f" data-{name}={attribute(value)}" for name, value in pairs if value)


def _box(box: Box, prefix: str, holds: bool) -> str:
    data = _data((("machine", box.machine), ("interface", box.interface)))
    radius = RADIUS.get(box.kind, 7.0)
    place = f'x="{_number(box.x)}" y="{_number(box.y)}" width="{_number(box.width)}" height="{_number(box.height)}" rx="{_number(radius)}"'
    tip = f"<title>{text(box.tip)}</title>" if box.tip else ""
    return f'<g id="{prefix}{box.id}" class="box {box.kind}"{data}>{tip}<rect {place}/>{"".join(_lines(box, holds))}</g>\n'


def _lines(box: Box, holds: bool) -> Iterator[str]:
    centred = box.kind in CENTRED and not (box.kind == "card" and box.parent)
    x = box.middle[0] if centred else box.x + PAD + (3.0 if holds else 0.0)
    height = sum(_advance(line) for line in box.lines)
    y = box.y + 7.0 if holds else box.y + (box.height - height) / 2
    for line in box.lines:
        y += _advance(line)
        anchor = ' text-anchor="middle"' if centred else ""
        yield f'<text class="{line.style}" x="{_number(x)}" y="{_number(y - 4.0)}"{anchor}>{text(line.text)}</text>'


def _advance(line: Line) -> float:
    return LINE if SIZES[line.style] <= 11 else LINE + 2


def _link(link: Link, prefix: str) -> str:
    points = " ".join(f"{_number(x)},{_number(y)}" for x, y in link.points)
    tip = f"<title>{text(link.tip)}</title>" if link.tip else ""
    arrow = f' marker-end="url(#{prefix}arrow-{link.kind})"' if link.arrow else ""
    data = _data((("link", link.id), ("a", link.a), ("b", link.b)))
    return f'<polyline id="{prefix}{link.id}" class="link {link.kind}" points="{points}"{arrow}{data}>{tip}</polyline>\n'


def _label(label: Label) -> str:
    if label.kind.startswith("key-"):
        x, y = label.x, label.y
        return f'<polyline class="link {label.kind[4:]}" points="{_number(x)},{_number(y)} {_number(x + 28)},{_number(y)}"/>\n'
    anchor = f' text-anchor="{label.anchor}"' if label.anchor != "start" else ""
    return f'<text class="{label.style} {label.kind}" x="{_number(label.x)}" y="{_number(label.y)}"{anchor}>{text(label.text)}</text>\n'
