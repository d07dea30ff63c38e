"""A recording as pcapng, with an interface for every place, for Wireshark. Pure.

Format: draft-ietf-opsawg-pcapng. Sections are little-endian; timestamps are in nanoseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from lab.observe.trace.recording import Frame, Recording

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_ETHERNET, _RAW_IP = 1, 101
_NAME, _RESOLUTION, _FLAGS, _COMMENT = 2, 9, 2, 1
_INBOUND, _OUTBOUND = 1, 2


def written(recording: Recording) -> bytes:
    """The file's bytes: every frame of the recording, in order of time."""
    places = list(dict.fromkeys((frame.place, frame.link) for frame in recording.frames))
    head = _block(_SECTION, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + _options([(_COMMENT, _about(recording)), (4, b"lab trace")]))
    interfaces = (_interface(f"{place.machine} {place.interface}", _ETHERNET if link == "ethernet" else _RAW_IP) for place, link in places)
    numbers = {place: number for number, place in enumerate(places)}
    return b"".join([head, *interfaces, *(_packet(frame, numbers[frame.place, frame.link]) for frame in recording.frames)])


def _about(recording: Recording) -> bytes:
    return f"{recording.probe.protocol} from {recording.source} to {recording.target}".encode()


def _interface(name: str, link: int) -> bytes:
    return _block(_INTERFACE, struct.pack("<HHI", link, 0, 0) + _options([(_NAME, name.encode()), (_RESOLUTION, b"\x09")]))


def _packet(frame: Frame, interface: int) -> bytes:
    head = struct.pack("<IIIII", interface, frame.time >> 32, frame.time & 0xFFFFFFFF, len(frame.data), len(frame.data))
    flags = struct.pack("<I", _OUTBOUND if frame.direction == "out" else _INBOUND)
    return _block(_PACKET, head + _padded(frame.data) + _options([(_FLAGS, flags)]))


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(struct.pack("<HH", kind, len(value)) + _padded(value) for kind, value in options) + b"\0\0\0\0"


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
