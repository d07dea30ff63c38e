"""Reads one mapping of a YAML file field by field: what it should be comes out, what it is instead becomes a problem. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from lab.errors import Problem
from lab.model import yamlfile
from lab.model.apifields import TYPES, fields_of
from lab.model.names import did_you_mean, label_pair_trouble, one_of, shown
from lab.model.yamlfile import Part, Path

_T = TypeVar("_T")

MOST_LISTED = 12
"""Keys that a message lists."""

Trouble = Callable[[str], str]
"""Judges a text: the end of a sentence that says what is wrong with it, or nothing."""


class Fields:
    """The keys of one mapping. Every reader returns the default for a missing or wrong value and notes the problem.

    root       the whole document, for line numbers
    problems   shared by all readers of a file
    """

    def __init__(self, part: Part, path: Path, root: Part, file: str, problems: list[Problem]) -> None:
        self.part, self.path, self.root, self.file, self.problems = part, path, root, file, problems
        self.known: list[str] = []

    def wrong(self, text: str, *steps: str | int) -> None:
        """Note a problem with the part at `steps` below this one."""
        self._note((*self.path, *steps), text)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value. An empty value is an absent one, as in Kubernetes."""
        self._know(key)
        return key in self.part.value and self.part.value[key].value is not None

    def get(self, key: str) -> Any:
        """The plain value, None when absent."""
        return self.part.value[key].plain() if self.has(key) else None

    def text(self, key: str, default: str = "", required: bool = False, trouble: Trouble | None = None) -> str:
        """A text, judged by `trouble`."""
        value = self.get(key)
        if value is None:
            if required:
                self.wrong("is missing; add it", key)
            return default
        if not isinstance(value, str):
            self.wrong(f"is {shown(value)}; it must be text{'' if isinstance(value, (dict, list)) else ', in quotes'}", key)
            return default
        if trouble and (said := trouble(value)):
            self.wrong(said, key)
            return default
        return value

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """One of a few words."""
        value = self.get(key)
        if value is None or value in choices:
            return default if value is None else str(value)
        self.wrong(f"cannot be `{shown(value)}`{did_you_mean(str(value), choices)}; use {one_of(choices)}", key)
        return default

    def number(self, key: str, low: int, high: int, default: int = 0, required: bool = False) -> int:
        """A whole number from `low` to `high`."""
        value = self.get(key)
        if value is None:
            if required:
                self.wrong("is missing; add it", key)
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(f"is {shown(value)}; it must be a whole number, without quotes", key)
            return default
        if not low <= value <= high:
            self.wrong(f"is {value}; it must be between {low} and {high}", key)
            return default
        return value

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            self.wrong(f"is {shown(value)}; it must be true or false", key)
        return value is True

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        return self._items(key, lambda item: item if isinstance(item, str) else None, "text; put it in quotes")

    def addresses(self, key: str) -> tuple[IPv4Address, ...]:
        """A list of IPv4 addresses."""
        return self._items(key, address, "an IPv4 address")

    def networks(self, key: str) -> tuple[IPv4Network, ...]:
        """A list of IPv4 networks, 203.0.113.0/24."""
        return self._items(key, network, "an IPv4 network such as 203.0.113.0/24")

    def labels(self, key: str) -> tuple[tuple[str, str], ...]:
        """A mapping of label keys to values, sorted by key."""
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, dict):
            self.wrong(f"is {shown(value)}; it must hold keys and values, such as `app: nginx`", key)
            return ()
        for name, label in value.items():
            if not isinstance(label, str):
                self.wrong(f"is {shown(label)}; a label's value is text, put it in quotes", key, name)
            elif trouble := label_pair_trouble(name, label):
                self.wrong(trouble, key, name)
        return tuple(sorted((name, label) for name, label in value.items() if isinstance(label, str)))

    def child(self, key: str, required: bool = False) -> Fields | None:
        """A mapping of its own; None when it is absent or something else."""
        if not self.has(key):
            if required:
                self.wrong("is missing; add it", key)
            return None
        return self._below(self.part.value[key], key)

    def children(self, key: str) -> list[Fields]:
        """A list of mappings; those that are something else are left out."""
        if not self.has(key):
            return []
        part = self.part.value[key]
        if not isinstance(part.value, list):
            self.wrong(f"is {shown(part.plain())}; it must be a list, its items beginning with `- `", key)
            return []
        found = [self._below(item, key, index) for index, item in enumerate(part.value)]
        return [one for one in found if one]

    def finish(self, ignored: Iterable[str] = ()) -> None:
        """Note every key that nobody asked for and that is not one of those that Kubernetes knows and the lab ignores."""
        ignored = set(ignored)
        for key in self.part.value:
            if key not in self.known and key not in ignored:
                hint = did_you_mean(key, [*self.known, *sorted(ignored)])
                self.wrong(f"unknown key{hint}; the lab reads {', '.join(self.known)} here", key)

    def check(self, kind: str, done: Collection[str]) -> None:
        """Note every key below this part that an object of the API's type `kind` has not.

        done   types whose keys somebody has read already, and so has judged; what is below them is looked at all the same
        """
        for step, part, name in _below_by_type(self.part, kind):
            path = (*self.path, *step)
            known = fields_of(name)
            for key in part.value if name not in done else ():
                if key not in known:
                    listed = f"; known here: {', '.join(known)}" if len(known) <= MOST_LISTED else ""
                    self._note((*path, key), f"unknown key{did_you_mean(key, known)}{listed}")

    def _note(self, path: Path, text: str) -> None:
        self.problems.append(Problem(self.file, self.root.line_of(path), yamlfile.dotted(path), text))

    def _know(self, key: str) -> None:
        if key not in self.known:
            self.known.append(key)

    def _below(self, part: Part, *steps: str | int) -> Fields | None:
        if not isinstance(part.value, dict):
            self.wrong(f"is {shown(part.plain())}; it must hold keys of its own, indented below it", *steps)
            return None
        return Fields(part, (*self.path, *steps), self.root, self.file, self.problems)

    def _items(self, key: str, read: Callable[[Any], _T | None], what: str) -> tuple[_T, ...]:
        value = self.get(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.wrong(f"is {shown(value)}; it must be a list", key)
            return ()
        items = []
        for index, raw in enumerate(value):
            item = read(raw)
            if item is None:
                self.wrong(f"is {shown(raw)}; it must be {what}", key, index)
            else:
                items.append(item)
        return tuple(items)


def _below_by_type(part: Part, kind: str, path: Path = ()) -> Iterator[tuple[Path, Part, str]]:
    """A mapping of the API's type `kind` and all typed mappings in it: where each is, what it is, and the name of its type."""
    if not isinstance(part.value, dict):
        return
    yield path, part, kind
    for key, child in part.value.items():
        name = fields_of(kind).get(key, "")
        if name.startswith("[]") and name[2:] in TYPES and isinstance(child.value, list):
            for index, item in enumerate(child.value):
                yield from _below_by_type(item, name[2:], (*path, key, index))
        elif name in TYPES:
            yield from _below_by_type(child, name, (*path, key))


def address(value: Any) -> IPv4Address | None:
    """The address that a text names; None when it names none."""
    try:
        return IPv4Address(value) if isinstance(value, str) else None
    except ValueError:
        return None


def network(value: Any) -> IPv4Network | None:
    """The network that a text names; None when it names none."""
    try:
        return IPv4Network(value) if isinstance(value, str) and "/" in value else None
    except ValueError:
        return None
