"""Packets as pcapng, with an interface for every place, for Wireshark. Pure.

Format: draft-ietf-opsawg-pcapng. Sections are little-endian; timestamps are in nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from lab.observe.decode import Link
from lab.observe.sighting import Place
from lab.observe.trace.recording import Frame, Recording

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET, _RAW_IP = 1, 101
_COMMENT, _APPLICATION, _NAME, _RESOLUTION, _FLAGS = 1, 4, 2, 9, 2
_INBOUND, _OUTBOUND = 1, 2


def written(recording: Recording) -> bytes:
    """A file's bytes: every frame of a recording, in order of time."""
    places = list(dict.fromkeys((frame.place, frame.link) for frame in recording.frames))
    numbers = {place: number for number, place in enumerate(places)}
    about = f"lab trace: {recording.probe.protocol} from {recording.source} to {recording.target}"
    frames = (packet(frame, numbers[frame.place, frame.link]) for frame in recording.frames)
    return b"".join([head(about), *(interface(*place) for place in places), *frames])


def head(about: str) -> bytes:
    """The beginning of a file; `about` is its comment."""
    return _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(_COMMENT, about.encode()), (_APPLICATION, b"lab")]))


def interface(place: Place, link: Link) -> bytes:
    """A place; its number is how many came before it in the file."""
    kind = _ETHERNET if link == "ethernet" else _RAW_IP
    return _block(_INTERFACE, struct.pack("<HHI", kind, 0, 0) + _options([(_NAME, str(place).encode()), (_RESOLUTION, b"\x09")]))


def packet(frame: Frame, number: int) -> bytes:
    """A packet at the place of that number."""
    start = struct.pack("<IIIII", number, frame.time >> 32, frame.time & 0xFFFFFFFF, len(frame.data), len(frame.data))
    flags = struct.pack("<I", _OUTBOUND if frame.direction == "out" else _INBOUND)
    return _block(_PACKET, start + _padded(frame.data) + _options([(_FLAGS, flags)]))


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<HH", kind, len(value)) + _padded(value) for kind, value in options) + b"\0\0\0\0"


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
