"""The pure parts of a trace: what the probe is known by, the kernel's filter, the kernel's messages about rules, bundles, targets."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.flannel.packet import checksum
from lab.observe.decode import TUNNELS, decode
from lab.observe.sighting import Place
from lab.observe.trace import bundles, filters, rulelog
from lab.observe.trace.probe import Probe, Recogniser, nft_matches
from lab.observe.trace.recording import Frame

A, B, C = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), IPv4Address("10.0.0.9")
MARK = bytes(range(1, 9))
PROBES = {
    "tcp": Probe("tcp", A, 4000, B, 80, sequence=0x01020304),
    "udp": Probe("udp", A, 4000, B, 53, mark=MARK),
    "icmp": Probe("icmp", A, 77, B, mark=MARK),
}


def ip(protocol: int, body: bytes, source: IPv4Address = A, destination: IPv4Address = B, fragment: int = 0) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, fragment, 64, protocol, 0, source.packed, destination.packed)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def tcp(sequence: int, acknowledgement: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 4000, 80, sequence, acknowledgement, 0x50, flags, 0, 0, 0)


def udp(body: bytes, source: int = 4000, destination: int = 53) -> bytes:
    return struct.pack("!HHHH", source, destination, 8 + len(body), 0) + body


def echo(kind: int, body: bytes) -> bytes:
    return struct.pack("!BBHHH", kind, 0, 0, 77, 1) + body


def error(quoted: bytes, kind: int = 3, code: int = 3) -> bytes:
    return struct.pack("!BBHI", kind, code, 0, 0) + quoted


def vxlan(inner: bytes) -> bytes:
    return udp(b"\x08\0\0\0\0\0\x01\0" + bytes(12) + b"\x08\0" + inner, 50000, 8472)


BARE = {
    "tcp": {"there": ip(6, tcp(0x01020304, 0, 2)), "back": ip(6, tcp(9, 0x01020305, 0x12), B, A), "refused": ip(6, tcp(0, 0x01020305, 0x14), B, A)},
    "udp": {"there": ip(17, udp(MARK)), "back": ip(17, udp(b"something else", 53, 4000), B, A)},
    "icmp": {"there": ip(1, echo(8, MARK + b"more")), "back": ip(1, echo(0, MARK + b"more"), B, A)},
}
CASES = [(protocol, kind, data) for protocol, packets in BARE.items() for kind, data in packets.items()]


def passes(program: bytes, data: bytes) -> bool:
    """What the kernel's interpreter of classic BPF does with a packet that begins with its IP header (linux/filter.h)."""
    code = [struct.unpack_from("HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, x, at = 0, 0, 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation in (0x20, 0x28, 0x30):
            size, place = {0x20: 4, 0x28: 2, 0x30: 1}[operation], value - 0xFFF00000
            if place + size > len(data):
                return False
            accumulator = int.from_bytes(data[place : place + size], "big")
        elif operation == 0x54:
            accumulator &= value
        elif operation == 0x14:
            accumulator = (accumulator - value) % (1 << 32)
        elif operation == 0x07:
            x = accumulator
        elif operation in (0x15, 0x45, 0x2D):
            holds = {0x15: accumulator == value, 0x45: bool(accumulator & value), 0x2D: accumulator > x}[operation]
            at += true if holds else false
        else:
            assert operation == 0x06
            return value > 0


@pytest.mark.parametrize(("protocol", "kind", "data"), CASES)
def test_the_filter_lets_the_probe_and_its_answers_pass_in_every_wrapping(protocol: str, kind: str, data: bytes) -> None:
    program = filters.program(PROBES[protocol], TUNNELS)
    assert len(program) // 8 < 4096, "what the kernel takes"
    assert passes(program, data)
    assert passes(program, ip(17, udp(data, 8285, 8285))) and passes(program, ip(17, vxlan(data)))
    if kind == "there":
        assert passes(program, ip(1, error(data), C, A)) and passes(program, ip(17, udp(ip(1, error(data)), 8285, 8285)))
        assert passes(program, ip(1, error(ip(17, udp(data, 8285, 8285))), C, A))
    assert passes(program, ip(6, b"rest of something", fragment=185))


@pytest.mark.parametrize("protocol", list(PROBES))
def test_the_filter_lets_no_other_packet_pass(protocol: str) -> None:
    program = filters.program(PROBES[protocol], TUNNELS)
    others = [ip(6, tcp(5, 6, 2)), ip(17, udp(b"12345678", 4001, 53)), ip(1, echo(8, b"12345678")), ip(47, b"x" * 40), b"\x45", b"", bytes(64)]
    for other in others:
        assert not passes(program, other) and not passes(program, ip(17, udp(other, 8285, 8285)))


def test_the_filter_lets_bundles_pass_in_which_the_probe_may_be() -> None:
    program = filters.program(PROBES["tcp"], TUNNELS)
    other, own = ip(6, tcp(5, 6, 2)), BARE["tcp"]["there"]
    assert passes(program, ip(17, udp(other + own, 8285, 8285)))


@given(st.binary(max_size=120))
def test_the_filter_ends_for_any_bytes(data: bytes) -> None:
    for probe in PROBES.values():
        passes(filters.program(probe, TUNNELS), data)


def role(protocol: str, data: bytes, after: Iterable[bytes] = ()) -> str | None:
    recogniser = Recogniser(PROBES[protocol])
    for earlier in after:
        recogniser.role(decode(earlier, "ip"))
    return recogniser.role(decode(data, "ip"))


@pytest.mark.parametrize(("protocol", "kind", "data"), CASES)
def test_roles(protocol: str, kind: str, data: bytes) -> None:
    expected = "there" if kind == "there" else "back"
    assert role(protocol, data) == expected and role(protocol, ip(17, vxlan(data))) == expected
    if kind == "there":
        assert role(protocol, ip(1, error(data), C, A)) == "error"
    assert role(protocol, ip(1, error(ip(17, udp(b"another one", 9, 9))), C, A)) is None


def test_a_later_packet_of_the_connection_is_no_part_of_the_journey() -> None:
    assert role("tcp", ip(6, tcp(0x01020305, 10, 0x10))) is None and role("tcp", ip(6, tcp(0x01020304, 0, 1))) is None


def test_a_udp_reply_is_known_by_the_translated_addresses_too() -> None:
    translated = ip(17, udp(MARK, 999, 5353), C, B)
    reply = ip(17, udp(b"an answer", 5353, 999), B, C)
    assert role("udp", reply) is None and role("udp", reply, [translated]) == "back"
    assert role("udp", ip(17, udp(MARK, 53, 4000), B, A)) == "back", "a server that repeats what it hears"


def test_later_fragments_belong_to_the_first() -> None:
    first, rest = ip(1, echo(8, MARK + bytes(16)), fragment=0x2000), ip(1, b"rest", fragment=4)
    assert role("icmp", rest) is None and role("icmp", rest, [first]) == "there"


@pytest.mark.parametrize("protocol", list(PROBES))
def test_nft_expressions_are_one_line_each(protocol: str) -> None:
    found = list(nft_matches(PROBES[protocol], {8285: "ip", 8472: "vxlan"}))
    assert len(found) >= 4 and all("\n" not in one and "@th," in one or "dport" in one for one in found)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def told(identity: int, table: str, chain: str, *more: bytes, head: bytes = b"") -> bytes:
    body = attribute(1, table.encode() + b"\0") + attribute(2, chain.encode() + b"\0") + attribute(6, struct.pack("!I", identity)) + b"".join(more)
    if head:
        body += attribute(8, head[:20]) + attribute(9, head[20:40]) + attribute(10, struct.pack("!I", 3))
    return struct.pack("=IHHIIBBH", 20 + len(body), (10 << 8) | 17, 0, 0, 0, 2, 0, 0) + body


def rule(handle: int, code: int, chain: str = "") -> bytes:
    verdict = attribute(1, struct.pack("!i", code)) + (attribute(2, chain.encode() + b"\0") if chain else b"")
    return attribute(3, struct.pack("!Q", handle)) + attribute(4, struct.pack("!I", 3)) + attribute(5, verdict)


POLICY = attribute(4, struct.pack("!I", 1)) + attribute(16, struct.pack("!I", 1))
END = attribute(4, struct.pack("!I", 3)) + attribute(5, attribute(1, struct.pack("!i", -1)))


def test_the_kernels_messages_become_passes() -> None:
    packet, icmp = BARE["tcp"]["there"], ip(1, error(BARE["tcp"]["there"]), B, A)
    found = rulelog.passes(
        [
            told(1, rulelog.TABLE, "prerouting", rule(9, -1), head=packet),
            told(1, "nat", "PREROUTING", rule(5, -3, "KUBE-SERVICES"), head=packet),
            told(1, "nat", "KUBE-SERVICES", END),
            told(2, "filter", "OUTPUT", POLICY, head=icmp),
            told(1, "nat", "PREROUTING", rule(6, 0)),
            b"\0" * 20,
        ],
        {3: "docker0"},
    )
    assert [[(hit.chain, hit.handle, hit.verdict) for hit in one.hits] for one in found] == [
        [("PREROUTING", 5, "jump KUBE-SERVICES"), ("PREROUTING", 6, "drop")],
        [("OUTPUT", 0, "policy accept")],
    ], "a packet that is rejected: the answer's chains come in between"
    first = found[0]
    assert (first.into, first.out, first.source, first.destination, first.ports, first.flags) == ("docker0", "", str(A), str(B), (4000, 80), ("SYN",))


def test_rules_get_their_texts_by_their_order() -> None:
    saved = "*nat\n:X - [0:0]\n-A X -j RETURN\n-A X -p tcp -j DNAT --to-destination 1.2.3.4:5\n-A Y -j DROP\nCOMMIT\n"
    texts = rulelog.saved_texts(saved, {("nat", "X"): [7, 3], ("nat", "Y"): [1, 2]})
    assert texts == {("nat", 7): "-A X -j RETURN", ("nat", 3): "-A X -p tcp -j DNAT --to-destination 1.2.3.4:5"}, "Y was changed in between"
    hits = (rulelog.Hit("nat", "X", 3, "accept"), rulelog.Hit("nat", "X", 7, "return"), rulelog.Hit("nat", "Y", 1, "drop"))
    (found,) = rulelog.with_texts([rulelog.Pass("", "", "", "", 0, (0, 0), (), hits)], texts)
    assert [(hit.verdict, bool(hit.rule)) for hit in found.hits] == [("DNAT", True), ("return", True), ("drop", False)]


def test_nfts_listing_is_read_by_handle() -> None:
    listing = "table ip kube-proxy { # handle 1\n\tchain x { # handle 2\n\t\tip daddr 1.2.3.4 counter packets 3 bytes 180 drop # handle 12\n\t}\n}\n"
    assert rulelog.listed_texts("kube-proxy", listing) == {("kube-proxy", 12): "ip daddr 1.2.3.4 drop"}


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_message_is_too_strange(messages: list[bytes]) -> None:
    heads = [struct.pack("=IHHIIBBH", 20 + len(one), (10 << 8) | 17, 0, 0, 0, 2, 0, 0) + one for one in messages]
    rulelog.passes([*messages, *heads], {})


def test_a_bundle_is_taken_apart() -> None:
    packets = [BARE["tcp"]["back"], BARE["tcp"]["there"], ip(6, tcp(5, 6, 2))]
    frame = Frame(1, Place("n", "eth0"), "out", "ethernet", bytes(12) + b"\x08\0" + ip(17, udp(b"".join(packets), 8285, 8285)))
    apart = list(bundles.apart(frame, TUNNELS))
    assert [decode(one.data).innermost.transport for one in apart] == [decode(packet, "ip").transport for packet in packets]
    assert all(decode(one.data).ip.length == len(one.data) - 14 for one in apart)  # type: ignore[union-attr]
    wanted = bundles.marks(PROBES["tcp"])
    assert [bundles.worth_keeping(one, wanted) for one in apart] == [True, True, False]
    assert list(bundles.apart(apart[0], TUNNELS)) == [apart[0]]
