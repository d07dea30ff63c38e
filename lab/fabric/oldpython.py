"""What Mininet 2.3 takes from Python's past: `distutils.version`, gone since Python 3.12.

setuptools brings the module back, and takes 0.19 s to import on a 2-core machine: a tenth of a whole run, for one class that only Mininet's
Open vSwitch switches use.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?(?:([ab])(\d+))?\Z", re.ASCII)


@functools.total_ordering
class StrictVersion:
    """A version number as distutils had it: 1.4, 1.4.1, 1.5a2; a pre-release comes before its release. Raises ValueError for others."""

    def __init__(self, text: str) -> None:
        found = _VERSION.match(text)
        if not found:
            raise ValueError(f"invalid version number {text!r}")
        major, minor, patch, letter, number = found.groups()
        self._key = (int(major), int(minor), int(patch or 0), letter or "z", int(number or 0))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StrictVersion) and self._key == other._key

    def __lt__(self, other: StrictVersion) -> bool:
        return self._key < other._key

    def __hash__(self) -> int:
        return hash(self._key)


@contextmanager
def distutils() -> Iterator[None]:
    """Inside the block `from distutils.version import StrictVersion` works; afterwards nothing of it is left for other importers."""
    if "distutils.version" in sys.modules:
        yield
        return
    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    package.version = version  # type: ignore[attr-defined]
    version.StrictVersion = StrictVersion  # type: ignore[attr-defined]
    standing_in = {"distutils": package, "distutils.version": version}
    before = {name: sys.modules.get(name) for name in standing_in}
    sys.modules.update(standing_in)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
