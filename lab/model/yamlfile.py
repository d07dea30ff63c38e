"""YAML that a person wrote -> plain data in which every part still knows its line. Pure but for `read_text`.

PyYAML turns the text into events; this module builds the tree itself, because it has to do what PyYAML's own loaders do not:
remember lines, refuse duplicate keys, and bound the size, the depth and what aliases multiply. Plain words become null, booleans
and numbers as go-yaml reads them for Kubernetes: dates and base-60 numbers stay text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from lab.errors import InputError, Problem, UsageError

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_PARTS = 200_000
"""Parts of one file, counting those behind an alias every time it stands in the file."""

Path = tuple[str | int, ...]
"""Where a part is: the keys and indexes that lead to it."""

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_NULL = re.compile(r"(?:~|null|Null|NULL)?\Z")
_TRUE = re.compile(r"(?:true|True|TRUE|yes|Yes|YES|on|On|ON)\Z")
_FALSE = re.compile(r"(?:false|False|FALSE|no|No|NO|off|Off|OFF)\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30}|0x[0-9a-fA-F]{1,16}|0o?[0-7]{1,20})\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")


@dataclass
class Part:
    """A node of the tree.

    line      1-based, where it begins
    value     a scalar, a list of parts, or a dict from key to part
    keys      for a dict: the line of each key
    size      how many parts it is made of, itself included
    depth     how many levels it has, itself included
    """

    line: int
    value: Any
    keys: dict[str, int] = field(default_factory=dict)
    size: int = 1
    depth: int = 1

    def grow(self, child: Part) -> None:
        """Count a part that this one now holds."""
        self.size += child.size
        self.depth = max(self.depth, child.depth + 1)

    def plain(self) -> Any:
        """The same as ordinary Python data."""
        if isinstance(self.value, dict):
            return {key: part.plain() for key, part in self.value.items()}
        if isinstance(self.value, list):
            return [part.plain() for part in self.value]
        return self.value

    def line_of(self, path: Sequence[str | int]) -> int:
        """The line of the part at `path`: its key's line, or its own in a list; for a missing part the line of what lacks it."""
        line, part = self.line, self
        for step in path:
            if isinstance(part.value, dict) and step in part.value:
                line, part = part.keys[str(step)], part.value[step]
            elif isinstance(part.value, list) and isinstance(step, int) and step < len(part.value):
                part = part.value[step]
                line = part.line
            else:
                break
        return line


def dotted(path: Sequence[str | int]) -> str:
    """A path as people read it: nodes[1].gateway."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_text(path: FilePath, file: str) -> str:
    """The text of a file, cut behind MAX_BYTES. Raises UsageError when it cannot be read, InputError when it is no text."""
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{file}: cannot read it: {error.strerror}") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(raw) > MAX_BYTES:
            return raw.decode("utf-8", "replace")
        line = raw[: error.start].count(b"\n") + 1
        raise InputError([Problem(file, line, "", "is not UTF-8 text; save it as UTF-8")]) from error


def load_documents(text: str, file: str) -> tuple[Part, ...]:
    """Every YAML document of `text` as a tree; empty documents are left out.

    Raises InputError: a syntax error (only the first, the rest of the text makes no sense after it) or all duplicate keys.
    """
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise InputError([Problem(file, 0, "", f"is larger than {MAX_BYTES >> 20} MiB; split it into several files")])
    builder = _Builder(file)
    try:
        events = iter(yaml.parse(text, Loader=_PARSER))
        documents = tuple(builder.documents(events))
    except _Stop as error:
        raise InputError([*builder.problems, Problem(file, error.line, "", error.text)]) from error
    except yaml.MarkedYAMLError as error:
        raise InputError([*builder.problems, _syntax_problem(error, file)]) from error
    except yaml.reader.ReaderError as error:
        where = error.position if isinstance(error.position, int) else 0
        line = text.encode("utf-8", "replace")[:where].count(b"\n") + 1
        raise InputError([Problem(file, line, "", "has a character that YAML does not allow; remove it")]) from error
    except (yaml.YAMLError, UnicodeError, ValueError) as error:
        raise InputError([Problem(file, 0, "", f"cannot be read as YAML: {error}")]) from error
    if builder.problems:
        raise InputError(builder.problems)
    return tuple(part for part in documents if part.value is not None)


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 0
    said = ", ".join(text for text in (error.context, error.problem) if text)
    advice = "; indent with spaces, not tabs" if "cannot start any token" in said else ""
    return Problem(file, line, "", f"is not YAML: {said}{advice}")


class _Stop(yaml.YAMLError):
    """YAML, but not for us; ends the reading like a syntax error. `text`: the end of a sentence that the file begins."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def _stop(text: str, event: Any) -> _Stop:
    return _Stop(event.start_mark.line + 1, text)


