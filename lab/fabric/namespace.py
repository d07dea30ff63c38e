"""The namespaces of one machine of the lab: network, UTS and mount, held by file descriptors instead of a process.

A thread enters them to start a process, open a socket or touch a file there, and comes back. Creating one costs about a millisecond
and no fork.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lab.fabric import kernel

_KINDS = {"mnt": kernel.CLONE_NEWNS, "uts": kernel.CLONE_NEWUTS, "net": kernel.CLONE_NEWNET}


def _mount_sysfs() -> None:
    """A /sys whose class/net shows this machine's links.

    In a container, where /sys is read-only, the kernel lets a user namespace have it only read-only, too. Where it refuses even that, /sys
    goes on to show the sandbox's links.
    """
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    for more in (0, kernel.MS_RDONLY):
        with contextlib.suppress(OSError):
            kernel.mount("sysfs", "/sys", "sysfs", flags | more)
            return


def _open_current() -> dict[str, int]:
    return {kind: os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _KINDS}


class Namespace:
    """A machine's namespaces. Made by `create`; closed explicitly, after which the kernel frees them with their last process.

    environment   what commands in a pod find beside PATH and HOME; None: this is no pod, and they find what a login finds
    """

    def __init__(self, name: str, fds: dict[str, int]) -> None:
        self.name = name
        self.fds = fds
        self.environment: dict[str, str] | None = None

    @classmethod
    def current(cls, name: str = "") -> Namespace:
        """The namespaces that the calling thread is in now."""
        return cls(name, _open_current())

    @classmethod
    def create(cls, name: str) -> Namespace:
        """New namespaces with `name` as hostname, loopback up and an empty /run of their own. Raises OSError."""
        home = cls.current()
        with home._returning():
            kernel.unshare(kernel.CLONE_NEWNET | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNS)
            kernel.sethostname(name)
            kernel.loopback_up()
            kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
            _mount_sysfs()
            made = cls(name, _open_current())
        home.close()
        return made

    @contextlib.contextmanager
    def _returning(self) -> Iterator[None]:
        """Come back to these namespaces, and to the working directory, at the end of the block."""
        kernel.unshare(kernel.CLONE_FS)  # each time: a thread that was started since shares this one's working directory again
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield
        finally:
            self.join()
            os.fchdir(directory)
            os.close(directory)

    def join(self) -> None:
        """Move the calling thread here for good; its working directory becomes `/`."""
        for kind, flag in _KINDS.items():
            kernel.setns(self.fds[kind], flag)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be in these namespaces inside the block; children and sockets made there stay there."""
        home = Namespace.current()
        try:
            with home._returning():
                self.join()
                yield
        finally:
            home.close()

    def read_text(self, path: str) -> str:
        """A file's text as this machine sees it. Raises OSError."""
        with self.entered():
            return Path(path).read_text(encoding="utf-8")

    def write_text(self, path: str, text: str) -> None:
        """Write a file that only this machine sees, whatever the host has at `path`.

        Below /run, which is the machine's own, the file is written; elsewhere it covers the host's file by a bind mount (a path that the
        host does not have cannot be covered: FileNotFoundError). A path that leads into /run by a symbolic link, as resolv.conf does
        on systems with systemd-resolved, is written where it leads.
        """
        with self.entered():
            write_here(path, text)

    def close(self) -> None:
        """Let go of the namespaces."""
        while self.fds:
            os.close(self.fds.popitem()[1])


def write_here(path: str, text: str) -> None:
    """What `Namespace.write_text` does, by a thread that is in the machine."""
    real = Path(os.path.realpath(path))
    if real.is_relative_to("/run"):
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_text(text, encoding="utf-8")
        return
    if not real.exists():
        raise FileNotFoundError(2, "the machine has no such file to cover", str(real))
    own = Path("/run/lab") / str(real).strip("/").replace("/", "-")
    own.parent.mkdir(exist_ok=True)
    covered = own.exists()
    own.write_text(text, encoding="utf-8")
    if not covered:
        kernel.mount(str(own), str(real), flags=kernel.MS_BIND)
