"""Cuts a super-packet, many TCP segments of one flow that the kernel hands over as one long packet, into the packets it stands for.

The result is what the kernel's own segmentation makes of it: see tests/e2e/test_flannel_fast.py, which compares the two.

    packets      all in one buffer, one after the other: so they go to one sendmsg with UDP_SEGMENT
    headers      taken together they are one long number: the first header again and again, plus a number that has in each place what is
                 added there (`steps`). Three operations on it do what would be hundreds on single fields
    checksums    the sum of a whole packet is one row of one numpy sum. The words are added in the machine's own byte order, which ones'
                 complement addition allows (RFC 1071, 2 B)

numpy is imported here at the top, so this module is to be imported when there is work for it: three flanneld that start together would
otherwise spend a tenth of a second each on it.
"""

from __future__ import annotations

import struct
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from lab.flannel.packet import TCP

SMALLEST_SEGMENT = 8
"""Bytes of payload below which nobody's segment size is; the kernel draws the same line."""

SWAP = 256 if sys.byteorder == "little" else 1
"""A number times this is, modulo 0xFFFF, what its bytes in network order mean as a number of this machine."""

_FIN_PSH = 0x09
_CWR = 0x80
_LENGTH, _IDENTIFICATION, _CHECKSUM = 2, 4, 10
_SEQUENCE, _FLAGS, _TCP_CHECKSUM = 4, 13, 16
"""Places in the IP header, and in the TCP header."""

Array = np.ndarray[Any, Any]


class Segments(NamedTuple):
    """`number` packets in one buffer: each `stride` bytes, except that the last one ends where the data ends."""

    data: memoryview
    stride: int
    number: int


class Segmenter:
    """Segments one packet after another; the result is good until the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray(1 << 17)
        self._shapes: dict[tuple[int, int, int], _Shape] = {}

    @staticmethod
    def fault(packet: bytes | bytearray | memoryview, size: int) -> str:
        """Why this IPv4 packet without fault (see lab.flannel.packet) cannot be cut into segments of `size` bytes; empty if it can."""
        start = (packet[0] & 15) * 4
        if packet[9] != TCP or len(packet) < start + 20:
            return "not TCP"
        headers = start + (packet[start + 12] >> 4) * 4
        if headers < start + 20 or headers >= len(packet):
            return "bad TCP header length"
        if size < SMALLEST_SEGMENT:
            return "bad segment size"
        if packet[6] & 0x3F or packet[7]:
            return "fragment"
        return ""

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
        shape = self._shape(count, headers, headers + size)
        shape.fill(packet, payload)
        missing = count * size - payload
        self._write_headers(shape, packet, start, missing)
        shape.checksums(_pseudo(packet, start, headers + size), missing, start + _TCP_CHECKSUM)
        return Segments(memoryview(self._buffer)[: count * headers + payload], headers + size, count)

    def _shape(self, count: int, headers: int, stride: int) -> _Shape:
        key = (count, headers, stride)
        shape = self._shapes.get(key)
        if shape is None:
            if count * stride > len(self._buffer):
                self._buffer = bytearray(count * stride)
                self._shapes.clear()
            if len(self._shapes) > 256:
                self._shapes.clear()
            shape = self._shapes[key] = _Shape(self._buffer, *key)
        return shape

    def _write_headers(self, shape: _Shape, packet: bytearray | memoryview, start: int, missing: int) -> None:
        """All headers with 0 for TCP's checksum; `missing` bytes are what the last packet lacks."""
        buffer, last = self._buffer, (shape.count - 1) * shape.stride
        head = bytearray(packet[: shape.headers])
        flags = head[start + _FLAGS]
        head[start + _FLAGS] = flags & ~(_FIN_PSH | _CWR)
        struct.pack_into("!H", head, start + _TCP_CHECKSUM, 0)
        struct.pack_into("!H", head, _LENGTH, shape.stride)
        _set_checksum(head, start)
        shape.heads[:] = np.frombuffer(_repeated(head, start, shape.count, shape.size), np.uint8).reshape(shape.heads.shape)
        buffer[start + _FLAGS] |= flags & _CWR
        buffer[last + start + _FLAGS] |= flags & _FIN_PSH
        if missing:
            struct.pack_into("!H", buffer, last + _LENGTH, shape.stride - missing)
            checksum = int.from_bytes(buffer[last + _CHECKSUM : last + _CHECKSUM + 2], "big")
            struct.pack_into("!H", buffer, last + _CHECKSUM, (checksum + missing) % 0xFFFF)


