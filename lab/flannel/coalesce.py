"""Joins TCP segments of one flow that came one after the other into a super-packet, which goes through the kernel as one packet.

Only what segmentation would take apart again into the very same packets is joined: see `Coalescer.take`. Each segment's checksums are
verified first, because the kernel believes a super-packet: a damaged segment stays alone, and the receiver finds the damage.

numpy is imported here at the top; see lab.flannel.segment.
"""

from __future__ import annotations

import struct
from functools import lru_cache

import numpy as np

from lab.flannel import vnet
from lab.flannel.packet import MIN_HEADER, TCP
from lab.flannel.segment import SWAP, Array, room, row_sums, steps

_LONGEST = 65535
_MOST = 4096
"""Datagrams in one super-packet. Sums of rows could be large only where rows are, and then they are few."""

_MAX_CACHED = 256
_FLAGS = MIN_HEADER + 13
_ACK = 0x10
_ACK_ONLY = bytes([_ACK])
_FIN_PSH = 0x09

_IP_HEADER = (1 << 8 * MIN_HEADER) - 1
_ONES = np.uint32(0xFFFF)

Buffer = bytearray | memoryview


class Coalescer:
    """Joins one run after another; a super-packet is good until the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray(vnet.SIZE + _LONGEST + 1)
        self._view = memoryview(self._buffer)
        self._last: Buffer | None = None
        self._shapes: dict[tuple[int, int, int, int], _Shape] = {}
        self._runs: dict[tuple[int, int, int, bytes], _Run] = {}

    def take(self, buffer: Buffer, start: int, end: int, size: int) -> tuple[int, memoryview | None]:
        """How many datagrams from `start` on belong together, and the super-packet that they make if that is more than one.

        buffer       holds datagrams one after the other, each `size` bytes; the one that ends at `end` may be shorter
        Returns the super-packet with its vnet header and with one taken off the TTL, as the data path does.

        Datagrams belong together if all are whole TCP segments with payload, of one flow, without IP options, fragments or wrong checksums,
        with IP identifications and sequence numbers that continue each other, and the same in everything else: acknowledgement, window,
        TCP options, TTL, DF, TOS. The only flag is ACK, and the last may have PSH and FIN.

        A flow's next run mostly has the place and the size of the one before. It is then compared with that as a whole (see `_Run`); what
        differs is looked at piece by piece.
        """
        key = (start, end, size, bytes(buffer[start + 12 : start + 24]))
        known = self._runs.get(key)
        if known is not None and buffer is self._last:
            joined = known.again()
            if joined is not None:
                return known.count, joined
        headers = _headers(buffer, start, min(end, start + size))
        if not headers or start + size >= end or buffer[start + _FLAGS] != _ACK:
            return 1, None
        payload = size - headers
        stop = min(end, start + min((_LONGEST - headers) // payload, _MOST) * size)
        if not _alike(buffer, start, start + size, min(stop, start + 2 * size), headers):
            return 1, None
        full = (stop - start) // size
        # The first with other flags is the last that can belong to the run.
        flags = bytes(buffer[start + _FLAGS : start + full * size : size])
        possible = min(full, full - len(flags.lstrip(_ACK_ONLY)) + 1)
        shape = self._shape(buffer, start, possible, size, headers)
        count = shape.run(_pseudo(buffer, start, size - MIN_HEADER))
        tail = 0
        if count == full and flags[-1] == _ACK and _ends_run(buffer, start, start + full * size, stop, full, size, headers):
            tail = stop - start - full * size - headers
        if count + bool(tail) < 2:
            return 1, None
        if count == full and start + full * size == stop:
            if len(self._runs) >= _MAX_CACHED:
                self._runs.clear()
            self._runs[key] = _Run(shape, self._view, bytes(buffer[start : start + headers]))
        return count + bool(tail), self._joined(buffer, start, count, size, headers, tail)

    def _shape(self, buffer: Buffer, start: int, count: int, size: int, headers: int) -> _Shape:
        if buffer is not self._last or len(self._shapes) > _MAX_CACHED:
            self._last = buffer
            self._shapes.clear()
            self._runs.clear()
        key = (start, count, size, headers)
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape(buffer, self._buffer, start, count, size, headers)
        return shape

    def _joined(self, buffer: Buffer, start: int, count: int, size: int, headers: int, tail: int) -> memoryview:
        out, payload = self._view, size - headers
        first = vnet.SIZE + headers
        length = headers + count * payload + tail
        last = start + count * size if tail else start + (count - 1) * size
        out[vnet.SIZE : first] = memoryview(buffer)[start : start + headers]
        shape = self._shape(buffer, start, count, size, headers)
        shape.joined[:] = shape.payloads
        if tail:
            at = first + count * payload
            out[at : at + tail] = memoryview(buffer)[last + headers : last + headers + tail]
        packet = out[vnet.SIZE : vnet.SIZE + length]
        packet[8] -= 1
        packet[_FLAGS] |= buffer[last + _FLAGS] & _FIN_PSH
        struct.pack_into("!H", packet, 2, length)
        struct.pack_into("!H", packet, 10, 0)
        struct.pack_into("!H", packet, 10, -int.from_bytes(packet[:MIN_HEADER], "big") % 0xFFFF)
        struct.pack_into("!H", packet, MIN_HEADER + 16, _pseudo(packet, 0, length - MIN_HEADER))
        header = vnet.Header(vnet.NEEDS_CSUM, vnet.GSO_TCPV4, headers, payload, MIN_HEADER, 16)
        out[: vnet.SIZE] = header.packed()
        return out[: vnet.SIZE + length]


def _pseudo(buffer: Buffer | bytes, at: int, length: int) -> int:
    """The folded sum of TCP's pseudo header for the packet at `at`."""
    return (int.from_bytes(buffer[at + 12 : at + 20], "big") + TCP + length) % 0xFFFF


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
    if buffer[start + MIN_HEADER + 12] & 0x0F or buffer[start + _FLAGS] & ~_FIN_PSH != _ACK:
        return 0
    return headers


