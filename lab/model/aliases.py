"""What a scenario wrote down before its run, and what the cluster says instead: pod names, addresses, ports, images. Pure.

A scenario's author may pin 10.105.211.16 and write it into commands, expectations and texts. On a cluster that gives its own addresses,
the author's words are turned into the cluster's before they are run or shown, and the cluster's into the author's before they are judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_BEFORE, _AFTER = r"(?<![A-Za-z0-9_-])", r"(?![A-Za-z0-9_-]|\.\d)"
"""A word ends where a longer name or address cannot go on: 10.0.0.1 is not in 10.0.0.12, nor `web` in `web-1`."""


class Aliases:
    """Pairs of words, (the author's, the cluster's), as translations both ways that undo each other.

    A cluster may use an author's word for something else. So the pairs are completed to a permutation of all words in them: whatever
    is translated there and back comes out as it was. Of two pairs that contradict each other the first one counts.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._real = _permutation(pairs)
        self._written = {real: written for written, real in self._real.items()}
        words = sorted(self._real, key=len, reverse=True)
        self._pattern = re.compile(_BEFORE + "(?:" + "|".join(map(re.escape, words)) + ")" + _AFTER) if words else None

    def real(self, text: str) -> str:
        """The author's words turned into the cluster's."""
        return self._swap(text, self._real)

    def written(self, text: str) -> str:
        """The cluster's words turned into the author's."""
        return self._swap(text, self._written)

    def written_data(self, value: Any) -> Any:
        """The same in every string of JSON data, the keys of objects left alone."""
        if isinstance(value, str):
            return self.written(value)
        if isinstance(value, Mapping):
            return {key: self.written_data(one) for key, one in value.items()}
        return [self.written_data(one) for one in value] if isinstance(value, list | tuple) else value

    def _swap(self, text: str, words: Mapping[str, str]) -> str:
        return self._pattern.sub(lambda found: words[found[0]], text) if self._pattern else text


def _permutation(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    forward: dict[str, str] = {}
    taken: set[str] = set()
    for written, real in pairs:
        in_patterns = (written.replace(".", r"\."), real.replace(".", r"\."))
        for one, other in ((written, real), in_patterns):
            if one and other and one not in forward and other not in taken:
                forward[one] = other
                taken.add(other)
    for end in [real for real in forward.values() if real not in forward]:
        forward[end] = _beginning(forward, end)
    return {one: other for one, other in forward.items() if one != other}


def _beginning(forward: Mapping[str, str], end: str) -> str:
    """Where the chain that leads to `end` begins."""
    back = {real: written for written, real in forward.items()}
    while end in back:
        end = back[end]
    return end


NONE = Aliases()
"""Everything is as it was written."""