class _Shape:
    """Packets in a buffer as numpy sees them: `count` rows of `stride` bytes with `headers` bytes of headers and `size` of payload each."""

    def __init__(self, buffer: bytearray, count: int, headers: int, stride: int) -> None:
        self.count, self.headers, self.stride, self.size = count, headers, stride, stride - headers
        self._buffer = buffer
        rows: Array = np.ndarray((count, stride), np.uint8, buffer)
        self.heads, self._payloads = rows[:, :headers], rows[:, headers:]
        self._words: Array = np.ndarray((count, stride // 2), np.uint16, buffer, 0, (stride, 2))
        self._odd = rows[:, -1] if stride % 2 else None
        self._columns: dict[int, Array] = {}

    def fill(self, packet: bytearray | memoryview, payload: int) -> None:
        """To every row its share of the payload; what the last row lacks becomes zeros, which add nothing to a sum."""
        source = np.frombuffer(packet, np.uint8, payload, self.headers)
        full, rest = divmod(payload, self.size)
        whole = full * self.size
        self._payloads[:full] = source[:whole].reshape(full, self.size)
        if rest:
            self._payloads[full, :rest] = source[whole:]
            self._payloads[full, rest:] = 0

    def checksums(self, pseudo: int, missing: int, at: int) -> None:
        """Write TCP's checksum into the 16 bits at `at` of each row, which are 0. `pseudo` is the sum of a full row's pseudo header."""
        # An IP header with its checksum adds up to 0, so a whole row's sum is that of its TCP segment.
        sums = row_sums(self._words, self._odd)
        if missing:
            sums[-1] += -missing * SWAP % 0xFFFF
        column = self._columns.get(at)
        if column is None:
            column = self._columns[at] = np.ndarray((self.count,), np.uint16, self._buffer, at, (self.stride,))
        # A multiple of 0xFFFF that is larger than any sum, less the pseudo header's: what remains is the complement.
        column[:] = (np.uint32(0xFFFF * 0xFF00 - pseudo * SWAP % 0xFFFF) - sums) % 0xFFFF


def row_sums(words: Array, odd: Array | None) -> Array:
    """The sum of each row's 16-bit words in the machine's byte order; `odd` is the column of last bytes where rows have an odd length."""
    sums: Array = np.add.reduce(words, axis=1, dtype=np.uint32)
    if odd is not None:
        sums += odd * np.uint32(1 if SWAP > 1 else 256)
    return sums


@lru_cache(maxsize=512)
def steps(count: int, headers: int, start: int, payload: int) -> int:
    """What is to be added to `count` equal headers, as one number in network order, to make them headers of packets in a row.

    From packet to packet the IP identification grows by one, the header checksum therefore falls by one, and the sequence number grows by
    the payload. This holds as long as none of them wraps, see `room`.
    """
    total = 0
    for number in range(count):
        row = number << 8 * (headers - _IDENTIFICATION - 2)
        row -= number << 8 * (headers - _CHECKSUM - 2)
        row += number * payload << 8 * (headers - start - _SEQUENCE - 4)
        total = (total << 8 * headers) + row
    return total


def room(head: bytes | bytearray | memoryview, start: int, payload: int) -> int:
    """How many packets from this header on go by before identification, header checksum or sequence number wraps; at least one."""
    identification, checksum = struct.unpack_from("!H4xH", head, _IDENTIFICATION)
    sequence = int.from_bytes(head[start + _SEQUENCE : start + _SEQUENCE + 4], "big")
    return min(0x10000 - int(identification), int(checksum) + 1, -((sequence - (1 << 32)) // payload))


def _repeated(head: bytearray, start: int, count: int, payload: int) -> bytes:
    """The headers of `count` packets in a row, of which `head` is the first."""
    size = len(head)
    together = min(count, room(head, start, payload))
    number = int.from_bytes(head * together, "big") + steps(together, size, start, payload)
    made = number.to_bytes(size * together, "big")
    if together == count:
        return made
    following = bytearray(head)
    identification, sequence = struct.unpack_from("!H", head, _IDENTIFICATION)[0], struct.unpack_from("!I", head, start + _SEQUENCE)[0]
    struct.pack_into("!H", following, _IDENTIFICATION, (identification + together) & 0xFFFF)
    struct.pack_into("!I", following, start + _SEQUENCE, (sequence + together * payload) & 0xFFFFFFFF)
    _set_checksum(following, start)
    return made + _repeated(following, start, count - together, payload)


def _set_checksum(head: bytearray, start: int) -> None:
    struct.pack_into("!H", head, _CHECKSUM, 0)
    struct.pack_into("!H", head, _CHECKSUM, -int.from_bytes(head[:start], "big") % 0xFFFF)


def _pseudo(packet: bytearray | memoryview, start: int, length: int) -> int:
    return int.from_bytes(packet[12:20], "big") + TCP + length - start