def _alike(buffer: Buffer, one: int, this: int, end: int, headers: int) -> bool:
    """Whether the datagram from `this` to `end` could be in the run that begins at `one`, by what is constant in a run."""
    if _headers(buffer, this, end) != headers or buffer[one + 1] != buffer[this + 1]:
        return False
    return (
        buffer[one + 6 : one + 10] == buffer[this + 6 : this + 10]  # DF, TTL
        and buffer[one + 12 : one + 24] == buffer[this + 12 : this + 24]  # addresses, ports
        and buffer[one + 28 : one + 33] == buffer[this + 28 : this + 33]  # acknowledgement, header length
        and buffer[one + 34 : one + 36] == buffer[this + 34 : this + 36]  # window
        and buffer[one + 38 : one + headers] == buffer[this + 38 : this + headers]  # urgent pointer, options
    )


@lru_cache(maxsize=512)
def _constant(count: int, headers: int) -> int:
    """As one number: ones where `count` headers are what the first says, zeros at TCP's checksum, FIN and PSH."""
    mask = bytearray(b"\xff" * headers)
    mask[MIN_HEADER + 16 : MIN_HEADER + 18] = bytes(2)
    mask[_FLAGS] = ~_FIN_PSH & 0xFF
    return int.from_bytes(mask * count, "big")


