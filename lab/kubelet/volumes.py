"""What is in a pod's volumes, and where containers find them. Pure, but for what it is handed to look things up with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.kubelet import variables
from lab.kubelet.variables import CONFIG_MAP, SECRET, Lookup, Network

Json = Mapping[str, Any]
Content = dict[str, tuple[bytes, int]]
"""Path in the volume -> bytes and mode."""

MODE = 0o644
WRITTEN = ("configMap", "downwardAPI", "projected", "secret")
"""Volumes whose files the kubelet writes; containers only read them."""


@dataclass(frozen=True)
class Sources:
    """What volumes are filled from. token: (audience, seconds) -> a token of the pod's ServiceAccount."""

    lookup: Lookup
    token: Callable[[str, int], str]
    network: Network
    address: str


def kind_of(volume: Json) -> str:
    """`configMap` or the like; a volume that names nothing is an emptyDir."""
    return next((key for key in volume if key != "name"), "emptyDir")


def content(pod: Json, volume: Json, sources: Sources) -> Content:
    """The files of a volume of one of the kinds in WRITTEN. Raises UsageError for what is referred to and not there."""
    kind = kind_of(volume)
    source = volume[kind] or {}
    mode = source.get("defaultMode", MODE)
    if kind != "projected":
        return _of(pod, kind, source, mode, sources)
    made: Content = {}
    for part in source.get("sources") or ():
        for inner, what in part.items():
            made |= _of(pod, inner, what or {}, mode, sources)
    return made


def _of(pod: Json, kind: str, source: Json, mode: int, sources: Sources) -> Content:
    if kind == "serviceAccountToken":
        token = sources.token(str(source.get("audience") or ""), int(source.get("expirationSeconds") or 3600))
        return {_path(source.get("path") or "token"): (token.encode(), mode)}
    if kind == "downwardAPI":
        return {_path(one.get("path")): (_downward(pod, one, sources).encode(), one.get("mode", mode)) for one in source.get("items") or ()}
    name = source.get("name") or source.get("secretName")
    what = SECRET if kind == "secret" else CONFIG_MAP
    data = variables.found(sources.lookup, what, {"name": name, "optional": source.get("optional")})
    if not source.get("items"):
        return {key: (value, mode) for key, value in data.items()}
    made: Content = {}
    for one in source["items"]:
        if one.get("key") in data:
            made[_path(one.get("path"))] = (data[one["key"]], one.get("mode", mode))
        elif not source.get("optional"):
            raise UsageError(f"references non-existent {'secret' if what == SECRET else 'config'} key: {one.get('key')}")
    return made


def _downward(pod: Json, item: Json, sources: Sources) -> str:
    if item.get("resourceFieldRef"):
        return variables.resource(pod, item["resourceFieldRef"])
    return variables.field(pod, str((item.get("fieldRef") or {}).get("fieldPath")), sources.network, sources.address)


def _path(text: Any) -> str:
    """A path inside of a volume. Raises UsageError for one that leads out of it."""
    path = str(text or "")
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise UsageError(f"invalid path in a volume: {path!r}: must be relative and must not contain '..'")
    return path


def mounts(pod: Json, container: Json, folder: Callable[[Json], str], values: Mapping[str, str]) -> list[tuple[str, str, bool]]:
    """(path on the node, path in the pod, read only) of a container's volumeMounts. folder: where a volume is on the node.

    Raises UsageError.
    """
    known = {volume.get("name"): volume for volume in (pod.get("spec") or {}).get("volumes") or ()}
    made = []
    for number, mount in enumerate(container.get("volumeMounts") or ()):
        volume, target = known.get(mount.get("name")), str(mount.get("mountPath") or "")
        if volume is None or not target:
            raise UsageError(f"volumeMounts[{number}]: there is no volume {mount.get('name')!r}")
        sub = str(mount.get("subPath") or "") or variables.expand(str(mount.get("subPathExpr") or ""), values)
        source = f"{folder(volume)}/{_path(sub)}" if sub else folder(volume)
        made.append((source, target if target.startswith("/") else f"/{target}", bool(mount.get("readOnly")) or kind_of(volume) in WRITTEN))
    return made
