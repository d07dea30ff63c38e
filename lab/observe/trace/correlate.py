"""A recording -> the journey in it. Pure: no clock, no kernel, so that recorded captures test it.

frames -> sightings of the probe and its answers, in the order in which they happened
       -> legs: there, back, and ICMP errors on their way
       -> hops: what changed since the one before, which rules were hit in between, where the machine decided to send it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from lab.observe.decode import decode
from lab.observe.packet import Packet
from lab.observe.sighting import Place, Sighting, ordered
from lab.observe.trace import changes, passes, reasons
from lab.observe.trace.journey import Change, Entry, Hop, Journey, Leg, LegKind, RuleHit
from lab.observe.trace.probe import Recogniser, Role, Tuple, tuple_of
from lab.observe.trace.recording import Question, Recording

_KINDS: tuple[LegKind, ...] = ("there", "back", "error")


def correlate(recording: Recording) -> Journey:
    """The journey that a recording holds."""
    seen = _recognised(recording)
    hits = passes.of_machines(recording)
    legs = tuple(leg for leg in (_leg(recording, kind, seen, hits) for kind in _KINDS) if leg.hops)
    source = recording.source
    target = changes.called(str(recording.probe.destination), recording.probe.port, recording.names) or str(recording.probe.destination)
    journey = Journey(
        recording.probe, source, target, recording.target, recording.outcome, legs,
        conntrack=_entries(recording),
        places=_places(legs),
        untraced=tuple((one.name, one.untraced) for one in recording.machines if one.untraced),
        names=tuple(sorted({**recording.names.addresses, **recording.names.services}.items())),
        waited=recording.waited,
        missed=recording.missed,
    )  # fmt: skip
    return replace(journey, loss=reasons.loss(recording, journey))


def questions(journey: Journey) -> list[Question]:
    """What the machines' routing has to be asked, so that every decision of the journey can be told. No question twice."""
    asked = [question for leg in journey.legs for question in _of_leg(leg)]
    return list(dict.fromkeys(asked))


def _of_leg(leg: Leg) -> Iterator[Question]:
    for number, hop in enumerate(leg.hops):
        question = _question(leg, number, hop)
        if question is not None:
            yield question


def _question(leg: Leg, number: int, hop: Hop) -> Question | None:
    """What the machine decides behind this hop: where to with what came in, or with what is its own. None where there is no decision."""
    following = next((one for one in leg.hops[number + 1 :] if not one.minor), None)
    if hop.minor or hop.kind == "switch" or hop.interface == "lo":
        return None
    after = following.packet if following and following.machine == hop.machine and following.direction == "out" else None
    if hop.direction == "in":
        return _incoming(hop, after, following is None)
    if after is None:
        return None
    if hop.packet is None:
        return _asked(hop.machine, after, "", "")
    # From a tunnel's device to the wire: what wrapped the packet asks where to with the outer one.
    return _asked(hop.machine, after, "", "") if after.wrapped and not hop.packet.wrapped else None


def _incoming(hop: Hop, after: Packet | None, last: bool) -> Question | None:
    """What becomes of a packet that came in; netfilter may have changed where it goes before that is decided."""
    if hop.packet is None or hop.packet.ip is None or (after is None and not last):
        return None
    goal = hop.packet if after is None else after if after.wrapped == hop.packet.wrapped else after.innermost
    return _asked(hop.machine, goal, str(hop.packet.ip.source), hop.interface)


def _asked(machine: str, goal: Packet, source: str, interface: str) -> Question | None:
    return Question(machine, str(goal.ip.destination), source, interface) if goal.ip else None


def _recognised(recording: Recording) -> list[tuple[Role, Sighting]]:
    """The sightings that are part of the journey, in order, each once: of retransmissions only the first."""
    sightings = [Sighting(frame.time, frame.place, frame.direction, decode(frame.data, frame.link, recording.tunnels)) for frame in recording.frames]
    recogniser = Recogniser(recording.probe)
    found, known = [], set()
    for one in ordered(sightings, _ranked(recording, sightings)):
        role = recogniser.role(one.packet)
        mark = (
            role,
            one.place,
            one.direction,
            tuple((layer.ip and (layer.ip.ttl, layer.ip.fragment_offset), tuple_of(layer)) for layer in one.packet.layers),
        )
        if role is not None and mark not in known:
            known.add(mark)
            found.append((role, one))
    return found


def _ranked(recording: Recording, sightings: Iterable[Sighting]) -> list[Place]:
    """Places, so that a packet whose timestamp did not change is at a bridge's port before it is at the bridge."""
    masters = {(machine.name, card.master) for machine in recording.machines for card in machine.cards if card.master}
    places = dict.fromkeys(one.place for one in sightings)
    return sorted(places, key=lambda place: (place.machine, place.interface) in masters)


