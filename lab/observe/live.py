"""What goes by at a machine's interfaces, packet by packet as it comes: lines for people, or pcapng. The thin part is `frames`."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator

from lab.errors import UsageError
from lab.observe import capture
from lab.observe.decode import Link, decode
from lab.observe.sighting import Direction, Place, text
from lab.observe.trace import pcapng
from lab.observe.trace.recording import Frame


def frames(machine: str, interface: str = "") -> Iterator[Frame]:
    """Every packet at one interface, or at all but the loopback, of the network namespace that the caller is in, until it stops to ask.

    Listens from the first packet that is asked for. Raises UsageError for an interface that is not there.
    """
    names = [name for _, name in socket.if_nameindex()]
    if interface and interface not in names:
        raise UsageError(f"{machine} has no interface {interface}; it has {', '.join(names)}")
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as opened:
        capture.prepare(opened)
        capture.bind_everywhere(opened)
        while True:
            try:
                data, extra, _, address = opened.recvmsg(capture.LARGEST, 128)
            except OSError:  # ENETDOWN, once, when an interface has gone away
                continue
            if address[0] == interface or (not interface and address[0] != "lo"):
                link: Link = "ethernet" if address[3] in capture.ETHERNET_TYPES else "ip"
                direction: Direction = "out" if address[2] == capture.OUTGOING else "in"
                yield Frame(capture.stamp(extra), Place(machine, address[0]), direction, link, data)


def told(seen: Iterable[Frame]) -> Iterator[bytes]:
    """A line for each: the time of day, the interface, the direction, every header from the outside in."""
    for frame in seen:
        clock = time.strftime("%H:%M:%S", time.localtime(frame.time // 1_000_000_000))
        head = f"{clock}.{frame.time // 1000 % 1_000_000:06d} {frame.place.interface:12} {frame.direction:3}"
        yield f"{head} {text(decode(frame.data, frame.link))}\n".encode()


def written(seen: Iterable[Frame]) -> Iterator[bytes]:
    """The bytes of a pcapng file, for each packet those that it adds; an interface's block comes with its first packet."""
    numbers: dict[tuple[Place, Link], int] = {}
    for frame in seen:
        data = b"" if numbers else pcapng.head(f"lab capture {frame.place.machine}")
        key = (frame.place, frame.link)
        if key not in numbers:
            numbers[key] = len(numbers)
            data += pcapng.interface(*key)
        yield data + pcapng.packet(frame, numbers[key])