class _Shape:
    """Datagrams in a buffer as numpy sees them: rows of `size` bytes from `start` on."""

    def __init__(self, buffer: Buffer, out: bytearray, start: int, count: int, size: int, headers: int) -> None:
        def part(at: int, width: int) -> Array:
            made: Array = np.ndarray((count, width), np.uint8, buffer, at, (size, 1))
            return made

        self.heads = part(start, headers)
        self.payloads = part(start + headers, size - headers)
        self.joined: Array = np.ndarray((count, size - headers), np.uint8, out, vnet.SIZE + headers)
        self.words: Array = np.ndarray((count, size // 2), np.uint16, buffer, start, (size, 2))
        self.odd = part(start + size - 1, 1)[:, 0] if size % 2 else None

    def run(self, pseudo: int) -> int:
        """How many rows continue the first; 0 if its own checksums are wrong. FIN and PSH are not looked at.

        pseudo   the sum of the pseudo header of the first
        """
        heads = self.heads.tobytes()
        count, size = self.heads.shape
        first = heads[:size]
        if int.from_bytes(first[:MIN_HEADER], "big") % 0xFFFF:
            return 0
        payload = self.payloads.shape[1]
        count = min(count, room(first, MIN_HEADER, payload))
        expected = int.from_bytes(first * count, "big") + steps(count, size, MIN_HEADER, payload)
        wrong = (int.from_bytes(heads[: count * size], "big") ^ expected) & _constant(count, size)
        if wrong:
            count -= 1 + (wrong.bit_length() - 1) // (8 * size)
        # The IP headers add nothing: the first one's sum is 0, and the others are like it.
        sums = row_sums(self.words, self.odd)
        sums += np.uint32(pseudo * SWAP % 0xFFFF)
        bad = sums % 0xFFFF != 0
        worst = int(bad.argmax())
        return min(int(count), worst) if bad[worst] else int(count)


class _Run:
    """A run of full datagrams that was joined, as the pattern for others of its flow with the same place and size.

    All headers are one number, as in lab.flannel.segment, so that a few operations say whether a run is like the pattern, wholly and with
    right checksums. Where it is not, nothing is known about it.
    """

    def __init__(self, shape: _Shape, out: memoryview, first: bytes) -> None:
        """`first` is the header of the first datagram, which has ACK as its only flag."""
        self._shape = shape
        self.count, self._headers = shape.heads.shape
        payload = shape.payloads.shape[1]
        length = self._headers + self.count * payload
        self._out, self._result = out, out[: vnet.SIZE + length]
        # What may differ from run to run: identification, checksums, sequence number, acknowledgement, window, urgent pointer, options.
        same = bytearray(self._headers)
        for at, end in ((0, 4), (6, 10), (12, 24), (32, 34)):
            same[at:end] = b"\xff" * (end - at)
        self._same = int.from_bytes(same, "big")
        self._pattern = int.from_bytes(first, "big") & self._same
        # What may differ from datagram to datagram, other than by steps: TCP's checksum, and the last one's FIN and PSH.
        constant = bytearray(b"\xff" * self._headers)
        constant[MIN_HEADER + 16 : MIN_HEADER + 18] = bytes(2)
        self._constant_first = int.from_bytes(constant, "big")
        self._last_flags = 8 * (self._headers - _FLAGS - 1)
        self._constant = int.from_bytes(constant * self.count, "big") & ~(_FIN_PSH << self._last_flags)
        self._steps = steps(self.count, self._headers, MIN_HEADER, payload)
        pseudo = _pseudo(first, 0, self._headers + payload - MIN_HEADER)
        self._right = np.full(self.count, -pseudo * SWAP % 0xFFFF, np.uint32).tobytes()
        # The header of the super-packet: what stays of the first datagram's, and what is put there.
        made = bytearray(first)
        made[2:4] = length.to_bytes(2, "big")
        made[8] -= 1
        made[10:12] = bytes(2)
        made[MIN_HEADER + 16 : MIN_HEADER + 18] = _pseudo(first, 0, length - MIN_HEADER).to_bytes(2, "big")
        vnet_head = vnet.Header(vnet.NEEDS_CSUM, vnet.GSO_TCPV4, self._headers, payload, MIN_HEADER, 16).packed()
        fixed = bytearray(same)
        fixed[10:12] = fixed[MIN_HEADER + 16 : MIN_HEADER + 18] = b"\xff\xff"
        self._differing = int.from_bytes(fixed, "big") ^ int.from_bytes(b"\xff" * self._headers, "big")
        self._made = int.from_bytes(vnet_head + made, "big") & ~self._differing

    def again(self) -> memoryview | None:
        """The super-packet that the datagrams now in the buffer make, or None if they are not like the pattern."""
        shape, size, count = self._shape, self._headers, self.count
        heads = shape.heads.tobytes()
        first = int.from_bytes(heads[:size], "big")
        if first & self._same != self._pattern or (first >> 8 * (size - MIN_HEADER)) % 0xFFFF:
            return None
        if room(heads[:size], MIN_HEADER, shape.payloads.shape[1]) < count:
            return None
        together = int.from_bytes(heads, "big")
        repeated = int.from_bytes((first & self._constant_first).to_bytes(size, "big") * count, "big")
        if together & self._constant != repeated + self._steps:
            return None
        sums = row_sums(shape.words, shape.odd)
        sums %= _ONES
        if sums.tobytes() != self._right:
            return None
        made = first & self._differing | self._made | together & (_FIN_PSH << self._last_flags)
        made |= -(made >> 8 * (size - MIN_HEADER) & _IP_HEADER) % 0xFFFF << 8 * (size - 12)
        self._out[: vnet.SIZE + size] = made.to_bytes(vnet.SIZE + size, "big")
        shape.joined[:] = shape.payloads
        return self._result


def _ends_run(buffer: Buffer, start: int, at: int, end: int, count: int, size: int, headers: int) -> bool:
    """Whether the datagram from `at` to `end`, which may be none, continues a run of `count` longer ones."""
    if not _alike(buffer, start, at, end, headers):
        return False
    one, this = memoryview(buffer)[start : start + headers], memoryview(buffer)[at:end]
    if (int.from_bytes(one[4:6], "big") + count) & 0xFFFF != int.from_bytes(this[4:6], "big"):
        return False
    if (int.from_bytes(one[24:28], "big") + count * (size - headers)) & 0xFFFFFFFF != int.from_bytes(this[24:28], "big"):
        return False
    length = end - at
    total = int.from_bytes(this[MIN_HEADER:], "big") << 8 * (length % 2)
    return not int.from_bytes(this[:MIN_HEADER], "big") % 0xFFFF and not (total + _pseudo(buffer, at, length - MIN_HEADER)) % 0xFFFF
