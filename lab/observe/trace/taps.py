"""Packet sockets on every interface of every machine, with a filter in the kernel that lets only the probe pass. The thin part."""

from __future__ import annotations

import ctypes
import functools
import socket
import struct
import time
from collections.abc import Collection, Mapping
from types import TracebackType

from lab.fabric.namespace import Namespace
from lab.observe import capture
from lab.observe.decode import Link
from lab.observe.sighting import Direction, Place
from lab.observe.trace import bundles
from lab.observe.trace.recording import Frame
from lab.observe.trace.sender import Sender

_SO_ATTACH_FILTER = 26


class Taps:
    """The frames that passed the filter anywhere, from `with` until the end of its block.

    machines   name -> namespace
    program    lab.observe.trace.filters.program
    marks      lab.observe.trace.bundles.marks
    """

    def __init__(self, machines: Mapping[str, Namespace], program: bytes, marks: Collection[bytes]) -> None:
        self._machines = machines
        self._program = program
        self._marks = marks
        self._ears: capture.Ears[str] = capture.Ears()
        self.frames: list[Frame] = []

    @property
    def missed(self) -> int:
        """How many packets found a buffer full; known at the end of the block."""
        return self._ears.dropped

    def __enter__(self) -> Taps:
        """Begin to listen."""
        self._ears.open((name, namespace, functools.partial(_open, namespace, self._program)) for name, namespace in self._machines.items())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop to listen."""
        self._ears.close()

    def until(self, sender: Sender, timeout: float) -> bool:
        """Read until the sender has heard something or until `timeout` seconds have passed; whether it has."""
        deadline = time.monotonic() + timeout
        answer = self._ears.selector.register(sender.channel, sender.events)
        while (left := deadline - time.monotonic()) > 0:
            for ready, _ in self._ears.selector.select(left):
                if ready is not answer:
                    self._read(ready.fileobj)  # type: ignore[arg-type]
                elif sender.heard():
                    return True
        return False

    def drain(self) -> None:
        """Read what has arrived until now."""
        for opened in self._ears.sockets:
            self._read(opened)

    def _read(self, opened: socket.socket) -> None:
        """Take in what a socket has, at most as much as there was when it began to be read."""
        for _ in range(4096):
            try:
                data, extra, _, address = opened.recvmsg(capture.LARGEST, 128, socket.MSG_DONTWAIT)
            except OSError:  # EAGAIN; or ENETDOWN, once, when an interface has gone away
                return
            link: Link = "ethernet" if address[3] in capture.ETHERNET_TYPES else "ip"
            direction: Direction = "out" if address[2] == capture.OUTGOING else "in"
            frame = Frame(capture.stamp(extra), Place(self._ears.sockets[opened], address[0]), direction, link, data)
            if bundles.worth_keeping(frame, self._marks):
                self.frames.append(frame)


def _open(namespace: Namespace, program: bytes) -> socket.socket:
    with namespace.entered():
        # Protocol 0 receives nothing: the filter is there before the first packet.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        capture.prepare(opened)
        instructions = ctypes.create_string_buffer(program, len(program))
        fprog = struct.pack("HL", len(program) // 8, ctypes.addressof(instructions))
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        capture.bind_everywhere(opened)
    except BaseException:
        opened.close()
        raise
    return opened
