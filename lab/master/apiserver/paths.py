"""What a URL's path names. Pure. Tricks with paths (`..`, `//`, escaped slashes, NUL) name nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from lab.master.resources import Resource, served

_SERVED = {(version, resource.plural): resource for version, resource in served()}
_VERSIONS = {version for version, _ in served()}


@dataclass(frozen=True)
class Target:
    """A resource in an API version, all of it or the objects of a namespace, or one object by name, or a subresource of that.

    watch   whether the path is of the old form /api/v1/watch/…
    """

    resource: Resource
    version: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    watch: bool = False


def segments(raw: str) -> tuple[str, ...] | None:
    """The parts of a path as it came, without its query; None for one that nobody asks for in good faith. A slash at the end is no matter."""
    path = raw.partition("?")[0]
    if not path.startswith("/"):
        return None
    parts = path[1:].split("/")
    if parts[-1] == "":
        parts.pop()
    decoded = []
    for part in parts:
        try:
            text = unquote_to_bytes(part).decode()
        except ValueError:
            return None
        if not text or text in (".", "..") or re.search(r"[/\\%\x00-\x1f\x7f]", text):
            return None
        decoded.append(text)
    return tuple(decoded)


def target(parts: tuple[str, ...]) -> Target | None:
    """What the parts of a path below /api or /apis name; None for what is not served."""
    if parts[:1] == ("api",):
        version, rest = "/".join(parts[1:2]), list(parts[2:])
    elif parts[:1] == ("apis",):
        version, rest = "/".join(parts[1:3]), list(parts[3:])
    else:
        return None
    if version not in _VERSIONS or not rest:
        return None
    watch = rest[0] == "watch"
    if watch:
        rest.pop(0)
    found = _target(version, rest)
    return None if found is None else Target(**{**vars(found), "watch": watch})


def _target(version: str, rest: list[str]) -> Target | None:
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces":
        inner = _SERVED.get((version, rest[2]))
        if inner is None or not inner.namespaced:
            return _one(version, _SERVED.get((version, "namespaces")), "", rest[1:])
        namespace, rest = rest[1], rest[2:]
    resource = _SERVED.get((version, rest[0])) if rest else None
    if resource is None or (len(rest) > 1 and resource.namespaced and not namespace):
        return None
    return _one(version, resource, namespace, rest[1:])


def _one(version: str, resource: Resource | None, namespace: str, rest: list[str]) -> Target | None:
    if resource is None or len(rest) > 2:
        return None
    name, subresource = [*rest, "", ""][:2]
    if subresource and subresource not in resource.subresources:
        return None
    return Target(resource, version, namespace, name, subresource)
