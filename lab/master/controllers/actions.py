"""What a controller decides to do, as data: its core returns a list of these, the loop carries them out in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.master.client import Object


@dataclass(frozen=True)
class Create:
    """Make an object."""

    item: Object


@dataclass(frozen=True)
class Patch:
    """Change an object by a merge patch: only what the patch names, so that nobody's other fields are overwritten."""

    plural: str
    name: str
    namespace: str
    patch: Object
    subresource: str = ""


@dataclass(frozen=True)
class Delete:
    """Delete the object of this uid, not one that has taken its name since.

    grace    seconds; 0 for at once, None for what the object says
    policy   the propagationPolicy; empty for what the apiserver takes for granted
    owners   (plural, namespace, name, uid): owners that the apiserver is asked for first; if one is there, nothing is deleted. An empty uid
             stands for whatever has the name
    """

    plural: str
    name: str
    namespace: str
    uid: str
    grace: int | None = None
    policy: str = ""
    owners: tuple[tuple[str, str, str, str], ...] = ()


@dataclass(frozen=True)
class Bind:
    """Say that a pod shall run on a node: POST of its subresource `binding`."""

    name: str
    namespace: str
    uid: str
    node: str


@dataclass(frozen=True)
class Finalize:
    """Let go of a namespace in which nothing is left that controllers watch."""

    name: str


@dataclass(frozen=True)
class Tell:
    """Record an event about an object, for `kubectl describe`. kind: Normal or Warning."""

    about: Object = field(hash=False)
    reason: str
    message: str
    kind: str = "Normal"


@dataclass(frozen=True)
class Again:
    """Look at the object again after so many seconds, even if nothing has changed."""

    seconds: float


Action = Create | Patch | Delete | Bind | Finalize | Tell | Again


def deletion(plural: str, item: Object, grace: int | None = None) -> Delete:
    """The deletion of an object as it is known."""
    metadata = item["metadata"]
    return Delete(plural, metadata["name"], metadata.get("namespace", ""), metadata.get("uid", ""), grace)


def patch_of(plural: str, item: Object, patch: dict[str, Any], subresource: str = "") -> Patch:
    """A patch of an object as it is known."""
    metadata = item["metadata"]
    return Patch(plural, metadata["name"], metadata.get("namespace", ""), patch, subresource)
