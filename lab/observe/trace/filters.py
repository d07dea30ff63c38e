"""The kernel's filter for packet sockets: classic BPF that lets the probe and its answers pass, bare or in a tunnel. Pure.

The filter is a list of alternatives, each a list of conditions; a packet passes when all conditions of one alternative hold. Offsets
count from the IP header (SKF_NET_OFF of linux/filter.h), so one program serves interfaces with and without Ethernet headers. Loading
behind the packet's end rejects it, so a condition on the payload stands behind those on the headers. IP options do not occur here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from lab.observe.packet import ECHO_REPLY, ECHO_REQUEST, ICMP, TIME_EXCEEDED, UDP, UNREACHABLE
from lab.observe.trace.probe import NUMBERS, Probe

Instruction = tuple[int, int, int, int]
"""A sock_filter: code, jump when true, jump when false, constant."""

_NET = 0xFFF00000
_LOAD = {4: 0x20, 2: 0x28, 1: 0x30}
_AND, _EQUAL, _ANY, _RETURN = 0x54, 0x15, 0x45, 0x06
_TO_X, _LESS, _GREATER_X = 0x07, 0x14, 0x2D
_WHOLE = 0x40000
_OFFSET_MASK = 0x1FFF


@dataclass(frozen=True)
class Condition:
    """`size` bytes at `offset` of the IP header equal `value`; with `any_bit` they have a bit of it."""

    offset: int
    size: int
    value: int
    mask: int = 0
    any_bit: bool = False


@dataclass(frozen=True)
class Bundle:
    """A UDP datagram, its header at `udp`, that is longer than the IP packet in it, whose header is at `inner`.

    flanneld hands several datagrams of one size to the kernel as one (UDP_SEGMENT), and between machines of the lab they stay one: the
    probe may be any of them.
    """

    udp: int
    inner: int


Alternative = list["Condition | Bundle"]
"""Conditions that must all hold."""


def program(probe: Probe, tunnels: Mapping[int, str]) -> bytes:
    """The filter as SO_ATTACH_FILTER takes it: an array of struct sock_filter."""
    code = assemble(alternatives(probe, tunnels))
    return b"".join(struct.pack("HBBI", *one) for one in code)


def assemble(wanted: Sequence[Sequence[Condition | Bundle]]) -> list[Instruction]:
    """Alternatives of conditions as instructions. An alternative must be shorter than a jump can reach: 255 instructions."""
    code: list[Instruction] = []
    for conditions in wanted:
        blocks = [_condition(one) for one in conditions]
        left = sum(len(block) for block in blocks) + 1
        for block in blocks:
            left -= len(block)
            *before, (operation, _, _, value) = block
            code += [*before, (operation, 0, left, value)]
        code.append((_RETURN, 0, 0, _WHOLE))
    return [*code, (_RETURN, 0, 0, 0)]


def _condition(one: Condition | Bundle) -> list[Instruction]:
    if isinstance(one, Bundle):
        lengths = [(_LOAD[2], 0, 0, _NET + one.inner + 2), (_TO_X, 0, 0, 0), (_LOAD[2], 0, 0, _NET + one.udp + 4), (_LESS, 0, 0, 8)]
        return [*lengths, (_GREATER_X, 0, 0, 0)]
    code = [(_LOAD[one.size], 0, 0, _NET + one.offset)]
    if one.mask:
        code.append((_AND, 0, 0, one.mask))
    return [*code, (_ANY if one.any_bit else _EQUAL, 0, 0, one.value)]


def alternatives(probe: Probe, tunnels: Mapping[int, str]) -> list[Alternative]:
    """What passes: the probe and its answers, bare and in each tunnel, errors about either, and later fragments, which bear no mark."""
    found: list[Alternative] = [_piece(0), *_answers(probe, 0)]
    for port, kind in tunnels.items():
        base = _inside(kind)
        inside = (_piece(base), *_answers(probe, base), *_errors(_marked(probe, base + 28), base))
        found += [[*_headers(UDP, 0), Condition(22, 2, port), *inner] for inner in inside]
        if kind == "ip":
            found.append([*_headers(UDP, 0), Condition(22, 2, port), Condition(28, 1, 0x45), Bundle(20, 28)])
    found += _errors(_marked(probe, 28), 0)
    for port, kind in tunnels.items():
        wrapped: Alternative = [Condition(28 + 9, 1, UDP), Condition(28 + 22, 2, port)]
        found += _errors(([*wrapped, *about] for about in _marked(probe, 28 + _inside(kind))), 0)
    return found


def _errors(quoted: Iterable[Alternative], base: int) -> list[Alternative]:
    """ICMP errors, with an IP header at `base`, about what the conditions say of the quoted packet."""
    return [[*_headers(ICMP, base), Condition(base + 20, 1, kind), *about] for about in quoted for kind in (UNREACHABLE, TIME_EXCEEDED)]


def _piece(base: int) -> Alternative:
    """A later fragment."""
    return [Condition(base, 1, 0x45), Condition(base + 6, 2, _OFFSET_MASK, any_bit=True)]


def _inside(kind: str) -> int:
    """Where the IP header in a tunnel's packet begins: behind IP and UDP, and VXLAN and Ethernet."""
    return 28 if kind == "ip" else 28 + 8 + 14


def _headers(protocol: int, base: int) -> Alternative:
    return [Condition(base, 1, 0x45), Condition(base + 9, 1, protocol), Condition(base + 6, 2, 0, mask=_OFFSET_MASK)]


def _answers(probe: Probe, base: int) -> Iterator[Alternative]:
    """The probe and its reply, with an IP header at `base`."""
    head = _headers(NUMBERS[probe.protocol], base)
    if probe.protocol == "tcp":
        yield [*head, Condition(base + 24, 4, probe.sequence)]
        yield [*head, Condition(base + 28, 4, (probe.sequence + 1) % (1 << 32))]
        return
    if probe.protocol == "udp":
        yield [*head, Condition(base + 20, 2, probe.source_port)]
        yield [*head, Condition(base + 22, 2, probe.source_port)]
        yield [*head, *_payload(probe, base)]
        return
    for kind in (ECHO_REQUEST, ECHO_REPLY):
        yield [*head, Condition(base + 20, 1, kind), *_payload(probe, base)]


def _marked(probe: Probe, base: int) -> Iterator[Alternative]:
    """The probe as an ICMP error quotes it, which may be no more than eight bytes of it: of UDP its port, of an echo its identifier."""
    head = _headers(NUMBERS[probe.protocol], base)
    if probe.protocol == "tcp":
        yield [*head, Condition(base + 24, 4, probe.sequence)]
    else:
        yield [*head, *_payload(probe, base)]


def _payload(probe: Probe, base: int) -> Alternative:
    first, second = struct.unpack("!II", probe.mark)
    return [Condition(base + 28, 4, first), Condition(base + 32, 4, second)]
