"""Attaches volumes in a pod: directories and files of the node's, at paths that the machine may not have.

A pod sees the machine's own root. Where a volume belongs at a path that is not there, the pod first gets a root of its own: an overlay of
the machine's, in which directories can be made without touching the machine.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lab.errors import BootError
from lab.fabric import kernel
from lab.fabric.namespace import Namespace

_ATTACHED = "/run/lab/attached"
"""In the pod: one link per volume that is attached, named after its place, to where it comes from."""

_OWN_ROOT = "/run/lab/own-root"
"""In the pod: there once its root is its own."""

_SCRATCH = ("/mnt", "/media", "/srv", "/opt", "/tmp")
"""Directories that most machines have: one of them is covered while a pod's root is made, and forgotten with the old root."""


def attach(namespace: Namespace, source: str, target: str, read_only: bool) -> None:
    """Attach `source`, as the caller's namespace has it, at `target` in the pod. Nothing happens when it is there already.

    Raises BootError, also when something else is attached there: the containers of a pod share their files.
    """
    try:
        tree = kernel.open_tree(source)
    except OSError as error:
        raise BootError(f"{namespace.name}: cannot mount {source} at {target}: {error.strerror}") from error
    try:
        with namespace.entered():
            if not _is_attached(source, target):
                _attach(tree, os.path.isdir(f"/proc/self/fd/{tree}"), target, read_only)
                _remember(source, target)
    except OSError as error:
        raise BootError(f"{namespace.name}: cannot mount {source} at {target}: {error.strerror or error}") from error
    finally:
        os.close(tree)


def require_directory(namespace: Namespace, path: str) -> None:
    """Make a directory in the pod where there is none. Raises BootError."""
    with namespace.entered():
        try:
            _make(path, is_directory=True)
        except OSError as error:
            raise BootError(f"{namespace.name}: cannot make {path}, which is the container's workingDir: {error.strerror or error}") from error


def _attach(tree: int, is_directory: bool, target: str, read_only: bool) -> None:
    _make(target, is_directory)
    kernel.move_mount(tree, target)
    if read_only:
        flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("none", target, flags=flags)


def _mark(target: str) -> Path:
    return Path(_ATTACHED) / os.path.realpath(target).strip("/").replace("/", "-")


def _is_attached(source: str, target: str) -> bool:
    mark = _mark(target)
    if not mark.is_symlink():
        return False
    there = os.readlink(mark)
    if there != source:
        raise BootError(f"cannot mount two volumes at {target}: the containers of a pod share their files here")
    return True


def _remember(source: str, target: str) -> None:
    mark = _mark(target)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.symlink_to(source)


def _make(path: str, is_directory: bool) -> None:
    """Have a directory, or a file, at `path`, by way of a root of the pod's own where the machine would have to be changed."""
    if os.path.lexists(path):
        return
    real = Path(os.path.realpath(path))
    if not real.is_relative_to("/run") and not os.path.exists(_OWN_ROOT):
        _own_root()
    folder = real if is_directory else real.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not is_directory:
        real.touch()


def _own_root() -> None:
    """Give the mount namespace that the calling thread is in a root of its own: an overlay of what is there. Raises OSError."""
    below = list(_mounted_below())
    free = (one for one in _SCRATCH if os.path.isdir(one) and not any(Path(place).is_relative_to(one) for place in below))
    scratch = next(free, "")
    if not scratch:
        raise FileNotFoundError(2, f"none of {', '.join(_SCRATCH)} is there without a mount in it")
    kernel.mount("tmpfs", scratch, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    top, upper, work = (f"{scratch}/{name}" for name in ("top", "upper", "work"))
    try:
        for made in (top, upper, work):
            os.mkdir(made, 0o755)
        try:
            kernel.mount("overlay", top, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
        except PermissionError:  # in a user namespace the overlay's notes need a name that an ordinary user may give
            kernel.mount("overlay", top, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work},userxattr")
        for place in below:
            kernel.mount(place, top + place, flags=kernel.MS_BIND | kernel.MS_REC)
        os.mkdir(f"{top}{scratch}/old")
        kernel.pivot_root(top, f"{top}{scratch}/old")
        os.chdir("/")
        kernel.detach(f"{scratch}/old")
    except OSError:
        with contextlib.suppress(OSError):
            kernel.detach(scratch)
        raise
    os.rmdir(f"{scratch}/old")
    Path(_OWN_ROOT).touch()


def _mounted_below() -> Iterator[str]:
    """Where something is mounted directly on the root's file system, as the calling thread sees it."""
    lines = [line.split() for line in Path("/proc/thread-self/mountinfo").read_text(encoding="utf-8").splitlines()]
    roots = [fields[0] for fields in lines if _plain(fields[4]) == "/"]
    seen = set()
    for fields in lines:
        place = _plain(fields[4])
        if roots and fields[1] == roots[-1] and place != "/" and place not in seen:
            seen.add(place)
            yield place


def _plain(text: str) -> str:
    """A path of mountinfo, in which blanks are written as octal numbers."""
    return text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text
