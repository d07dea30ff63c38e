"""Cuts a super-packet, many TCP segments of one flow that the kernel hands over as one long packet, into the packets it stands for.

The result is what the kernel's own segmentation makes of it: see tests/e2e/test_flannel_fast.py, which compares the two.

    bytes           all segments at once, in one buffer, one after the other: so they go to one sendmsg with UDP_SEGMENT
    headers         the first one's, with length, IP identification, sequence number, flags and both checksums as each segment needs them
    checksums       the sum of a whole segment is one row of one numpy sum. The words are added in the machine's own byte order, which ones'
                    complement addition allows (RFC 1071, 2 B)

numpy is imported here at the top, so this module is to be imported when there is work for it: three flanneld that start together would
otherwise spend a tenth of a second each on it.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np

from lab.flannel.packet import TCP

SMALLEST_SEGMENT = 8
"""Bytes of payload below which nobody's segment size is; the kernel draws the same line."""

_FIN_PSH = 0x09
_CWR = 0x80
_SWAP = 256 if sys.byteorder == "little" else 1
"""A number times this is, modulo 0xFFFF, what its bytes in network order mean as a number of this machine."""

_NUMBERS = np.arange(65536 // SMALLEST_SEGMENT + 2, dtype=np.int64)


def fault(packet: bytes | bytearray | memoryview, size: int) -> str:
    """Why this IPv4 packet without fault (see lab.flannel.packet) cannot be cut into segments of `size` bytes; empty if it can."""
    start = (packet[0] & 15) * 4
    if packet[9] != TCP or len(packet) < start + 20:
        return "bad segmentation: not TCP"
    headers = start + (packet[start + 12] >> 4) * 4
    if headers < start + 20 or headers >= len(packet):
        return "bad segmentation: TCP header length"
    if size < SMALLEST_SEGMENT:
        return "bad segmentation: segment size"
    if packet[6] & 0x3F or packet[7]:
        return "bad segmentation: fragment"
    return ""


class Segments(NamedTuple):
    """`number` packets in one buffer: each `stride` bytes, except that the last one ends where the data ends."""

    data: memoryview
    stride: int
    number: int


class Segmenter:
    """Segments one packet after another; the result is good until the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 17)
        self._rows: dict[tuple[int, int], _Rows] = {}

    def segment(self, packet: bytearray | memoryview, size: int) -> Segments:
        """Cut a packet without fault into segments with `size` bytes of payload each.

        The TTL is copied as it is. The checksums in `packet` are not looked at: it comes from this machine's kernel, which leaves the TCP
        checksum to us and has checked the other.
        """
        start = (packet[0] & 15) * 4
        headers = start + (packet[start + 12] >> 4) * 4
        payload = len(packet) - headers
        size = min(size, payload)
        count = -(-payload // size)
        missing = count * size - payload
        stride = headers + size
        rows = self._view(count, stride)
        _fill(rows, packet, headers, payload)
        _number(rows, packet, start, missing)
        return Segments(memoryview(self._buffer)[: count * stride - missing], stride, count)

    def _view(self, count: int, stride: int) -> _Rows:
        rows = self._rows.get((count, stride))
        if rows is None:
            if count * stride > len(self._buffer):
                self._buffer = bytearray(count * stride)
                self._rows.clear()
            if len(self._rows) > 256:
                self._rows.clear()
            rows = self._rows[count, stride] = _Rows(self._buffer, count, stride)
        return rows


class _Rows:
    """Segments in a buffer as numpy sees them: a row each, and a column for each field of their headers."""

    def __init__(self, buffer: bytearray, count: int, stride: int) -> None:
        self.count = count
        self.stride = stride
        self.bytes = np.ndarray((count, stride), np.uint8, buffer)
        self._words = np.ndarray((count, stride // 2), np.uint16, buffer, 0, (stride, 2))
        self._buffer = buffer
        self._columns: dict[tuple[int, str], np.ndarray[Any, Any]] = {}

    def column(self, at: int, kind: str = ">u2") -> np.ndarray[Any, Any]:
        """One field of every row; by default 16 bits in network order."""
        found = self._columns.get((at, kind))
        if found is None:
            found = self._columns[at, kind] = np.ndarray((self.count,), kind, self._buffer, at, (self.stride,))
        return found

    def sums(self) -> np.ndarray[Any, Any]:
        """The sum of each row's words in this machine's byte order, not yet folded."""
        sums: np.ndarray[Any, Any] = np.add.reduce(self._words, axis=1, dtype=np.uint32)
        if self.stride % 2:
            sums += self.bytes[:, -1] * np.uint32(1 if _SWAP > 1 else 256)
        return sums


def _fill(rows: _Rows, packet: bytearray | memoryview, headers: int, payload: int) -> None:
    """The headers in every row, and to each its share of the payload; what the last row lacks becomes zeros, which add nothing to a sum."""
    source = np.frombuffer(packet, np.uint8)
    size = rows.stride - headers
    full, rest = divmod(payload, size)
    rows.bytes[:, :headers] = source[:headers]
    rows.bytes[:full, headers:] = source[headers : headers + full * size].reshape(full, size)
    if rest:
        rows.bytes[full, headers : headers + rest] = source[headers + full * size :]
        rows.bytes[full, headers + rest :] = 0


def _number(rows: _Rows, packet: bytearray | memoryview, start: int, missing: int) -> None:
    """What is different from segment to segment: flags, length, identification, sequence number, checksums; `start` is TCP's."""
    count, stride = rows.count, rows.stride
    size = stride - start - (packet[start + 12] >> 4) * 4
    flags = packet[start + 13]
    if flags & (_FIN_PSH | _CWR):
        column = rows.column(start + 13, "u1")
        column[:-1] &= ~_FIN_PSH & 0xFF
        column[1:] &= ~_CWR & 0xFF
    length = rows.column(2)
    length[:] = stride
    length[-1] = stride - missing

    numbers = _NUMBERS[:count]
    first = int.from_bytes(packet[4:6], "big")
    rows.column(4)[:] = first + numbers
    # The header's sum without the fields that change: total length, identification, checksum.
    others = int.from_bytes(packet[:start], "big") - len(packet) - first - int.from_bytes(packet[10:12], "big")
    totals = numbers + (others + stride + first) % 0xFFFF
    totals[-1] -= missing
    rows.column(10)[:] = -totals % 0xFFFF

    rows.column(start + 4, ">u4")[:] = numbers * size + int.from_bytes(packet[start + 4 : start + 8], "big")
    rows.column(start + 16)[:] = 0
    pseudo = int.from_bytes(packet[12:20], "big") + TCP + stride - start
    # An IP header with its checksum adds up to 0, so a whole row's sum is that of its TCP segment.
    sums = rows.sums()
    sums += pseudo * _SWAP % 0xFFFF
    sums[-1] += -missing * _SWAP % 0xFFFF
    sums %= 0xFFFF
    sums *= 0xFFFE  # minus one, so that the result is the complement
    sums %= 0xFFFF
    rows.column(start + 16, "u2")[:] = sums
