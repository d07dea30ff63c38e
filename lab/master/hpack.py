"""Header fields of HTTP/2 (HPACK, RFC 7541), as far as a client of gRPC needs them. Pure.

Written without compression: what is sent is the same few fields for each request. Read with everything that a server may use.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable

TABLE_SIZE = 4096
"""Bytes of the table of fields that have come before, unless a smaller one is agreed on."""

_ENTRY = 32
"""Bytes that an entry counts beside its name and value."""

_STATIC = """:authority;:method GET;:method POST;:path /;:path /index.html;:scheme http;:scheme https;:status 200;:status 204;:status 206;:status 304
:status 400;:status 404;:status 500;accept-charset;accept-encoding gzip, deflate;accept-language;accept-ranges;accept
access-control-allow-origin;age;allow;authorization;cache-control;content-disposition;content-encoding;content-language;content-length
content-location;content-range;content-type;cookie;date;etag;expect;expires;from;host;if-match;if-modified-since;if-none-match;if-range
if-unmodified-since;last-modified;link;location;max-forwards;proxy-authenticate;proxy-authorization;range;referer;refresh;retry-after
server;set-cookie;strict-transport-security;transfer-encoding;user-agent;vary;via;www-authenticate"""

Field = tuple[str, str]
STATIC: tuple[Field, ...] = tuple(
    (name, value) for one in _STATIC.replace("\n", ";").split(";") for name, _, value in [one.partition(" ")]
)
"""Appendix A of the RFC; the first one has the number 1."""

_LENGTHS = """13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6
5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7
6 5 5 6 7 7 7 7 7 15 11 14 13 28 20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24 22 21 20 22
22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26
27 27 26 27 24 21 21 26 26 28 27 27 27 20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26 30"""
"""How many bits the Huffman code of each byte has, and of the end of a string: the codes of Appendix B follow from that."""


class HpackError(ValueError):
    """These are no header fields."""


def literal(name: str, value: str) -> bytes:
    """A field by its text, which enters no table. Name and value are shorter than 127 bytes."""
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


class Decoder:
    """Reads the header blocks of one connection, in the order in which they come: each may refer to those before it."""

    def __init__(self) -> None:
        self._table: deque[Field] = deque()
        self._size, self._limit = 0, TABLE_SIZE

    def decode(self, block: bytes) -> list[Field]:
        """The fields of a block. Raises HpackError."""
        fields: list[Field] = []
        place = 0
        try:
            while place < len(block):
                place = self._one(block, place, fields)
        except IndexError:
            raise HpackError("header fields break off") from None
        return fields

    def _one(self, block: bytes, place: int, fields: list[Field]) -> int:
        first = block[place]
        if first & 0x80:
            number, place = _integer(block, place, 7)
            fields.append(self._entry(number))
        elif first & 0xE0 == 0x20:
            limit, place = _integer(block, place, 5)
            if limit > TABLE_SIZE:
                raise HpackError(f"a table of {limit} bytes was never agreed on")
            self._limit = limit
            self._shrink()
        else:
            is_kept = bool(first & 0x40)
            number, place = _integer(block, place, 6 if is_kept else 4)
            name = self._entry(number)[0] if number else ""
            if not number:
                name, place = _text(block, place)
            value, place = _text(block, place)
            fields.append((name, value))
            if is_kept:
                self._table.appendleft((name, value))
                self._size += _weight((name, value))
                self._shrink()
        return place

    def _entry(self, number: int) -> Field:
        if 0 < number <= len(STATIC):
            return STATIC[number - 1]
        if number == 0 or number > len(STATIC) + len(self._table):
            raise HpackError(f"there is no field of number {number}")
        return self._table[number - len(STATIC) - 1]

    def _shrink(self) -> None:
        while self._size > self._limit:
            self._size -= _weight(self._table.pop())


def _weight(field: Field) -> int:
    return len(field[0]) + len(field[1]) + _ENTRY


def _integer(block: bytes, place: int, bits: int) -> tuple[int, int]:
    """A number that begins in the last bits of a byte, and the place behind it."""
    most = (1 << bits) - 1
    number = block[place] & most
    place += 1
    shift = 0
    while number >= most or shift:
        byte = block[place]
        place += 1
        number += (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            break
        if shift > 28:
            raise HpackError("a number is too large")
    return number, place


def _text(block: bytes, place: int) -> tuple[str, int]:
    is_huffman = bool(block[place] & 0x80)
    length, place = _integer(block, place, 7)
    raw = block[place : place + length]
    if len(raw) < length:
        raise HpackError("header fields break off")
    return (huffman(raw) if is_huffman else raw).decode("utf-8", "replace"), place + length


@functools.cache
def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) -> byte, 256 for the end. The codes of a length are consecutive, in the order of the bytes."""
    lengths = [int(one) for one in _LENGTHS.split()]
    found: dict[tuple[int, int], int] = {}
    code = last = 0
    for symbol in sorted(range(len(lengths)), key=lambda one: (lengths[one], one)):
        code <<= lengths[symbol] - last
        last = lengths[symbol]
        found[last, code] = symbol
        code += 1
    return found


@functools.lru_cache(maxsize=256)
def huffman(raw: bytes) -> bytes:
    """The bytes that a Huffman-coded string stands for; it ends with ones. Raises HpackError."""
    codes, made = _codes(), bytearray()
    bits = code = 0
    for bit in _bits(raw):
        code, bits = code << 1 | bit, bits + 1
        symbol = codes.get((bits, code))
        if symbol is not None:
            if symbol > 255:
                raise HpackError("a string goes on behind its end")
            made.append(symbol)
            bits = code = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise HpackError("a string breaks off")
    return bytes(made)


def _bits(raw: bytes) -> Iterable[int]:
    return (byte >> shift & 1 for byte in raw for shift in range(7, -1, -1))
