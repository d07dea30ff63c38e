"""The pure parts in lab.master.api that give objects their meaning, as the server calls them."""

from __future__ import annotations

import importlib
from typing import Any

from lab.master.apiserver.cache import Object


def _pure(module: str, name: str) -> Any:
    try:
        return getattr(importlib.import_module(f"lab.master.api.{module}"), name)
    except ImportError:
        return None


def with_defaults(item: Object, kind: str) -> Object:
    """An object with what it leaves open filled in."""
    function = _pure("defaults", "with_defaults")
    return item if function is None else function(item, kind)


def faults(item: Object, kind: str, old: Object | None) -> list[Any]:
    """What is wrong with an object."""
    function = _pure("validate", "faults")
    return [] if function is None else function(item, kind, old)


def stored(item: Object, version: str, target: str) -> Object:
    """An object that came in API version `version` as it is stored."""
    return item | {"apiVersion": target}


def served(item: Object, version: str) -> Object:
    """A stored object in an API version that serves it."""
    return item if item["apiVersion"] == version else item | {"apiVersion": version}
