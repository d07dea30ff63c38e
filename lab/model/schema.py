"""What a YAML file may declare, said once, in the dataclass that holds it: every field names the reader of its value. Pure.

    @dataclass(frozen=True, kw_only=True)
    class Machine(Declared):
        name: str = key(TEXT)
        gateway: IPv4Address | None = key(ADDRESS, None)

`read` turns a part of a file into such an object and collects every problem on its way. Keys are written in camelCase, as in Kubernetes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, TypeVar

from lab.model.names import did_you_mean, one_of, shown
from lab.model.yamlfile import Part, Path


@dataclass(frozen=True, kw_only=True)
class Declared:
    """Base of everything that stands in a YAML file. `given`: the fields that the file itself sets, the others have their defaults.

    A scenario's script may build one, too, and give addresses as text, as a file does: Wrong is raised for a text that is none.
    """

    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False)

    def __post_init__(self) -> None:
        for one in fields(self):
            reader, value = one.metadata.get("read"), getattr(self, one.name)
            if isinstance(reader, _Ip) and isinstance(value, str):
                object.__setattr__(self, one.name, reader.of(value))


@dataclass(frozen=True)
class Found:
    """A problem: where, what, and whether it is a key that nothing reads, without which the rest means what it meant."""

    path: Path
    text: str
    unknown_key: bool = False


class Wrong(ValueError):
    """A value that its reader refuses; the text says what is wrong and what to do."""


Note = Callable[[Found], None]
Reader = Callable[[Part, Path, Note], Any]
"""Takes a part of the file and where it stands; notes what is wrong below it, or raises Wrong."""

_Kind = TypeVar("_Kind", bound=Declared)


def key(read: Reader, default: Any = MISSING, name: str = "") -> Any:
    """A field that a file sets. `default`: with MISSING the key is required, with None it may stand empty; `name`: where it is not the camelCase."""
    return field(default=default, metadata={"read": read, "key": name})


def key_of(one: Field[Any]) -> str:
    """A field's name as the file spells it."""
    return one.metadata["key"] or re.sub("_(.)", lambda match: match[1].upper(), one.name)


def keys(kind: type[Declared]) -> dict[str, Field[Any]]:
    """The keys that a file may set, with their fields, in the order of the class."""
    return {key_of(one): one for one in fields(kind) if one.metadata}


def read(kind: type[_Kind], part: Part, path: Path, note: Note) -> _Kind | None:
    """What `part` declares. What is wrong is noted and its field has its default; None when one without a default is wrong or missing."""
    if not isinstance(part.value, dict):
        note(Found(path, _is(part.plain(), "hold keys of its own, indented below it")))
        return None
    known = keys(kind)
    values: dict[str, Any] = {}
    for name, one in known.items():
        values |= _value(one, part.value.get(name), (*path, name), note)
    for name in part.value:
        if name not in known:
            text = f"unknown key{did_you_mean(name, known)}; known here: {', '.join(known)}"
            note(Found((*path, name), text, unknown_key=True))
    if any(one.default is MISSING and one.name not in values for one in known.values()):
        return None
    return kind(**values, given=frozenset(one.name for name, one in known.items() if name in part.value))


def _value(one: Field[Any], part: Part | None, path: Path, note: Note) -> dict[str, Any]:
    """The field's name and value, or nothing where it has no right one."""
    if part is None:
        if one.default is MISSING:
            note(Found(path, "is missing; add it"))
        return {}
    if part.value is None and one.default is None:
        return {}
    try:
        value = one.metadata["read"](part, path, note)
    except Wrong as wrong:
        note(Found(path, str(wrong)))
        return {}
    return {} if value is None else {one.name: value}


def below(kind: type[Declared]) -> Reader:
    """Keys of its own."""
    return lambda part, path, note: read(kind, part, path, note)


def several(kind: type[Declared]) -> Reader:
    """A list of parts of one kind."""

    def reader(part: Part, path: Path, note: Note) -> Any:
        if not isinstance(part.value, list):
            raise Wrong(_is(part.plain(), "be a list, its items beginning with `- `"))
        items = tuple(read(kind, item, (*path, index), note) for index, item in enumerate(part.value))
        return None if None in items else items

    return reader


def _plain(judge: Callable[[Any], Any]) -> Reader:
    return lambda part, path, note: judge(part.plain())


def _must(kind: type, what: str) -> Reader:
    def judge(value: Any) -> Any:
        if type(value) is not kind:  # a bool is an int, too
            raise Wrong(_is(value, f"be {what}"))
        return value

    return _plain(judge)


TEXT = _must(str, "text, in quotes if YAML takes it for something else")
SWITCH = _must(bool, "true or false")


def whole(low: int, high: int) -> Reader:
    """A whole number from `low` to `high`."""
    number = _must(int, "a whole number, without quotes")

    def reader(part: Part, path: Path, note: Note) -> int:
        value: int = number(part, path, note)
        if not low <= value <= high:
            raise Wrong(_is(value, f"be at least {low}" if value < low else f"be at most {high}"))
        return value

    return reader


def choice(words: Sequence[str]) -> Reader:
    """One of a few words."""

    def judge(value: Any) -> str:
        if value not in words:
            raise Wrong(f"cannot be `{shown(value)}`{did_you_mean(str(value), words)}; use {one_of(words)}")
        return str(value)

    return _plain(judge)


class _Ip:
    """Reads an address, or a network, from text only: the ipaddress classes would also take a bare number."""

    def __init__(self, kind: Callable[[str], Any], what: str) -> None:
        self._kind, self._what = kind, what

    def __call__(self, part: Part, path: Path, note: Note) -> Any:
        return self.of(part.plain())

    def of(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise Wrong(f"must be {self._what}, in quotes if YAML takes it for a number")
        try:
            if self._kind is not IPv4Address and "/" not in value:
                raise ValueError("ipaddress would take it for a /32")
            return self._kind(value)
        except ValueError:
            raise Wrong(f"`{shown(value)}` is not {self._what}{self._hint(value)}") from None

    def _hint(self, value: str) -> str:
        if self._kind is not IPv4Network or "/" not in value:
            return ""
        try:
            return f"; did you mean {IPv4Network(value, strict=False)}?"
        except ValueError:
            return ""


ADDRESS = _Ip(IPv4Address, "an IPv4 address such as 10.229.52.1")
INTERFACE = _Ip(IPv4Interface, "an IPv4 address with its prefix length, such as 10.229.53.146/23")
NETWORK = _Ip(IPv4Network, "an IPv4 network such as 10.244.0.0/16")


def _is(value: Any, must: str) -> str:
    return f"is {shown(value)}; it must {must}"
