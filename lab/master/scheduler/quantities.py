"""Kubernetes' quantities as numbers: 250m, 64Mi, 2. Pure."""

from __future__ import annotations

import functools
import re
from fractions import Fraction

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def amount(text: object) -> Fraction:
    """The number of a quantity; 0 for what is none, which the apiserver would have refused."""
    return _read(str(text))


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> Fraction:
    """A cluster has few different ones, and asks for each once a pod and node."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)([numkMGTPE]|[KMGTPE]i|)(?:[eE]([+-]?\d{1,3}))?", text.strip(), re.ASCII)
    if found is None or (found[2] and found[3]):
        return Fraction(0)
    number = Fraction(found[1]) * Fraction(10) ** int(found[3] or 0)
    return number * 2 ** _BINARY[found[2]] if found[2] in _BINARY else number * Fraction(10) ** _DECIMAL[found[2]]
