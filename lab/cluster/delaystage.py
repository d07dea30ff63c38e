"""The delay of a link on a kernel without netem: a process that holds frames.

    what leaves by eth0 -> tc redirects it to the TAP device lab-eth0 -> this process -> after the delay, marked, out of eth0

tc lets marked packets pass. The device is there as long as the process: closing its descriptor takes it away.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import time
from collections import deque
from functools import partial
from typing import NoReturn

from lab.cluster.linkfault import MARK
from lab.fabric import daemon, process
from lab.fabric.namespace import Namespace
from lab.flannel import tun

PREFIX = "lab-"
"""Of the device's name, before that of the interface."""
IFF_TAP = 0x0002
MOST = 10_000
"""Frames that it holds; more are lost, as in a full queue."""

_LARGEST = 1 << 16
_SO_MARK = 36
_GONE = (errno.ENXIO, errno.ENODEV)


def name_of(interface: str) -> str:
    """The stage's device; Linux allows 15 characters."""
    return f"{PREFIX}{interface}"[:15]


def start(namespace: Namespace, interface: str, milliseconds: float) -> tuple[daemon.Daemon, str]:
    """Start a stage for what leaves by an interface; the process, and the name of its device, to which nothing goes yet.

    Raises MachineError where there can be no TAP device, OSError or CommandError when the interface is not there.
    """
    with namespace.entered():
        device, name = tun.open_tun(name_of(interface), IFF_TAP | tun.IFF_NO_PI)
        line = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        line.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        line.setblocking(False)
        line.bind((interface, 0))
        settings = f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6"  # the device would announce itself, and the stage pass that on
        process.must(process.run(namespace, f"[ ! -e {settings} ] || echo 1 > {settings}; ip link set {name} up"))
        main = partial(_main, device, line, milliseconds / 1000)
        return daemon.fork(namespace, f"fault-{interface}", main, keep=(device, line.fileno())), name
    finally:
        line.close()
        os.close(device)


def _main(device: int, line: socket.socket, seconds: float) -> int:
    """Hold each frame for so long; on SIGTERM send at once what is held, and end. Ends by itself when the interface has gone."""
    signal.signal(signal.SIGTERM, _end)
    held: deque[tuple[float, bytes]] = deque()
    try:
        while True:
            patience = max(held[0][0] - time.monotonic(), 0.0) if held else None
            ready, _, _ = select.select([device], [], [], patience)
            if ready:
                _take(device, held, seconds)
            while held and held[0][0] <= time.monotonic():
                _send(line, held.popleft()[1])
    finally:
        for _, frame in held:
            _send(line, frame)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(0)


def _take(device: int, held: deque[tuple[float, bytes]], seconds: float) -> None:
    """Take in what there is, at most as much as may be held."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(MOST):
            frame = os.read(device, _LARGEST)
            if len(held) < MOST:
                held.append((time.monotonic() + seconds, frame))


def _send(line: socket.socket, frame: bytes) -> None:
    """Send a frame; one that the interface does not take is lost, as on a cable that has been pulled."""
    try:
        line.send(frame)
    except OSError as error:
        if error.errno in _GONE:
            raise SystemExit(0) from error
