"""A picture as DOT, for Graphviz and the tools that read it: boxes within boxes become clusters, places are left to Graphviz. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.model.markup import FORBIDDEN
from lab.observe.drawing.picture import Box, Picture

STYLES = {"control": "dotted", "service": "dashed"}


def render(picture: Picture) -> str:
    """The picture's text, ended by a line end."""
    inner: dict[str, list[Box]] = {}
    for box in picture.boxes:
        if box.kind != "number":
            inner.setdefault(box.parent, []).append(box)
    lines = [f"graph {_quoted(picture.view)} {{", f"  label={_quoted(picture.title)};", "  labelloc=t; compound=true; rankdir=TB;"]
    lines += ['  node [shape=box, style=rounded, fontname="monospace", fontsize=10];', '  fontname="sans-serif";']
    for box in inner.get("", ()):
        lines += _box(box, inner, "  ")
    holders = {name for name in inner if name}
    for link in picture.links:
        a, b = (_stand_in(name, inner) if name in holders else name for name in (link.a, link.b))
        style = [f"style={STYLES[link.kind]}"] if link.kind in STYLES else []
        ends = [*style, *(["dir=forward"] if link.arrow else []), f"class={_quoted(link.kind)}"]
        lines.append(f"  {_quoted(a)} -- {_quoted(b)} [{', '.join(ends)}];")
    return "\n".join([*lines, "}", ""])


def _box(box: Box, inner: dict[str, list[Box]], margin: str) -> Iterator[str]:
    label = "\\n".join(_escaped(line.text) for line in box.lines)
    if box.id not in inner:
        dashed = ', style="rounded,dashed"' if box.kind in ("service", "waiting", "pod-waiting", "idle") else ""
        yield f'{margin}{_quoted(box.id)} [label="{label}"{dashed}, class={_quoted(box.kind)}];'
        return
    yield f"{margin}subgraph {_quoted(f'cluster {box.id}')} {{"
    yield f'{margin}  label="{label}";'
    for one in inner[box.id]:
        yield from _box(one, inner, f"{margin}  ")
    yield f"{margin}}}"


def _stand_in(name: str, inner: dict[str, list[Box]]) -> str:
    """A link ends at a node, never at a cluster: the first one in it."""
    while name in inner:
        name = inner[name][0].id
    return name


def _escaped(text: str) -> str:
    return FORBIDDEN.sub("\ufffd", text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'
