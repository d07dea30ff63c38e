"""Tells how a boot gets on, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str, "float | None"], None]
"""Told of each stage: (what, None) when it begins, (what, seconds) when it has come up."""


def silent(what: str, seconds: float | None) -> None:
    """A Progress that tells nobody."""


class Stages:
    """`with stage(what):` tells the progress that the block begins, and how long it took."""

    def __init__(self, tell: Progress) -> None:
        self._tell = tell

    def __call__(self, what: str) -> Stages:
        """The stage that begins now."""
        self._what, self._begun = what, time.monotonic()
        self._tell(what, None)
        return self

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._tell(self._what, time.monotonic() - self._begun)
