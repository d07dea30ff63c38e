"""What /openapi says, from the pure documents in lab.master.api."""

from __future__ import annotations

import functools

from lab.master.api import openapi
from lab.master.apiserver.cache import Object

_JSON = "application/json"


@functools.cache
def document(parts: tuple[str, ...], version: str) -> tuple[Object, str] | None:
    """The document at a path below /openapi and its content type; None for none."""
    if parts == ("v2",):
        return openapi.v2(), _JSON
    if parts == ("v3",):
        return openapi.v3_root(), _JSON
    if parts[:1] == ("v3",):
        found = openapi.v3("/".join(parts[1:]))
        return (found, _JSON) if found is not None else None
    return None
