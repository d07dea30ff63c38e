"""What /openapi says, from the pure documents in lab.master.api."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from lab.master.apiserver.cache import Object

_JSON = "application/json"


def document(parts: tuple[str, ...], version: str) -> tuple[Object, str] | None:
    """The document at a path below /openapi and its content type; None for none."""
    try:
        pure: Any = importlib.import_module("lab.master.api.openapi")
    except ImportError:
        return None
    if parts == ("v2",):
        return _v2(pure), _JSON
    return None


@functools.cache
def _v2(pure: Any) -> Object:
    made: Object = pure.v2()
    return made
