"""Joining segments: only what segmentation takes apart again into the very same packets, and nothing with a wrong checksum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP

from lab.flannel import packet, vnet
from lab.flannel.coalesce import Coalescer
from lab.flannel.segment import Segmenter
from tests.unit.test_flannel_segment import Stream, cut, streams

JOINABLE = st.sampled_from(["A", "PA", "FPA"])
COALESCER, SEGMENTER = Coalescer(), Segmenter()


def less_ttl(raw: bytes) -> bytes:
    mutable = bytearray(raw)
    assert packet.decrement_ttl(mutable)
    return bytes(mutable)


def groups(datagrams: list[bytes], gap: int = 10) -> list[tuple[int, bytes | None]]:
    """What take() makes of datagrams of one size, of which the last may be shorter."""
    buffer = bytearray(gap) + b"".join(datagrams)
    size, start, made = len(datagrams[0]), gap, []
    while start < len(buffer):
        count, joined = COALESCER.take(buffer, start, len(buffer), size)
        assert count >= 1 and (joined is None) == (count == 1)
        made.append((count, None if joined is None else bytes(joined)))
        start += count * size
    return made


def taken_apart(datagrams: list[bytes]) -> list[bytes]:
    """The packets that the kernel will have after it: super-packets are segmented again, the others lose one of their TTL too."""
    made, rest = [], list(datagrams)
    for count, joined in groups(datagrams):
        if joined is None:
            made.append(less_ttl(rest[0]))
        else:
            header = vnet.Header.parse(joined)
            assert (header.flags, header.gso, header.start, header.offset) == (vnet.NEEDS_CSUM, vnet.GSO_TCPV4, 20, 16)
            raw = bytearray(joined[vnet.SIZE :])
            assert not packet.fault(raw) and packet.checksum(raw[:20]) == 0
            assert header.header_size + header.segment_size == len(rest[0])
            made += cut(raw, header.segment_size, SEGMENTER)
        rest = rest[count:]
    return made


@given(streams(JOINABLE))
def test_cut_and_joined_is_the_stream_again(stream: Stream) -> None:
    assume(stream.ttl > 1)
    datagrams = stream.packets()
    assert taken_apart(datagrams) == [less_ttl(one) for one in datagrams]
    checksum = int.from_bytes(datagrams[0][10:12], "big")
    if stream.identification + len(datagrams) < 0x10000 and stream.sequence + 400 < 1 << 32 and checksum >= len(datagrams):
        assert groups(datagrams)[0][0] == len(datagrams), "where nothing wraps all of it is one super-packet"


def test_a_full_run_is_one_super_packet_with_the_pseudo_headers_sum() -> None:
    stream = Stream(bytes(range(250)) * 200, 1420, flags="PA")
    ((count, joined),) = groups(stream.packets())
    assert count == 36 and joined is not None
    whole = IP(joined[vnet.SIZE :])
    assert (whole.len, whole.ttl, whole.id, whole[TCP].seq, whole[TCP].flags) == (50052, 62, 7, 1000, "PA")
    assert bytes(whole[TCP].payload) == stream.payload
    pseudo = bytes(joined[22:30]) + b"\0\6" + (50052 - 20).to_bytes(2, "big")
    assert whole[TCP].chksum == ~packet.checksum(pseudo) & 0xFFFF


def test_no_super_packet_is_longer_than_ip_allows() -> None:
    one = Stream(bytes(1420), 1420)
    datagrams = [one.packet(number, 1420 * number, bytes(1420), "A") for number in range(64)]
    assert [count for count, _ in groups(datagrams)] == [46, 18]


CHANGES: dict[str, Callable[[IP], None]] = {
    "port": lambda one: setattr(one[TCP], "sport", 40001),
    "address": lambda one: setattr(one, "src", "10.244.1.9"),
    "acknowledgement": lambda one: setattr(one[TCP], "ack", 78),
    "window": lambda one: setattr(one[TCP], "window", 502),
    "options": lambda one: setattr(one[TCP], "options", [("NOP", None), ("NOP", None), ("Timestamp", (1, 3))]),
    "urgent pointer": lambda one: setattr(one[TCP], "urgptr", 1),
    "TTL": lambda one: setattr(one, "ttl", 50),
    "TOS": lambda one: setattr(one, "tos", 0),
    "DF": lambda one: setattr(one, "flags", 0),
    "identification": lambda one: setattr(one, "id", one.id + 1),
    "sequence number": lambda one: setattr(one[TCP], "seq", one[TCP].seq + 1),
    "CWR": lambda one: setattr(one[TCP], "flags", "CA"),
    "ECE": lambda one: setattr(one[TCP], "flags", "EA"),
    "SYN": lambda one: setattr(one[TCP], "flags", "SA"),
    "URG": lambda one: setattr(one[TCP], "flags", "UA"),
    "reserved bits": lambda one: setattr(one[TCP], "reserved", 1),
}


@pytest.mark.parametrize(("place", "length"), [(0, 1000), (1, 1000), (5, 1000), (9, 1000), (9, 950)])
@pytest.mark.parametrize("change", CHANGES)
def test_a_difference_ends_a_run(change: str, place: int, length: int) -> None:
    datagrams = Stream((bytes(range(100)) * 10)[:length], 100).packets()
    odd = IP(datagrams[place])
    CHANGES[change](odd)
    del odd.chksum, odd[TCP].chksum
    datagrams[place] = bytes(odd)
    assert [count for count, _ in groups(datagrams)] != [10]
    assert taken_apart(datagrams) == [less_ttl(one) for one in datagrams]


@pytest.mark.parametrize("flags", ["PA", "FA", "FPA"])
def test_push_and_fin_end_a_run_and_belong_to_it(flags: str) -> None:
    datagrams = Stream(bytes(1000), 100).packets()
    stream = Stream(bytes(1000), 100)
    datagrams[4] = stream.packet(7 + 4, 1000 + 400, bytes(100), flags)
    assert [count for count, _ in groups(datagrams)] == [5, 5]
    assert taken_apart(datagrams) == [less_ttl(one) for one in datagrams]


def test_an_identification_that_wraps_lends_nothing_to_the_length() -> None:
    """The headers are compared as one long number. A forger who knows that can make the carry of one field look right in the next."""
    datagrams = Stream(bytes(1000), 100, identification=0xFFFE).packets()
    forged = bytearray(datagrams[2])
    total, checksum = int.from_bytes(forged[2:4], "big"), int.from_bytes(datagrams[0][10:12], "big")
    forged[2:4], forged[10:12] = (total + 1).to_bytes(2, "big"), (checksum - 2).to_bytes(2, "big")
    assert packet.checksum(forged[:20]) == 0 and packet.fault(forged) == "bad total length"
    datagrams[2] = bytes(forged)
    assert [count for count, _ in groups(datagrams)] == [2, 1, 7]


@given(st.integers(0, 9), st.integers(0, 8 * 152 - 1), st.booleans())
def test_a_damaged_bit_is_never_laundered(place: int, bit: int, short: bool) -> None:
    datagrams = Stream(bytes(range(100)) * 10 + bytes(50) * short, 100).packets()
    damaged = bytearray(datagrams[place])
    damaged[bit // 8] ^= 1 << bit % 8
    datagrams[place] = bytes(damaged)
    seen, start = [], 0
    for count, joined in groups(datagrams):
        if start <= place < start + count:
            seen.append(joined)
        start += count
    assert seen == [None], "a damaged datagram stays alone, as it is"


@given(st.integers(0, 3), st.integers(1, 3), st.integers(1, 150))
def test_a_shorter_datagram_ends_a_run(before: int, more: int, rest: int) -> None:
    stream = Stream(bytes(range(150)) * (before + more) + bytes(rest), 150)
    assert [count for count, _ in groups(stream.packets())] == [before + more + 1]


@given(streams(JOINABLE), streams(JOINABLE), st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=3), st.booleans())
def test_a_run_like_the_one_before_is_joined_as_if_it_were_the_first(
    one: Stream, other: Stream, noise: list[tuple[int, int]], related: bool
) -> None:
    length = max(len(one.payload) // one.size, 2) * one.size
    first = dataclasses.replace(one, ttl=max(one.ttl, 2), payload=(one.payload * 2 * one.size)[:length])
    changes = {"identification": other.identification, "sequence": other.sequence, "flags": other.flags, "payload": first.payload[::-1]}
    changes |= {"ttl": other.ttl, "fragment_flag": other.fragment_flag} if other.options else {}
    second = dataclasses.replace(first, **changes) if related else other
    before, after = b"".join(first.packets()), bytearray(b"".join(second.packets()))
    for at, value in noise:
        after[at % len(after)] = value
    size, room = len(first.packets()[0]), 10 + max(len(before), len(after))
    buffer, taken, used = bytearray(room), [], Coalescer()
    for raw in (before, after):
        buffer[10 : 10 + len(raw)] = raw
        for coalescer in (used, Coalescer()):
            count, joined = coalescer.take(buffer, 10, 10 + len(raw), size)
            taken.append((count, None if joined is None else bytes(joined)))
    assert taken[0] == taken[1] and taken[2] == taken[3]


@given(st.integers(0, 8 * 152 - 1))
def test_a_bit_damaged_after_a_good_run_is_never_laundered(bit: int) -> None:
    datagrams = Stream(bytes(range(100)) * 10, 100).packets()
    buffer, coalescer = bytearray(10) + b"".join(datagrams), Coalescer()
    assert [coalescer.take(buffer, 10, len(buffer), 152)[0] for _ in range(2)] == [10, 10]
    for place in (0, 5, 9):
        at = 10 + place * 152 + bit // 8
        buffer[at] ^= 1 << bit % 8
        assert coalescer.take(buffer, 10, len(buffer), 152)[0] == max(place, 1)
        buffer[at] ^= 1 << bit % 8


def after_a_good_run(datagrams: list[bytes]) -> list[tuple[int, bytes | None]]:
    """What take() makes of ten datagrams that lie where ten good ones of the same flow were: by one that saw those, and by a new one."""
    good = Stream(bytes(1000), 100).packets()
    buffer, used, made = bytearray(10) + b"".join(good), Coalescer(), []
    assert used.take(buffer, 10, len(buffer), 152)[0] == 10
    buffer[10:] = b"".join(datagrams)
    for coalescer in (used, Coalescer()):
        count, joined = coalescer.take(buffer, 10, len(buffer), 152)
        made.append((count, None if joined is None else bytes(joined)))
    return made


@pytest.mark.parametrize("places", [range(10), [0], [1], [5], [9]], ids=str)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_after_a_good_run_is_seen(change: str, places: list[int]) -> None:
    datagrams = Stream(bytes(1000), 100).packets()
    for place in places:
        odd = IP(datagrams[place])
        CHANGES[change](odd)
        del odd.chksum, odd[TCP].chksum
        datagrams[place] = bytes(odd)
    seen, new = after_a_good_run(datagrams)
    assert seen == new


def test_forgeries_after_a_good_run_are_seen() -> None:
    wrapped = Stream(bytes(1000), 100, identification=0xFFFE).packets()
    total, checksum = int.from_bytes(wrapped[0][2:4], "big"), int.from_bytes(wrapped[0][10:12], "big")
    for number in range(2, 10):
        length, identification = (total + 1).to_bytes(2, "big"), (number - 2).to_bytes(2, "big")
        forged = bytearray(wrapped[number])
        forged[2:6], forged[10:12] = length + identification, (checksum - number).to_bytes(2, "big")
        assert packet.checksum(forged[:20]) == 0
        wrapped[number] = bytes(forged)
    header_for_payload = []
    for raw in Stream(bytes(range(100)) * 10, 100).packets():
        mutable = bytearray(raw)
        mutable[10:12] = (int.from_bytes(raw[10:12], "big") - 1).to_bytes(2, "big")
        mutable[60:62] = (int.from_bytes(raw[60:62], "big") + 1).to_bytes(2, "big")
        header_for_payload.append(bytes(mutable))
    for datagrams in (wrapped, header_for_payload):
        seen, new = after_a_good_run(datagrams)
        assert seen == new
    assert seen == (1, None), "the sum over all of a datagram is right, that over its IP header is not"


def test_what_has_no_payload_or_no_time_is_left_alone() -> None:
    one = Stream(b"", 10)
    assert [count for count, _ in groups([one.packet(number, 5, b"", "A") for number in range(5)])] == [1] * 5
    dying = dataclasses.replace(Stream(bytes(500), 100), ttl=1)
    assert [count for count, _ in groups(dying.packets())] == [1] * 5


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 200), st.integers(0, 12))
def test_arbitrary_bytes_never_raise(raw: bytes, size: int, gap: int) -> None:
    groups([raw[start : start + size] for start in range(0, len(raw), size)], gap)


@given(streams(JOINABLE), st.binary(min_size=1, max_size=6), st.integers(0, 500))
def test_almost_right_bytes_never_raise_and_nothing_is_lost(stream: Stream, noise: bytes, at: int) -> None:
    assume(stream.ttl > 2)
    datagrams = stream.packets()
    raw = bytearray(b"".join(datagrams))
    at %= len(raw)
    raw[at : at + len(noise)] = noise[: len(raw) - at]
    size = len(datagrams[0])
    made = groups([bytes(raw[start : start + size]) for start in range(0, len(raw), size)])
    assert sum(count for count, _ in made) == len(datagrams)
