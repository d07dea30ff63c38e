"""Attaches volumes in a pod: directories and files of the node's, at paths that the machine may not have.

A pod sees the machine's own root. Where a volume belongs at a path that is not there, the pod first gets a root of its own: an overlay of
the machine's, in which directories can be made without touching the machine. An ordinary user's lab may not lay anything over the root; there
the directory that lacks an entry is covered by a new one, in which every entry of the old one is mounted.
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

_OWN_DEVICES = "/run/lab/own-devices"
"""In the pod: a file for each file system of its own, or of a volume, named after its number."""

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
    if is_directory:
        _note(os.stat(target).st_dev)
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
    above = next(one for one in real.parents if one.exists())
    own, device = _own_devices(), os.stat(above).st_dev
    if not real.is_relative_to("/run") and device not in own:
        try:
            if own or device != os.stat("/").st_dev:
                _cover(str(above))
            else:
                _own_root()
        except OSError:
            if own:
                raise
            _cover(str(above))
    folder = real if is_directory else real.parent
    folder.mkdir(parents=True, exist_ok=True)
    if not is_directory:
        real.touch()


def _own_root() -> None:
    """Give the mount namespace that the calling thread is in a root of its own: an overlay of what is there. Raises OSError."""
    below = list(_mounted_below())
    scratch = _scratch(below, "/")
    kernel.mount("tmpfs", scratch, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    top, upper, work = (f"{scratch}/{name}" for name in ("top", "upper", "work"))
    try:
        for made in (top, upper, work):
            os.mkdir(made, 0o755)
        try:
            kernel.mount("overlay", top, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
        except OSError:  # in a user namespace the overlay's notes need a name that an ordinary user may give
            kernel.mount("overlay", top, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work},userxattr")
        for place in below:
            kernel.mount(place, top + place, flags=kernel.MS_BIND | kernel.MS_REC)
        _become_root(top, f"{scratch}/old")
    except OSError:
        with contextlib.suppress(OSError):
            kernel.detach(scratch)
        raise
    _note(os.stat("/").st_dev)


def _become_root(new: str, old: str) -> None:
    """Make a mounted directory the root. old: a place in it for the old root, which goes."""
    os.mkdir(new + old)
    kernel.pivot_root(new, new + old)
    os.chdir("/")
    kernel.detach(old)
    os.rmdir(old)


def _scratch(mounted: list[str], covered: str) -> str:
    """A directory that may be covered for a moment: nothing is mounted in it, and it is not in the one that will be `covered`."""
    inside = "" if covered == "/" else covered
    free = (one for one in _SCRATCH if os.path.isdir(one) and not any(Path(place).is_relative_to(one) for place in mounted))
    found = next((one for one in free if not inside or not Path(one).is_relative_to(inside)), "")
    if not found:
        raise FileNotFoundError(2, f"none of {', '.join(_SCRATCH)} is there without a mount in it")
    return found


def _cover(directory: str) -> None:
    """Cover a directory by one of the pod's own with the same entries, in which others can be made. Raises OSError."""
    scratch = _scratch(list(_mounted_below()), directory)
    kernel.mount("tmpfs", scratch, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    device = os.stat(scratch).st_dev
    try:
        for entry in os.scandir(directory):
            own = f"{scratch}/{entry.name}"
            if entry.path == scratch:
                os.mkdir(own)
            elif entry.is_symlink():
                os.symlink(os.readlink(entry.path), own)
            elif entry.is_dir():
                os.mkdir(own)
                kernel.mount(entry.path, own, flags=kernel.MS_BIND | kernel.MS_REC)
            elif entry.is_file():
                Path(own).touch()
                kernel.mount(entry.path, own, flags=kernel.MS_BIND)
        if directory == "/":
            _become_root(scratch, f"{scratch}/old")
        else:
            kernel.mount(scratch, directory, flags=kernel.MS_MOVE)
    except OSError:
        with contextlib.suppress(OSError):
            kernel.detach(scratch)
        raise
    _note(device)


def _note(device: int) -> None:
    Path(_OWN_DEVICES).mkdir(parents=True, exist_ok=True)
    (Path(_OWN_DEVICES) / str(device)).touch()


def _own_devices() -> set[int]:
    """The file systems in which something may be made: they are the pod's own, or volumes."""
    with contextlib.suppress(FileNotFoundError):
        return {int(name) for name in os.listdir(_OWN_DEVICES)}
    return set()


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