def _unfit_tag(event: Any) -> _Stop:
    return _stop(f"has the tag {event.tag.replace(_CORE, '!!')}, which does not fit here; leave it out", event)


class _Builder:
    """Builds trees from parser events; collects duplicate keys in `problems`."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self.anchors: dict[str, Part | None] = {}
        self.parts = 0

    def documents(self, events: Iterator[Any]) -> Iterator[Part]:
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.anchors = {}
                yield self.part(next(events), events, ())

    def part(self, event: Any, events: Iterator[Any], path: Path) -> Part:
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        self.check_depth(len(path) + 1, event)
        if event.anchor:
            self.anchors[event.anchor] = None
        part = Part(event.start_mark.line + 1, None)
        self.count(1, event)
        if isinstance(event, yaml.ScalarEvent):
            part.value = self.scalar(event)
        elif event.tag not in (None, "!", f"{_CORE}seq", f"{_CORE}map"):
            raise _unfit_tag(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self.sequence(part, events, path)
        else:
            self.mapping(part, events, path)
        if event.anchor:
            self.anchors[event.anchor] = part
        return part

    def count(self, parts: int, event: Any) -> None:
        self.parts += parts
        if self.parts > MAX_PARTS:
            raise _stop(f"has more than {MAX_PARTS} parts, aliases counted in full; use fewer", event)

    def check_depth(self, depth: int, event: Any) -> None:
        if depth > MAX_DEPTH:
            raise _stop(f"is nested more than {MAX_DEPTH} levels deep; flatten it", event)

    def alias(self, event: Any, path: Path) -> Part:
        part = self.anchors.get(event.anchor)
        if part is None:
            raise _stop(f"uses the alias *{event.anchor} before its &{event.anchor} is complete; move it", event)
        self.count(part.size, event)
        self.check_depth(len(path) + part.depth, event)
        return Part(event.start_mark.line + 1, part.value, part.keys, part.size, part.depth)

    def sequence(self, part: Part, events: Iterator[Any], path: Path) -> None:
        part.value = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            item = self.part(event, events, (*path, len(part.value)))
            part.value.append(item)
            part.grow(item)

    def mapping(self, part: Part, events: Iterator[Any], path: Path) -> None:
        part.value = {}
        merged: list[Part] = []
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key, line = self.key(event), event.start_mark.line + 1
            item = self.part(next(events), events, (*path, key))
            part.grow(item)
            if key == "<<" and event.implicit[0]:
                merged += item.value if isinstance(item.value, list) else [item]
            elif key in part.value:
                text = f"stands here a second time, first in line {part.keys[key]}; keep one of them"
                self.problems.append(Problem(self.file, line, dotted((*path, key)), text))
            else:
                part.value[key], part.keys[key] = item, line
        for source in merged:
            self.merge(part, source)

    def merge(self, part: Part, source: Part) -> None:
        """YAML 1.1's `<<`: keys of another mapping, where this one does not have them itself."""
        if not isinstance(source.value, dict):
            raise _Stop(source.line, "merges with `<<` what is no mapping; name a mapping's alias")
        for key, item in source.value.items():
            if key not in part.value:
                part.value[key], part.keys[key] = item, source.keys[key]

    def key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise _stop("has a key that is no plain word; use text", event)
        return str(event.value)

    def scalar(self, event: Any) -> Any:
        text = str(event.value)
        tag = event.tag
        if tag in (None, "!"):
            return resolve(text) if event.implicit[0] and tag is None else text
        kinds = {"str": (str,), "int": (int,), "float": (int, float), "bool": (bool,), "null": (type(None),)}
        wanted = kinds.get(tag.removeprefix(_CORE)) if tag.startswith(_CORE) else None
        value = text if wanted == (str,) else resolve(text)
        if wanted is None or type(value) not in wanted:
            raise _unfit_tag(event)
        return value


def resolve(text: str) -> Any:
    """What a plain, unquoted word means: None, a boolean, a number, or the text itself."""
    if _NULL.match(text):
        return None
    if _TRUE.match(text):
        return True
    if _FALSE.match(text):
        return False
    if _INT.match(text):
        digits = text.lstrip("+-")
        octal = len(digits) > 1 and digits[0] == "0" and digits[1] != "x"
        number = int(digits.replace("o", ""), 8) if octal else int(digits, 0)
        return -number if text.startswith("-") else number
    return float(text) if _FLOAT.match(text) else text
