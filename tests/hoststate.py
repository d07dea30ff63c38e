"""What a lab must not change on the host, and which processes come from one test.

A process that a test left is found in two ways, whatever else this machine does meanwhile. What is started with the mark in its environment
passes it on to its children. And whoever has called adopt_orphans() stays an ancestor of all that it started, of daemons and of processes
with an environment of their own as well.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Container
from pathlib import Path

from lab.fabric import registry

MARK = "LAB_TEST_MARK"
SETTLING = 5.0
"""Seconds that the kernel gets to finish taking away what has ended."""
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/bridge/bridge-nf-call-iptables",
    "kernel/hostname",
    "fs/file-max",
    "net/core/rmem_max",
)
PR_SET_CHILD_SUBREAPER = 36
Process = tuple[int, int]
"""A process for good: its PID, and its start in clock ticks since boot."""


def _rules() -> dict[str, object]:
    """The host's firewall, read by every variant of iptables there is."""
    found: dict[str, object] = {}
    for tool in ("iptables-nft-save", "iptables-legacy-save"):
        path = shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if path:
            text = subprocess.run([path], capture_output=True, text=True, timeout=30, check=False).stdout
            found[f"rules of {tool}"] = "\n".join(line.split(" [")[0] for line in text.splitlines() if not line.startswith("#"))
    return found


def host_state() -> dict[str, object]:
    """What a test must not change."""
    return {
        "links": sorted(os.listdir("/sys/class/net")),
        "mounts": sorted(line.split(" ", 4)[4].split(" ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "named namespaces": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
        "labs": sorted(name for name in os.listdir(registry.root()) if not name.startswith(".tests-")) if registry.root().is_dir() else [],
        **_rules(),
        **{key: (Path("/proc/sys") / key).read_text() for key in SETTINGS if (Path("/proc/sys") / key).exists()},
    }


def difference(before: dict[str, object], after: dict[str, object]) -> dict[str, tuple[object, object]]:
    """What has changed: the kind of thing, and what was and is there."""
    return {key: (value, after.get(key)) for key, value in before.items() if after.get(key) != value}


def _command(pid: int) -> str:
    return (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()


def marked_processes(mark: str) -> dict[int, str]:
    """Processes that carry the mark, this one apart: PID -> command line."""
    needle = f"{MARK}={mark}".encode()
    found = {}
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) == os.getpid():
            continue
        try:
            if needle in (directory / "environ").read_bytes():
                found[int(directory.name)] = _command(int(directory.name))
        except OSError:
            continue
    return found


def adopt_orphans() -> None:
    """Become the parent of every process below this one whose own parent ends, in the place of the machine's first process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(known: Container[Process] = ()) -> dict[Process, str]:
    """Living processes below this one with their command lines, without the known ones and all that is below those."""
    children: dict[int, list[Process]] = {}
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                state, parent, *rest = (directory / "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            if state not in "ZX":
                children.setdefault(int(parent), []).append((int(directory.name), int(rest[17])))
    found: dict[Process, str] = {}
    ahead = [os.getpid()]
    while ahead:
        for process in children.get(ahead.pop(), []):
            if process in known:
                continue
            ahead.append(process[0])
            try:
                found[process] = _command(process[0])
            except OSError:
                continue  # it has ended since
    return found
