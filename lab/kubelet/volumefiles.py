"""Pods' volumes as directories on the node, in its own /run. They are filled before the pod's first container starts, and kept up to date.

As in Kubernetes the files of a ConfigMap change all at once: they are links through `..data`, which is a link to a directory that is written
whole and then put in place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lab.errors import UsageError
from lab.kubelet import volumes
from lab.kubelet.life import NEVER
from lab.kubelet.variables import Lookup, Network
from lab.kubelet.volumes import Content, Sources

Json = Mapping[str, Any]

ROOT = Path("/run/lab/kubelet/pods")
REFRESH = 3.0
"""Seconds after which a ConfigMap or Secret in a volume is looked at again; Kubernetes takes about a minute."""

_RENEWED_AFTER = 0.8
"""The part of a token's time after which the next one is fetched."""


class VolumeFiles:
    """The volumes of a node's pods.

    lookup   (namespace, kind, name) -> data of a ConfigMap or Secret, None when there is none
    token    (pod, audience, seconds) -> a token of its ServiceAccount
    """

    def __init__(
        self,
        lookup: Callable[[str, str, str], Mapping[str, bytes] | None],
        token: Callable[[Json, str, int], str],
        clock: Callable[[], float],
        root: Path = ROOT,
    ) -> None:
        self._lookup, self._token, self._clock, self._root = lookup, token, clock, root
        self._written: dict[tuple[str, str], Content] = {}
        self._tokens: dict[tuple[str, str, int], tuple[str, float]] = {}

    def set_up(self, pod: Json, network: Network, address: str) -> float:
        """Make a pod's volumes, or bring them up to date; returns when to look at them again, in the clock's seconds.

        Raises UsageError for what is not there yet, and LabError when the apiserver does not answer.
        """
        namespace, uid = pod["metadata"]["namespace"], pod["metadata"]["uid"]
        look_at = NEVER

        def token(audience: str, seconds: int) -> str:
            nonlocal look_at
            said, until = self._kept_token(pod, uid, audience, seconds)
            look_at = min(look_at, until)
            return said

        lookup: Lookup = lambda kind, name: self._lookup(namespace, kind, name)  # noqa: E731
        sources = Sources(lookup, token, network, address)
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            folder = Path(self.folder(uid, volume))
            kind = volumes.kind_of(volume)
            if kind in volumes.WRITTEN:
                try:
                    self._write(uid, volume["name"], folder, volumes.content(pod, volume, sources))
                except UsageError as error:
                    raise UsageError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
                look_at = min(look_at, self._clock() + REFRESH) if _changes(volume) else look_at
            elif kind == "hostPath":
                _host_path(volume["hostPath"], folder)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o777)
        return look_at

    def mounts(self, pod: Json, container: Json, values: Mapping[str, str]) -> list[tuple[str, str, bool]]:
        """What of the volumes a container sees, for the runtime. Raises UsageError."""
        uid = pod["metadata"]["uid"]
        made = []
        for source, target, read_only in volumes.mounts(pod, container, lambda volume: self.folder(uid, volume), values):
            if not os.path.exists(source):
                if read_only:
                    raise UsageError(f"failed to prepare subPath for volumeMount at {target}: there is no {os.path.basename(source)}")
                os.makedirs(source)
            made.append((source, target, read_only))
        return made

    def folder(self, uid: str, volume: Json) -> str:
        """Where a volume is on the node."""
        if volumes.kind_of(volume) == "hostPath":
            return os.path.realpath(str(volume["hostPath"].get("path")))
        return str(self._root / uid / "volumes" / str(volume["name"]))

    def remove(self, uid: str) -> None:
        """A pod has gone: so do its volumes."""
        shutil.rmtree(self._root / uid, ignore_errors=True)
        self._written = {key: content for key, content in self._written.items() if key[0] != uid}
        self._tokens = {key: token for key, token in self._tokens.items() if key[0] != uid}

    def _kept_token(self, pod: Json, uid: str, audience: str, seconds: int) -> tuple[str, float]:
        key = (uid, audience, seconds)
        if key not in self._tokens or self._tokens[key][1] <= self._clock():
            self._tokens[key] = self._token(pod, audience, seconds), self._clock() + _RENEWED_AFTER * seconds
        return self._tokens[key]

    def _write(self, uid: str, name: str, folder: Path, content: Content) -> None:
        if self._written.get((uid, name)) != content:
            write(folder, content)
            self._written[uid, name] = content


def _changes(volume: Json) -> bool:
    """Whether somebody may change what is in a volume; the cluster's authority stays what it is."""
    parts = _parts(volume)
    return any(kind in ("configMap", "secret") and (part or {}).get("name") != "kube-root-ca.crt" for kind, part in parts)


def _parts(volume: Json) -> Iterator[tuple[str, Json]]:
    kind = volumes.kind_of(volume)
    if kind != "projected":
        yield kind, volume[kind]
        return
    for source in (volume[kind] or {}).get("sources") or ():
        yield from source.items()


def write(folder: Path, content: Content) -> None:
    """Put files in place, all at once."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    made = Path(tempfile.mkdtemp(prefix="..", dir=folder))
    made.chmod(0o755)
    for path, (raw, mode) in content.items():
        file = made / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
        file.chmod(mode)
    data = folder / "..data"
    before = os.readlink(data) if data.is_symlink() else ""
    (folder / "..data_tmp").symlink_to(made.name)
    (folder / "..data_tmp").replace(data)
    tops = {path.split("/")[0] for path in content}
    for one in list(folder.iterdir()):
        if not one.name.startswith("..") and one.name not in tops:
            one.unlink()
    for top in tops:
        if not (folder / top).is_symlink():
            (folder / top).symlink_to(f"..data/{top}")
    if before:
        shutil.rmtree(folder / before, ignore_errors=True)


def _host_path(source: Json, _: Path) -> None:
    """Have what a hostPath names, or refuse. It has been looked at before whether the path is the node's own."""
    path, kind = Path(os.path.realpath(str(source.get("path")))), str(source.get("type") or "")
    if not path.is_relative_to("/run"):
        raise UsageError(f"hostPath {source.get('path')}: it leads to {path}, which is not the node's own")
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch()
    checks: dict[str, Callable[[], bool]] = {"Directory": path.is_dir, "File": path.is_file, "Socket": path.is_socket}
    wanted = checks.get(kind.removesuffix("OrCreate"), path.exists)
    if not wanted():
        raise UsageError(f"hostPath type check failed: {source.get('path')} is not a {kind.lower() or 'path that is there'}")
