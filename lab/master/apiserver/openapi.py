"""What /openapi says, from the pure documents in lab.master.api, each made once when it is first asked for."""

from __future__ import annotations

import functools

from lab.master.api import openapi
from lab.master.apiserver.watchers import Object


@functools.lru_cache(maxsize=64)
def document(parts: tuple[str, ...]) -> Object | None:
    """The document at a path below /openapi; None for none."""
    if parts == ("v2",):
        return openapi.v2()
    if parts == ("v3",):
        return openapi.v3_root()
    return openapi.v3("/".join(parts[1:])) if parts[:1] == ("v3",) else None
