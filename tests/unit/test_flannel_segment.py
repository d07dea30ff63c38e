"""Cutting super-packets and finishing checksums, with scapy's packets as the judge."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Raw

from lab.flannel import packet, vnet
from lab.flannel.segment import Segmenter

OPTIONS = [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))]


@dataclasses.dataclass(frozen=True)
class Stream:
    """A piece of a TCP stream, and how it is cut."""

    payload: bytes
    size: int
    identification: int = 7
    sequence: int = 1000
    flags: str = "A"
    ttl: int = 63
    options: bool = True
    fragment_flag: str = "DF"

    def packet(self, identification: int, sequence: int, payload: bytes, flags: str) -> bytes:
        """One packet of the stream as scapy builds it."""
        head = IP(src="10.244.1.2", dst="10.244.2.3", tos=4, id=identification & 0xFFFF, ttl=self.ttl, flags=self.fragment_flag)
        tcp = TCP(sport=40000, dport=80, seq=sequence & 0xFFFFFFFF, ack=77, window=501, flags=flags)
        tcp.options = OPTIONS if self.options else []
        return bytes(head / tcp / Raw(payload))

    def whole(self) -> bytearray:
        """The super-packet as the kernel hands it over: TCP's checksum is only that of the pseudo header."""
        raw = bytearray(self.packet(self.identification, self.sequence, self.payload, self.flags))
        raw[36:38] = b"\xab\xcd"
        return raw

    def packets(self) -> list[bytes]:
        """What it stands for."""
        starts = range(0, len(self.payload), self.size)
        made = []
        for number, start in enumerate(starts):
            flags = self.flags
            if start + self.size < len(self.payload):
                flags = flags.replace("P", "").replace("F", "")
            if number:
                flags = flags.replace("C", "")
            piece = self.payload[start : start + self.size]
            made.append(self.packet(self.identification + number, self.sequence + start, piece, flags))
        return made


@st.composite
def streams(draw: st.DrawFn, flags: st.SearchStrategy[str] = st.sampled_from(["A", "PA", "FPA", "CA", "CEPA"])) -> Stream:  # noqa: B008
    size = draw(st.integers(8, 60))
    return Stream(
        payload=draw(st.binary(min_size=1, max_size=400)),
        size=size,
        identification=draw(st.one_of(st.integers(0, 0xFFFF), st.integers(0xFFF0, 0xFFFF))),
        sequence=draw(st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0xFFFFFF00, 0xFFFFFFFF))),
        flags=draw(flags),
        ttl=draw(st.integers(1, 255)),
        options=draw(st.booleans()),
        fragment_flag=draw(st.sampled_from(["DF", ""])),
    )


def cut(raw: bytearray, size: int, segmenter: Segmenter) -> list[bytes]:
    data, stride, number = segmenter.segment(raw, size)
    made = [bytes(data[start : start + stride]) for start in range(0, len(data), stride)]
    assert len(made) == number
    return made


SEGMENTER = Segmenter()
"""Used again and again: nothing of one packet may show in the next."""


@given(streams())
def test_segments_are_what_scapy_builds(stream: Stream) -> None:
    assert cut(stream.whole(), stream.size, SEGMENTER) == stream.packets()


@pytest.mark.parametrize("size", [1420, 1421])
@pytest.mark.parametrize("identification", [0, 0xFFF0])
def test_the_longest_packets(size: int, identification: int) -> None:
    stream = Stream(bytes(range(256)) * 255, size, identification, 0xFFFFFFF0, "PA")
    assert cut(stream.whole(), size, SEGMENTER) == stream.packets()


def test_the_most_segments() -> None:
    stream = Stream(bytes(range(256)) * 255, 8, 0xFF00, 0xFFFFFFF0)
    made = cut(stream.whole(), 8, SEGMENTER)
    assert len(made) == 8160
    assert b"".join(one[52:] for one in made) == stream.payload
    for number in (0, 255, 256, 8159):
        assert made[number] == stream.packet(0xFF00 + number, 0xFFFFFFF0 + 8 * number, stream.payload[8 * number :][:8], "A")


