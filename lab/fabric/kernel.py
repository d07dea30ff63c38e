"""The system calls that Python 3.10 lacks or hides: namespaces, mounts, prctl, loopback. Each raises OSError with the call's name in it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Collection

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_MOVE = 0x2000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

PR_SET_PDEATHSIG = 1
_CAP_SYS_ADMIN = 21
PR_SET_NAME = 15

_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_CLOSE_RANGE = 428, 429, 436
"""The numbers on every architecture: calls of Linux 5.2 and 5.9, for which older C libraries have no names."""

_LAST_DESCRIPTOR = 0xFFFFFFFF

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 0x1
_MOVE_MOUNT_F_EMPTY_PATH = 0x4

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def may_administer() -> bool:
    """Whether this process is root with CAP_SYS_ADMIN, and so may make namespaces; a container's root often lacks it. capabilities(7)."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        effective = next((int(line.split()[1], 16) for line in status if line.startswith("CapEff:")), -1)
    return bool(effective >> _CAP_SYS_ADMIN & 1)


def unshare(flags: int) -> None:
    """Move the calling thread into new namespaces; see unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace that `fd` refers to; see setns(2).

    For a mount namespace the thread must not share its working directory with others: unshare(CLONE_FS) first.
    """
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2) with text arguments."""
    _check(
        _libc.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode(),
            ctypes.c_ulong(flags),
            options.encode(),
        ),
        f"mount {kind or source} on {target}",
    )


def open_tree(path: str) -> int:
    """A copy of what is mounted at `path`, attached nowhere yet, as a descriptor; open_tree(2). It may be attached in another mount namespace."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    result = _libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), ctypes.c_int(_AT_FDCWD), os.fsencode(path), ctypes.c_uint(flags))
    _check(min(result, 0), f"open_tree {path}")
    return int(result)


def move_mount(fd: int, target: str) -> None:
    """Attach what open_tree opened at `target`; move_mount(2)."""
    call, flags = ctypes.c_long(_SYS_MOVE_MOUNT), ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH)
    _check(_libc.syscall(call, ctypes.c_int(fd), b"", ctypes.c_int(_AT_FDCWD), os.fsencode(target), flags), f"move_mount to {target}")


def close_from(first: int, keep: Collection[int] = ()) -> None:
    """Close every descriptor from `first` on but those of `keep`; close_range(2).

    Not by looking into /proc: that makes the kernel an entry for each descriptor of each process, which it has to take away one by one when
    the process ends. With hundreds of daemons forked from one process that held a thousand it was a third of the time that a lab took to go down.
    """
    for number in sorted(number for number in keep if number >= first):
        _close_range(first, number - 1)
        first = number + 1
    _close_range(first, _LAST_DESCRIPTOR)


def _close_range(first: int, last: int) -> None:
    if first > last:
        return
    try:
        _check(_libc.syscall(ctypes.c_long(_SYS_CLOSE_RANGE), ctypes.c_uint(first), ctypes.c_uint(last), ctypes.c_uint(0)), "close_range")
    except OSError:  # Linux before 5.9, or a container's engine that does not know the call
        os.closerange(first, min(last, max(int(name) for name in os.listdir("/proc/self/fd"))) + 1)


def pivot_root(new: str, old: str) -> None:
    """pivot_root(2)."""
    _check(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def detach(target: str) -> None:
    """umount2(2) with MNT_DETACH: out of sight now, gone with its last user."""
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def die_with_parent(signal_number: int) -> None:
    """Ask for `signal_number` when the thread that forked this process ends; PR_SET_PDEATHSIG of prctl(2)."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal_number), 0, 0, 0), "prctl")


def loopback_up() -> None:
    """Bring up `lo` of the calling thread's network namespace, which then has 127.0.0.1; SIOCSIFFLAGS of netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
        fcntl.ioctl(door, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def set_name(name: str) -> None:
    """Name the calling thread, as `ps -o comm`, `top` and `pgrep` show it: the first 15 bytes; PR_SET_NAME of prctl(2)."""
    _check(_libc.prctl(PR_SET_NAME, name.encode(), 0, 0, 0), "prctl")


def sethostname(name: str) -> None:
    """Set the hostname of the calling thread's UTS namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, ctypes.c_size_t(len(encoded))), "sethostname")
