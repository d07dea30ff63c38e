"""Puts the rules that a tracer printed where the packet was when it hit them. Pure.

A pass through a base chain says by which interface the packet came in, or goes out, and how it looked; so each belongs behind the
sighting that brought the packet into the machine, or behind the socket that it came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.errors import UsageError
from lab.kubeproxy import explain
from lab.model.text import Text
from lab.observe.packet import Packet, Tcp, Udp
from lab.observe.trace import rulelog
from lab.observe.trace.journey import Hop, LegKind, RuleHit
from lab.observe.trace.probe import NUMBERS
from lab.observe.trace.recording import Names, Recording
from lab.observe.trace.rulelog import Pass

Passes = dict[str, list[Pass]]


def of_machines(recording: Recording) -> Passes:
    """The passes of each machine whose rules were watched, in order."""
    return {machine.name: list(machine.passes) for machine in recording.machines if machine.passes}


def attached(recording: Recording, kind: LegKind, hops: Sequence[Hop], passes: Passes) -> list[Hop]:
    """The hops with the rules that were hit behind each of them."""
    found: dict[int, list[RuleHit]] = {}
    for machine, own in passes.items():
        here = [number for number, hop in enumerate(hops) if hop.machine == machine]
        reached = 0
        for one in own:
            fitting = [number for number in _behind(recording, one, hops, here) if number >= reached]
            if not fitting or (kind != "there" and not _answers(one, kind)):
                continue
            reached = fitting[0]
            wrapping = _wrapping(one, hops, reached)
            found.setdefault(reached, []).extend(_hit(hit, recording.names, wrapping) for hit in one.hits)
    return [replace(hop, rules=tuple(found.get(number, ()))) for number, hop in enumerate(hops)]


def _behind(recording: Recording, one: Pass, hops: Sequence[Hop], here: Sequence[int]) -> list[int]:
    """The numbers of the hops on the pass's machine behind which it can have taken place.

    here   the numbers of the hops on that machine
    """

    def passed(number: int, interface: str, direction: str) -> bool:
        hop = hops[number]
        cards = (hop.interface, recording.machine(hop.machine).card(hop.interface).master)
        return hop.direction == direction and interface in cards and _looks(one, hop.packet)

    if not one.into and here and _asked(recording, one) and hops[here[0]].packet is None and hops[here[0]].direction == "out":
        return [here[0]]
    entered = [number for number in here if hops[number].interface and passed(number, one.into, "in")]
    if not one.out:
        return entered
    leaving = [before for before, after in zip(here, here[1:], strict=False) if hops[after].interface and passed(after, one.out, "out")]
    if leaving or one.into or not here:
        return leaving or entered[-1:]
    last = hops[here[-1]]
    if last.packet is not None:
        return [here[-1]] if last.direction == "in" and _looks(one, last.packet) else []
    return [here[-1]] if one.protocol == NUMBERS[recording.probe.protocol] and recording.probe.source_port in one.ports else []


def _asked(recording: Recording, one: Pass) -> bool:
    """Whether a pass is of the probe as its socket sent it: netfilter's OUTPUT, where the way out is still that of the untranslated address."""
    probe = recording.probe
    return (one.protocol, one.ports[0], one.destination) == (NUMBERS[probe.protocol], probe.source_port, str(probe.destination))


def _answers(one: Pass, kind: LegKind) -> bool:
    """Whether a pass can be of an answer: ICMP errors are ICMP, and an answer of TCP is not a SYN alone."""
    return one.protocol == 1 if kind == "error" else one.flags != ("SYN",)


def _looks(one: Pass, packet: Packet | None) -> bool:
    """Whether a pass is of this packet: same kind and, of TCP, same flags; one of its addresses and one of its ports may have been translated."""
    if packet is None:
        return True
    if packet.ip is None or packet.ip.protocol != one.protocol:
        return False
    ends = (str(packet.ip.source) == one.source) or (str(packet.ip.destination) == one.destination)
    if isinstance(packet.transport, Tcp):
        return ends and packet.transport.flags == one.flags
    if isinstance(packet.transport, Udp):
        return ends and bool({packet.transport.source, packet.transport.destination} & set(one.ports))
    return ends


def _wrapping(one: Pass, hops: Sequence[Hop], number: int) -> bool:
    """Whether it met a tunnel's outer packet."""
    beside = [hop.packet for hop in hops[number : number + 2] if hop.packet is not None and hop.packet.wrapped]
    return any(packet.ip is not None and str(packet.ip.destination) == one.destination and str(packet.ip.source) == one.source for packet in beside)


def _hit(hit: rulelog.Hit, names: Names, wrapping: bool) -> RuleHit:
    kind, _, chain = hit.verdict.partition(" ")
    about = names.chains.get(chain, "") if kind in ("jump", "goto") else ""
    return RuleHit(hit.table, hit.chain, hit.rule, hit.verdict, about or names.chains.get(hit.chain, ""), _meaning(hit.rule), wrapping)


def _meaning(rule: str) -> Text | None:
    if not rule.startswith("-A "):
        return None
    try:
        return explain.explain(rule)
    except UsageError:
        return None
