"""What a container runtime that was killed has left on its node: pods that run on, and that nobody knows any more.

The next runtime ends them before it does anything, as dockerd did at its start with containers of its last life. It keeps no books about them,
which could be wrong: a pod that is left is what hangs at the other end of a wire on the node, or a process that shares the node's network but not
its files (a pod with `hostNetwork`).
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
from collections.abc import Collection, Iterator
from pathlib import Path

from lab.fabric import netlink
from lab.fabric.namespace import Namespace

LIVED = Path("/run/lab/runtime.lived")
"""Says on a node, whose /run is its own, that a runtime has lived there."""

_WIRE = re.compile(r"veth[0-9a-f]{8}")
"""The names that lab.plan.build.veth_of gives."""

_NONE = 0xFFFFFFFF
"""The kernel's number for a network namespace that has none, as seen from this one."""


def end(node: Namespace, sockets: netlink.Sockets, spared: Collection[int]) -> list[str]:
    """Kill what is left on the node, whose namespaces the calling thread is in, and take its wires away; returns their names.

    spared   processes that are no pod's, whatever they look like: the caller and those it descends from

    On a node where no runtime has lived before there is nothing to look for. A hundred nodes that boot at once would look at each other's
    processes otherwise, ten thousand times.
    """
    if _is_first_life():
        return []
    wires = [name for _, name in socket.if_nameindex() if _WIRE.fullmatch(name)]
    others = _other_ends(node, sockets, wires) if wires else set()
    for pid in _processes(spared):
        with contextlib.suppress(OSError):
            if _shares_network_only(pid, node) or (others and _number(node, sockets, pid) in others):
                os.kill(pid, signal.SIGKILL)
    for name in wires:
        sockets.drop(node, name)
    return wires


def _is_first_life() -> bool:
    LIVED.parent.mkdir(parents=True, exist_ok=True)
    try:
        LIVED.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _other_ends(node: Namespace, sockets: netlink.Sockets, wires: list[str]) -> set[int]:
    """The numbers that the node's network has for the namespaces at the other ends of wires."""
    with netlink.refusals():
        links = [sockets.of(node).get_links(sockets.index(node, name))[0] for name in wires]
    return {number for link in links if (number := link.get_attr("IFLA_LINK_NETNSID")) is not None}


def _number(node: Namespace, sockets: netlink.Sockets, pid: int) -> int | None:
    """The number of a process's network; None when the node has none for it."""
    with netlink.refusals():
        number = sockets.of(node).get_netnsid(pid=pid)["nsid"]
    return None if number == _NONE else int(number)


def _processes(spared: Collection[int]) -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in spared)


def _shares_network_only(pid: int, node: Namespace) -> bool:
    theirs = {kind: os.stat(f"/proc/{pid}/ns/{kind}").st_ino for kind in ("net", "mnt")}
    ours = {kind: os.fstat(node.fds[kind]).st_ino for kind in ("net", "mnt")}
    return theirs["net"] == ours["net"] and theirs["mnt"] != ours["mnt"]