def _leg(recording: Recording, kind: LegKind, seen: Sequence[tuple[Role, Sighting]], hits: passes.Passes) -> Leg:
    own = [one for role, one in seen if role == kind]
    hops = [_hop(recording, one) for one in own]
    if kind == "there" or (hops and hops[0].direction == "out"):
        hops.insert(0, _socket(recording, kind, hops))
    hops = passes.attached(recording, kind, hops, hits)
    hops = _with_minor(recording, _with_changes(recording, kind, hops))
    hops += _received(recording, kind, hops)
    routes = dict(recording.routes)
    leg = Leg(kind, tuple(hops))
    done = []
    for number, hop in enumerate(hops):
        question = _question(leg, number, hop)
        done.append(replace(hop, route=routes.get(question, "")) if question else hop)
    return Leg(kind, tuple(done))


def _hop(recording: Recording, one: Sighting) -> Hop:
    machine = recording.machine(one.place.machine)
    return Hop(one.time - recording.start, machine.name, one.place.interface, machine.kind, one.direction, one.packet)


def _socket(recording: Recording, kind: LegKind, hops: Sequence[Hop]) -> Hop:
    """Where a leg begins: the socket, or the kernel, that sends the packet."""
    name = recording.source if kind == "there" else hops[0].machine
    return Hop(0 if kind == "there" else hops[0].time, name, "", recording.machine(name).kind, "out", None)


def _received(recording: Recording, kind: LegKind, hops: Sequence[Hop]) -> list[Hop]:
    """The socket that the reply comes back to, where the kernel translates it once more after the last interface."""
    if kind != "back" or not hops or hops[-1].machine != recording.source or hops[-1].direction != "in" or hops[-1].packet is None:
        return []
    asked = recording.probe.tuple.reversed
    seen = changes.ends_of(hops[-1].packet.innermost)
    if seen is None or hops[-1].packet.wrapped or str(recording.probe.source) == "0.0.0.0":
        return []
    ports = (asked.source_port, asked.port) if seen.port else (0, 0)
    found = tuple(changes.translations(seen, Tuple(asked.protocol, asked.source, ports[0], asked.destination, ports[1]), kind, recording.names))
    return [Hop(hops[-1].time, recording.source, "", hops[-1].kind, "in", None, found)] if found else []


def _with_minor(recording: Recording, hops: Sequence[Hop]) -> list[Hop]:
    """Mark the sightings at a bridge's port next to one at the bridge itself, unless something happened to the packet there."""
    done = []
    for number, hop in enumerate(hops):
        master = recording.machine(hop.machine).card(hop.interface).master
        beside = [hops[other] for other in (number - 1, number + 1) if 0 <= other < len(hops)]
        eventful = bool(hop.rules or hop.changes)
        done.append(
            replace(hop, minor=bool(master) and not eventful and any((one.machine, one.interface) == (hop.machine, master) for one in beside))
        )
    return done


def _with_changes(recording: Recording, kind: LegKind, hops: Sequence[Hop]) -> list[Hop]:
    done: list[Hop] = []
    last: Packet | None = None
    rules: list[RuleHit] = []
    for hop in hops:
        found: tuple[Change, ...] = ()
        if hop.packet is not None and not _is_later_fragment(hop.packet):
            masqueraded = any("masquerade" in rule.verdict.lower() or "masquerade" in rule.rule.lower() for rule in rules)
            if last is not None:
                found = changes.between(last, hop.packet, kind, recording.names, masqueraded)
            elif kind == "there":
                asked = changes.translations(
                    _asked_ends(recording, hop.packet), changes.ends_of(hop.packet.innermost), kind, recording.names, masqueraded
                )
                found = tuple(asked)
            last = hop.packet
            rules = []
        rules += hop.rules
        done.append(replace(hop, changes=found))
    return done


def _asked_ends(recording: Recording, first: Packet) -> Tuple | None:
    """What the socket asked for, in the form of `changes.ends_of`; without a source address when the socket had none."""
    ends = changes.ends_of(first.innermost)
    probe = recording.probe
    if ends is None:
        return None
    ports = (probe.source_port, probe.port) if ends.source_port else (0, 0)
    source = ends.source if str(probe.source) == "0.0.0.0" else str(probe.source)
    return Tuple(ends.protocol, source, ports[0], str(probe.destination), ports[1])


def _is_later_fragment(packet: Packet) -> bool:
    return any(layer.ip is not None and layer.ip.fragment_offset > 0 for layer in packet.layers)


def _entries(recording: Recording) -> tuple[Entry, ...]:
    return tuple(Entry(machine.name, line, _translates(line)) for machine in recording.machines for line in machine.conntrack)


def _translates(line: str) -> bool:
    """Whether the answer's tuple of a line of `conntrack -L` is not the mirrored one of the original."""
    words = [word.split("=", 1) for word in line.split() if "=" in word]
    sources = [value for key, value in words if key == "src"]
    destinations = [value for key, value in words if key == "dst"]
    return len(sources) > 1 and (sources[0] != destinations[1] or sources[1] != destinations[0])


def _places(legs: Iterable[Leg]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    found: dict[str, list[str]] = {}
    for leg in legs:
        for hop in leg.hops:
            cards = found.setdefault(hop.machine, [])
            if hop.interface and hop.interface not in cards:
                cards.append(hop.interface)
    return tuple((machine, tuple(cards)) for machine, cards in found.items())