def test_every_header_checksum_comes_right() -> None:
    """Where identification and checksum wrap depends on the other fields: all sixteen bits of one of them, in big steps."""
    for sequence in range(0, 0x10000, 0x101):
        stream = Stream(bytes(400), 40, identification=sequence, sequence=sequence)
        for made in cut(stream.whole(), 40, SEGMENTER):
            assert packet.checksum(made[:20]) == 0, sequence


def test_ip_options_are_copied() -> None:
    raw = bytearray(bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=9, options=[b"\x01\x01\x01\x00"]) / TCP(flags="A") / Raw(bytes(100))))
    first, second = (IP(one) for one in cut(raw, 64, SEGMENTER))
    for made, identification, load in ((first, 9, 64), (second, 10, 36)):
        checked = made.copy()
        del checked.chksum, checked[TCP].chksum
        assert bytes(checked) == bytes(made)
        assert (made.ihl, made.id, len(made[TCP].payload)) == (6, identification, load)


@pytest.mark.parametrize(
    ("raw", "size", "reason"),
    [
        (bytes(IP() / UDP() / Raw(bytes(50))), 20, "not TCP"),
        (bytes(IP(proto=6) / Raw(bytes(10))), 20, "not TCP"),
        (bytes(IP() / TCP(dataofs=4) / Raw(bytes(50))), 20, "bad TCP header length"),
        (bytes(IP() / TCP(dataofs=15) / Raw(bytes(10))), 20, "bad TCP header length"),
        (bytes(IP() / TCP()), 20, "bad TCP header length"),
        (bytes(IP() / TCP() / Raw(bytes(50))), 7, "bad segment size"),
        (bytes(IP(flags="MF") / TCP() / Raw(bytes(50))), 20, "fragment"),
        (bytes(IP() / TCP() / Raw(bytes(50))), 20, ""),
    ],
)
def test_what_cannot_be_cut(raw: bytes, size: int, reason: str) -> None:
    assert Segmenter.fault(raw, size) == reason


@given(st.binary(max_size=120), st.integers(0, 0xFFFF))
def test_arbitrary_bytes_never_raise(raw: bytes, size: int) -> None:
    whole = bytearray(b"\x45\0" + (len(raw) + 20).to_bytes(2, "big") + raw[:16].ljust(16, b"\6") + raw)
    assert not packet.fault(whole)
    if not Segmenter.fault(whole, size):
        assert sum(len(one) for one in cut(whole, size, SEGMENTER)) >= len(whole)


# --- vnet headers -----------------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=60), st.sampled_from([UDP, TCP]))
def test_a_checksum_is_finished(load: bytes, layer: type[UDP] | type[TCP]) -> None:
    whole = bytes(IP(src="10.244.1.2", dst="10.244.2.3") / layer(sport=1, dport=2) / Raw(load))
    offset = 6 if layer is UDP else 16
    pseudo = whole[12:20] + bytes([0, whole[9]]) + (len(whole) - 20).to_bytes(2, "big")
    raw = bytearray(whole)
    raw[20 + offset : 22 + offset] = (~packet.checksum(pseudo) & 0xFFFF).to_bytes(2, "big")
    assert vnet.complete(raw, vnet.Header(vnet.NEEDS_CSUM, start=20, offset=offset))
    assert bytes(raw) == whole


def test_a_udp_checksum_is_never_zero() -> None:
    raw = bytearray(28)
    raw[20:22] = b"\xff\xff"
    assert vnet.complete(raw, vnet.Header(vnet.NEEDS_CSUM, start=20, offset=6))
    assert raw[26:28] == b"\xff\xff", "0 says that there is no checksum"


@given(st.binary(max_size=40), st.binary(min_size=10, max_size=10))
def test_a_header_that_points_elsewhere_is_refused(raw: bytes, head: bytes) -> None:
    header = vnet.Header.parse(head)
    assert header.packed() == head
    done = vnet.complete(bytearray(raw), header)
    assert done == (header.start + header.offset + 2 <= len(raw))
