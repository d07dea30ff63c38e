"""Packet sockets on interfaces of the lab's machines. The thin part: it opens, waits and reads; lab.observe.decode understands.

All machines share one kernel, so the kernel's timestamps put the sightings of all places into one order (lab.observe.sighting.ordered).

The kernel stamps arriving packets only while somebody wants it, and begins a moment after the first socket has asked, in a worker of its
own. What arrives before that is stamped when it is read, out of all order. So a capture begins when a packet of its own shows that the
stamping has begun.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Generic, TypeVar

from lab.errors import MachineError, UsageError
from lab.fabric.namespace import Namespace
from lab.observe.decode import TUNNELS, Link, Tunnel, decode
from lab.observe.sighting import Direction, Place, Sighting, ordered

_ALL_PROTOCOLS = 0x0003
OUTGOING = 4
_SO_TIMESTAMPNS, _SO_RCVBUFFORCE = 35, 33
_SOL_PACKET, _PACKET_STATISTICS = 263, 6
ETHERNET_TYPES = (1, 772)
"""ARPHRD_ETHER and loopback; TUN and the IP tunnels have no header of their own."""

_BUFFER = 8 << 20
LARGEST = 1 << 18
_SETTLING = 2.0
"""Seconds that the kernel may take to begin with its timestamps; it takes about a millisecond."""
_DRAINING = 1.0
"""Seconds after which an end of the block stops reading from interfaces that never fall silent."""


class Capture:
    """What went by at some places, from `with` until the end of its block, and readable afterwards.

        with Capture([(Place("zenlinnode1", "eth0"), namespace)]) as seen:
            ...
        for sighting in seen.sightings: ...

    places    each with the namespace of its machine
    tunnels   UDP destination port -> what datagrams to it carry
    Entering raises UsageError for an interface that is not there.
    """

    def __init__(self, places: Sequence[tuple[Place, Namespace]], tunnels: Mapping[int, Tunnel] = TUNNELS) -> None:
        self._places = places
        self._tunnels = tunnels
        self._ears: Ears[int] = Ears()
        self._seen: list[Sighting] = []

    @property
    def dropped(self) -> int:
        """How many packets found the buffer full; known at the end of the block."""
        return self._ears.dropped

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """All that has been read so far, in the order in which it happened."""
        return ordered(self._seen, [place for place, _ in self._places])

    def __enter__(self) -> Capture:
        """Begin to listen."""
        self._ears.open((number, namespace, functools.partial(_open, place, namespace)) for number, (place, namespace) in enumerate(self._places))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Read what has arrived, and stop to listen."""
        try:
            if kind is None:
                self._drain()
        finally:
            self._ears.close()

    def until(self, enough: Callable[[tuple[Sighting, ...]], bool], timeout: float = 2.0) -> bool:
        """Read until `enough(sightings)` or until `timeout` seconds have passed; whether it was enough."""
        deadline = time.monotonic() + timeout
        while True:
            self._drain()
            if enough(self.sightings):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._ears.selector.select(left)

    def _drain(self) -> None:
        deadline = time.monotonic() + _DRAINING
        waiting = set(self._ears.sockets)
        while waiting and time.monotonic() < deadline:
            waiting = {one for one in waiting if self._read(one)}

    def _read(self, opened: socket.socket) -> bool:
        """Take one packet in; False when there was none."""
        try:
            data, extra, _, address = opened.recvmsg(LARGEST, 128, socket.MSG_DONTWAIT)
        except OSError:  # EAGAIN; or ENETDOWN, once, when the interface has gone away
            return False
        number = self._ears.sockets[opened]
        link: Link = "ethernet" if address[3] in ETHERNET_TYPES else "ip"
        direction: Direction = "out" if address[2] == OUTGOING else "in"
        self._seen.append(Sighting(stamp(extra), self._places[number][0], direction, decode(data, link, self._tunnels)))
        return True


Name = TypeVar("Name")


class Ears(Generic[Name]):
    """Packet sockets that are opened and closed together, behind a pilot, so that all of them stamp from the first packet on.

    sockets   each with the name under which it was opened
    dropped   how many packets found a buffer full; known when they are closed
    """

    def __init__(self) -> None:
        self.sockets: dict[socket.socket, Name] = {}
        self.selector = selectors.DefaultSelector()
        self.dropped = 0
        self._pilot: socket.socket | None = None

    def open(self, wanted: Iterable[tuple[Name, Namespace, Callable[[], socket.socket]]]) -> None:
        """Open them one after the other: a name, the machine's namespace, and what opens the socket. When one cannot be had, none is left open.

        Raises MachineError as `settle` does, and what the openers raise.
        """
        try:
            for name, namespace, opener in wanted:
                if self._pilot is None:
                    self._pilot = pilot(namespace)
                    settle(self._pilot)
                opened = opener()
                self.sockets[opened] = name
                self.selector.register(opened, selectors.EVENT_READ)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close them."""
        for opened in self.sockets:
            with contextlib.suppress(OSError):
                self.dropped += dropped(opened)
            opened.close()
        self.sockets.clear()
        if self._pilot is not None:
            self._pilot.close()
        self.selector.close()


def pilot(namespace: Namespace) -> socket.socket:
    """A socket that asks for timestamps as long as it is open, bound to the loopback of a machine."""
    with namespace.entered():
        pilot = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    pilot.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    pilot.settimeout(_SETTLING)
    pilot.bind(("127.0.0.1", 0))
    return pilot


def settle(pilot: socket.socket) -> None:
    """Wait until packets bear the time of their arrival. Raises MachineError when that does not come about."""
    deadline = time.monotonic() + _SETTLING
    while True:
        pilot.sendto(b"", pilot.getsockname())
        sent = time.time_ns()
        _, extra, _, _ = pilot.recvmsg(1, 128)
        if stamp(extra) <= sent:
            return
        if time.monotonic() > deadline:
            raise MachineError("this kernel does not stamp packets with the time of their arrival, so captures have no order; try another kernel")
        time.sleep(0.0002)


def _open(place: Place, namespace: Namespace) -> socket.socket:
    with namespace.entered():
        names = [name for _, name in socket.if_nameindex()]
        if place.interface not in names:
            raise UsageError(f"{place.machine} has no interface {place.interface}; it has {', '.join(names)}")
        # Protocol 0 receives nothing until bind names the interface: no packet of another one slips in before.
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    try:
        prepare(opened)
        opened.bind((place.interface, _ALL_PROTOCOLS))
    except BaseException:
        opened.close()
        raise
    return opened


def prepare(opened: socket.socket) -> None:
    """Ask a packet socket for timestamps, and for a large buffer."""
    opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    with contextlib.suppress(OSError):  # an ordinary user's lab keeps the limit of the machine
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)


def bind_everywhere(opened: socket.socket) -> None:
    """Bind a packet socket to all interfaces of its machine, also those to come. Python's own bind wants an interface. Raises OSError."""
    address = struct.pack("=HHiHBB8s", socket.AF_PACKET, socket.htons(_ALL_PROTOCOLS), 0, 0, 0, 0, b"")
    if ctypes.CDLL(None, use_errno=True).bind(opened.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def dropped(opened: socket.socket) -> int:
    """How many packets found a packet socket's buffer full since it was last asked. Raises OSError."""
    _, lost = struct.unpack("II", opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
    return int(lost)


def stamp(extra: Sequence[tuple[int, int, bytes]]) -> int:
    """When a packet arrived, nanoseconds, from what came beside it; now, if nothing says."""
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
            seconds, nanoseconds = struct.unpack("ll", data[: struct.calcsize("ll")])
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()
