"""Datagrams that the kernel carries as one, taken apart: what flanneld's UDP_SEGMENT bundles would be on a real wire. Pure."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from lab.observe.decode import Tunnel
from lab.observe.packet import UDP
from lab.observe.trace.probe import Probe
from lab.observe.trace.recording import Frame

_ETHERNET, _IP, _UDP = 14, 20, 8


def marks(probe: Probe) -> tuple[bytes, ...]:
    """Bytes of which each frame of the probe and its answers has some. Of UDP, whose answers may be anything, also its port."""
    if probe.protocol == "tcp":
        return probe.sequence.to_bytes(4, "big"), ((probe.sequence + 1) % (1 << 32)).to_bytes(4, "big")
    return (probe.mark,) if probe.protocol == "icmp" else (probe.mark, probe.source_port.to_bytes(2, "big"))


def worth_keeping(frame: Frame, wanted: Collection[bytes]) -> bool:
    """Whether a frame that passed the kernel's filter may be of the journey: it has a mark, or is a fragment, which has none."""
    if any(mark in frame.data for mark in wanted):
        return True
    start = _start(frame)
    return any(struct.unpack_from("!H", frame.data, at + 6)[0] & 0x1FFF for at in (start, start + _IP + _UDP) if len(frame.data) >= at + 8)


def apart(frame: Frame, tunnels: Mapping[int, Tunnel]) -> Iterator[Frame]:
    """The frame, or if it is a bundle each datagram of it with headers of its own."""
    start = _start(frame)
    head, body = frame.data[: start + _IP + _UDP], frame.data[start + _IP + _UDP :]
    if not _is_tunnel(head[start:], tunnels) or _length(body) >= len(body) or not _length(body):
        yield frame
        return
    while _length(body):
        size = min(_length(body), len(body))
        yield replace(frame, data=_resized(head, start, size) + body[:size])
        body = body[size:]


def _start(frame: Frame) -> int:
    return _ETHERNET if frame.link == "ethernet" else 0


def _is_tunnel(head: bytes, tunnels: Mapping[int, Tunnel]) -> bool:
    """Whether these are whole headers of IP and UDP, to a port whose datagrams are IP packets."""
    if len(head) < _IP + _UDP or head[0] != 0x45 or head[9] != UDP or struct.unpack_from("!H", head, 6)[0] & 0x3FFF:
        return False
    return tunnels.get(struct.unpack_from("!H", head, _IP + 2)[0]) == "ip"


def _length(body: bytes) -> int:
    """Of the IP packet at the beginning, 0 when there is none."""
    return int(struct.unpack_from("!H", body, 2)[0]) if len(body) >= _IP and body[0] >> 4 == 4 else 0


def _resized(head: bytes, start: int, size: int) -> bytes:
    """The headers with the lengths that fit a payload of `size` bytes. Checksums stay as they were."""
    made = bytearray(head)
    struct.pack_into("!H", made, start + 2, _IP + _UDP + size)
    struct.pack_into("!H", made, start + _IP + 4, _UDP + size)
    return bytes(made)
