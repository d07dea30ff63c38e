"""Joins TCP segments of one flow that came one after the other into a super-packet, which goes through the kernel as one packet.

Only what segmentation would take apart again into the very same packets is joined: see `Coalescer.take`. Each segment's checksums are
verified first, because the kernel believes a super-packet: a damaged segment stays alone, and the receiver finds the damage.

numpy is imported here at the top; see lab.flannel.segment.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from typing import Any

import numpy as np

from lab.flannel import vnet
from lab.flannel.packet import MIN_HEADER, TCP

_LONGEST = 65535
_ACK = 0x10
_FIN_PSH = 0x09
_SWAP = 256 if sys.byteorder == "little" else 1
"""See lab.flannel.segment."""

_NUMBERS = np.arange(4096, dtype=np.int64)

Buffer = bytearray | memoryview


class Coalescer:
    """Joins one run after another; a super-packet is good until the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray(vnet.SIZE + _LONGEST + 1)
        self._view = memoryview(self._buffer)

    def take(self, buffer: Buffer, start: int, end: int, size: int) -> tuple[int, memoryview | None]:
        """How many datagrams from `start` on belong together, and the super-packet that they make if that is more than one.

        buffer       holds datagrams one after the other, each `size` bytes; the one that ends at `end` may be shorter
        Returns the super-packet with its vnet header and with one taken off the TTL, as the data path does.

        Datagrams belong together if all are whole TCP segments with payload, of one flow, without IP options, fragments or wrong checksums,
        with IP identifications and sequence numbers that continue each other, and the same in everything else: acknowledgement, window,
        TCP options, TTL, DF, TOS. The only flag is ACK, and the last may have PSH and FIN.
        """
        headers = _headers(buffer, start, min(end, start + size))
        if not headers or start + size >= end or not _alike(buffer, start, start + size, min(end, start + 2 * size), headers):
            return 1, None
        payload = size - headers
        room = min(end, start + min((_LONGEST - headers) // payload, len(_NUMBERS)) * size)
        full = (room - start) // size
        count = _run(buffer, start, full, size, headers)
        if not count:
            return 1, None
        tail = 0
        if count == full and (room - start) % size > headers and _ends_run(buffer, start, count, size, room, headers):
            tail = room - start - count * size - headers
        if count + bool(tail) == 1:
            return 1, None
        return count + bool(tail), self._joined(buffer, start, count, size, headers, tail)

    def _joined(self, buffer: Buffer, start: int, count: int, size: int, headers: int, tail: int) -> memoryview:
        out, payload = self._view, size - headers
        first = vnet.SIZE + headers
        length = headers + count * payload + tail
        last = start + count * size if tail else start + (count - 1) * size
        out[vnet.SIZE : first] = memoryview(buffer)[start : start + headers]
        payloads: np.ndarray[Any, Any] = np.ndarray((count, payload), np.uint8, buffer, start + headers, (size, 1))
        np.ndarray((count, payload), np.uint8, self._buffer, first)[:] = payloads
        if tail:
            at = first + count * payload
            out[at : at + tail] = memoryview(buffer)[last + headers : last + headers + tail]
        packet = out[vnet.SIZE : vnet.SIZE + length]
        packet[8] -= 1
        packet[MIN_HEADER + 13] |= buffer[last + MIN_HEADER + 13] & _FIN_PSH
        struct.pack_into("!H", packet, 2, length)
        struct.pack_into("!H", packet, 10, 0)
        struct.pack_into("!H", packet, 10, -int.from_bytes(packet[:MIN_HEADER], "big") % 0xFFFF)
        struct.pack_into("!H", packet, MIN_HEADER + 16, _pseudo(packet, length - MIN_HEADER))
        header = vnet.Header(vnet.NEEDS_CSUM, vnet.GSO_TCPV4, headers, payload, MIN_HEADER, 16)
        out[: vnet.SIZE] = header.packed()
        return out[: vnet.SIZE + length]


def _pseudo(packet: Buffer, length: int) -> int:
    """The folded sum of TCP's pseudo header."""
    return (int.from_bytes(packet[12:20], "big") + TCP + length) % 0xFFFF


def _headers(buffer: Buffer, start: int, end: int) -> int:
    """Bytes of both headers of a datagram that could begin a run, 0 for one that could not. Checksums are not looked at."""
    size = end - start
    if size <= MIN_HEADER + 20 or buffer[start] != 0x45 or buffer[start + 9] != TCP:
        return 0
    headers = MIN_HEADER + (buffer[start + MIN_HEADER + 12] >> 4) * 4
    if not MIN_HEADER + 20 <= headers < size or buffer[start + 2] << 8 | buffer[start + 3] != size:
        return 0
    if buffer[start + 6] & 0xBF or buffer[start + 7] or buffer[start + 8] < 2:
        return 0
    if buffer[start + MIN_HEADER + 12] & 0x0F or buffer[start + MIN_HEADER + 13] & ~_FIN_PSH != _ACK:
        return 0
    return headers


def _alike(buffer: Buffer, one: int, this: int, end: int, headers: int) -> bool:
    """Whether the datagram from `this` to `end` could be in the run that begins at `one`, by what is constant in a run."""
    if _headers(buffer, this, end) != headers or buffer[one + 1] != buffer[this + 1]:
        return False
    # Flags and TTL; addresses and ports; acknowledgement and header length; window; urgent pointer and options.
    fields = ((6, 10), (12, 24), (28, 33), (34, 36), (38, headers))
    return all(buffer[one + begin : one + stop] == buffer[this + begin : this + stop] for begin, stop in fields)


@lru_cache(maxsize=64)
def _constant(headers: int) -> np.ndarray[Any, Any]:
    """Ones where the headers of a run are the same, zeros at identification, checksums, sequence number, FIN and PSH."""
    mask = bytearray(b"\xff" * headers)
    for at, length in ((4, 2), (10, 2), (MIN_HEADER + 4, 4), (MIN_HEADER + 16, 2)):
        mask[at : at + length] = bytes(length)
    mask[MIN_HEADER + 13] = ~_FIN_PSH & 0xFF
    return np.frombuffer(mask, np.uint16)


def _run(buffer: Buffer, start: int, count: int, size: int, headers: int) -> int:
    """How many of `count` datagrams of full size continue the first; 0 if not even that one's checksums are right."""
    words = np.ndarray((count, size // 2), np.uint16, buffer, start, (size, 2))
    heads = words[:, : headers // 2]
    bad = ((heads ^ heads[0]) & _constant(headers)).any(axis=1)
    numbers = _NUMBERS[:count]
    tcp = start + MIN_HEADER
    pushed = np.ndarray((count,), np.uint8, buffer, tcp + 13, (size,)) & _FIN_PSH
    bad[1:] |= pushed[:-1] != 0
    identification = int.from_bytes(buffer[start + 4 : start + 6], "big")
    bad |= np.ndarray((count,), ">u2", buffer, start + 4, (size,)) != (numbers + identification) & 0xFFFF
    sequence = int.from_bytes(buffer[tcp + 4 : tcp + 8], "big")
    bad |= np.ndarray((count,), ">u4", buffer, tcp + 4, (size,)) != (numbers * (size - headers) + sequence) & 0xFFFFFFFF
    bad |= np.add.reduce(heads[:, : MIN_HEADER // 2], axis=1, dtype=np.uint32) % 0xFFFF != 0
    sums = np.add.reduce(words, axis=1, dtype=np.uint32)
    if size % 2:
        sums += np.ndarray((count,), np.uint8, buffer, start + size - 1, (size,)) * np.uint32(1 if _SWAP > 1 else 256)
    # The IP header adds nothing: its own sum has just been seen to be 0.
    sums += _pseudo(memoryview(buffer)[start:], size - MIN_HEADER) * _SWAP % 0xFFFF
    bad |= sums % 0xFFFF != 0
    first = int(bad.argmax())
    return first if bad[first] else count


def _ends_run(buffer: Buffer, start: int, count: int, size: int, end: int, headers: int) -> bool:
    """Whether the shorter datagram up to `end` continues a run of `count` datagrams."""
    at = start + count * size
    length = end - at
    if not _alike(buffer, start, at, end, headers) or buffer[at - size + MIN_HEADER + 13] & _FIN_PSH:
        return False
    one, this = memoryview(buffer)[start : start + headers], memoryview(buffer)[at:end]
    if (int.from_bytes(one[4:6], "big") + count) & 0xFFFF != int.from_bytes(this[4:6], "big"):
        return False
    if (int.from_bytes(one[24:28], "big") + count * (size - headers)) & 0xFFFFFFFF != int.from_bytes(this[24:28], "big"):
        return False
    total = int.from_bytes(this[MIN_HEADER:], "big") << 8 * (length % 2)
    return not int.from_bytes(this[:MIN_HEADER], "big") % 0xFFFF and not (total + _pseudo(this, length - MIN_HEADER)) % 0xFFFF
