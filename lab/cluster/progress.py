"""Tells how a boot gets on, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.cluster.facade import Cluster

Progress = Callable[[str, "float | None"], None]
"""Told of each stage: (what, None) when it begins, (what, seconds) when it has come up."""
After = Callable[[str, "Cluster"], None]
"""Called after each stage that there is a cluster in, before the next one begins; whatever it raises ends the boot."""


def silent(what: str, seconds: float | None) -> None:
    """A Progress that tells nobody."""


class Stages:
    """`with stage(what):` tells the progress that the block begins, and how long it took.

    after     looks at what the stage has made
    cluster   set by the boot as soon as there is one
    """

    def __init__(self, tell: Progress, after: After | None = None) -> None:
        self._tell, self._after = tell, after
        self.cluster: Cluster | None = None

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
            if self._after is not None and self.cluster is not None:
                self._after(self._what, self.cluster)
