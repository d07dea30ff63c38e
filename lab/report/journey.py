"""A journey as text for people: one line a sighting with what has changed, the rules that were hit below it, the verdict at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.observe.packet import Icmp, Packet, Tcp, Udp
from lab.observe.trace.journey import Change, Hop, Journey, Leg, RuleHit
from lab.report.journeywords import WORDS
from lab.report.layout import pad, visible, width
from lab.report.terminal import CODES
from lab.report.words import Language, pick

_PLACE = 28
_TIME = 7
_REFUSALS = ("no-listener", "reject", "no-endpoints")


def text(journey: Journey, language: Language = "en", colour: bool = False, verbose: bool = False) -> str:
    """The journey.

    verbose   also bridge ports, chains' policies, the outer packets' rules, and conntrack's entries that translate nothing
    """
    return "\n".join(line.rstrip() for line in _Writer(journey, language, colour, verbose).lines()) + "\n"


class _Writer:
    def __init__(self, journey: Journey, language: Language, colour: bool, verbose: bool) -> None:
        self._journey = journey
        self._language = language
        self._colour = colour
        self._verbose = verbose
        self._names = dict(journey.names)
        self._place = max([_PLACE, *(width(_place(hop)) for leg in journey.legs for hop in leg.hops)])

    def lines(self) -> Iterator[str]:
        journey = self._journey
        title = self._say("title", protocol=journey.probe.protocol.upper(), source=self._end(journey.source), target=self._target())
        yield self._style("bold", title)
        for leg in journey.legs:
            yield ""
            yield self._style("cyan", self._say(leg.kind))
            yield from self._leg(leg)
        yield from self._conntrack()
        yield ""
        yield from self._verdict()

    def _end(self, name: str) -> str:
        return f"{name} ({self._journey.probe.source})" if str(self._journey.probe.source) != "0.0.0.0" else name

    def _target(self) -> str:
        probe = self._journey.probe
        numbers = f"{probe.destination}:{probe.port}" if probe.port else str(probe.destination)
        return f"{self._journey.target} ({numbers})" if self._journey.target != str(probe.destination) else numbers

    def _leg(self, leg: Leg) -> Iterator[str]:
        before: Packet | None = None
        for hop in leg.hops:
            if not hop.minor or self._verbose:
                if hop.interface or hop.rules or hop.route or hop.changes:
                    yield self._hop(leg, hop, before)
                yield from self._changes(hop)
                yield from self._rules(hop)
                if hop.route:
                    yield self._below(f"{self._say('route')} {_route(hop.route)}", "dim")
            before = hop.packet or before

    def _hop(self, leg: Leg, hop: Hop, before: Packet | None) -> str:
        time = pad(_microseconds(hop.time), _TIME, right=True) + " µs"
        if not hop.interface:
            return f"{time}  {pad(hop.machine, self._place)}       {self._say(self._socket(leg, hop))}"
        arrow = "→" if hop.direction == "out" else "←"
        head = f"{time}  {pad(_place(hop), self._place)} {arrow} {self._say(hop.direction)} "
        return head + (_headers(hop.packet, before) if hop.packet else "")

    def _socket(self, leg: Leg, hop: Hop) -> str:
        if hop.direction == "in":
            return "received"
        return "socket" if leg.kind == "there" else "kernel"

    def _changes(self, hop: Hop) -> Iterator[str]:
        shown = [change for change in hop.changes if "ttl" not in change.kind]
        for change in shown:
            yield self._below(f"✎ {self._change(change)}", "yellow")

    def _change(self, change: Change) -> str:
        name = f" ({change.name})" if change.name else ""
        return self._say(change.kind, before=change.before, after=change.after) + name

    def _rules(self, hop: Hop) -> Iterator[str]:
        wrapped = False
        for rule in hop.rules:
            if not self._verbose and (rule.wrapping or (not rule.rule and rule.verdict != "policy drop")):
                continue
            if rule.wrapping and not wrapped:
                yield self._below(f"{self._say('outer')}:", "dim")
                wrapped = True
            bad = rule.verdict.lower() in ("drop", "reject", "policy drop")
            yield self._below(f"{rule.table} {rule.chain} {self._target_of(rule)}", "red" if bad else "")

    def _target_of(self, rule: RuleHit) -> str:
        kind, _, chain = rule.verdict.partition(" ")
        about = f"  ({rule.about})" if rule.about else ""
        if kind in ("jump", "goto"):
            return f"→ {chain}{about}" + self._choice(rule)
        goal = re.search(r"--to-destination (\S+)|dnat to (\S+)", rule.rule)
        what = f"DNAT to {goal[1] or goal[2]}" if goal else rule.verdict if rule.rule else f"{self._say('policy')} {chain.upper()}"
        return f"{what}{about}" if goal or not rule.rule else f"{rule.verdict.upper()}  {_short(rule)}"

    def _choice(self, rule: RuleHit) -> str:
        found = re.search(r"--probability (\S+)", rule.rule)
        return f"  {float(found[1]) * 100:.3g} %" if found else ""

    def _conntrack(self) -> Iterator[str]:
        shown = [entry for entry in self._journey.conntrack if entry.nat or self._verbose]
        if shown:
            yield ""
            yield self._style("cyan", self._say("conntrack"))
        for entry in shown:
            yield f"  {entry.machine}: {visible(entry.text)}"

    def _verdict(self) -> Iterator[str]:
        journey = self._journey
        for machine, why in journey.untraced:
            yield self._style("yellow", self._say("untraced", machine=machine, why=why))
        if journey.missed:
            yield self._style("yellow", self._say("missed", n=journey.missed))
        if journey.loss is not None:
            key = "refused" if journey.loss.kind in _REFUSALS else "lost"
            yield self._style("red", f"✗ {self._say(key, reason=visible(pick(journey.loss.text, self._language)))}")
            return
        hops, back = len(journey.places_of("there")), len(journey.places_of("back"))
        outcome = self._say(journey.outcome) if journey.outcome in WORDS else journey.outcome
        yield self._style("green", f"✓ {self._say('arrived', outcome=outcome, time=f'{journey.microseconds} µs', hops=hops, back=back)}")

    def _below(self, line: str, style: str = "") -> str:
        return " " * (_TIME + 5) + self._style(style, f"  {visible(line)}")

    def _say(self, key: str, **values: object) -> str:
        return pick(WORDS[key], self._language).format(**values)

    def _style(self, name: str, line: str) -> str:
        return f"\x1b[{CODES[name]}m{line}\x1b[0m" if self._colour and name and line else line


def _place(hop: Hop) -> str:
    return f"{hop.machine} {hop.interface}".strip()


def _microseconds(nanoseconds: int) -> str:
    return f"{nanoseconds / 1000:.0f}"


def _headers(packet: Packet, before: Packet | None) -> str:
    """The packet on one line, the outer one first; what is inside only shortly, when it is what was seen before."""
    *outer, inner = packet.layers
    known = bool(outer) and before is not None and _ends(before.innermost) == _ends(inner)
    return " | ".join([*(_layer(layer) for layer in outer), _layer(inner, short=known)])


def _ends(packet: Packet) -> tuple[str, str]:
    found, ip = packet.transport, packet.ip
    if ip is None:
        return "", ""
    ports = (f":{found.source}", f":{found.destination}") if isinstance(found, Udp | Tcp) else ("", "")
    return f"{ip.source}{ports[0]}", f"{ip.destination}{ports[1]}"


def _layer(packet: Packet, short: bool = False) -> str:
    ip = packet.ip
    if ip is None:
        return f"{packet.size} bytes"
    words = ["" if short else " > ".join(_ends(packet)), _kind(packet), f"ttl {ip.ttl}"]
    if ip.more_fragments or ip.fragment_offset:
        words.append(f"fragment {ip.fragment_offset}+{ip.length - 20}")
    return " ".join(word for word in words if word)


def _kind(packet: Packet) -> str:
    found = packet.transport
    if isinstance(found, Tcp):
        return ",".join(found.flags)
    if isinstance(found, Icmp):
        return {8: "echo request", 0: "echo reply", 11: "time exceeded"}.get(found.kind, _unreachable(found))
    if packet.vxlan:
        return f"VXLAN {packet.vxlan.vni}"
    return "UDP" if isinstance(found, Udp) else ""


def _unreachable(found: Icmp) -> str:
    words = {0: "net unreachable", 1: "host unreachable", 3: "port unreachable", 4: f"fragmentation needed, MTU {found.mtu}"}
    return words.get(found.code, f"unreachable code {found.code}") if found.kind == 3 else f"ICMP type {found.kind}"


def _short(rule: RuleHit) -> str:
    """A rule without its chain and its match modules' names."""
    text = re.sub(r"^-A \S+ ", "", rule.rule)
    return re.sub(r"-m (comment|tcp|udp) | ?-j (RETURN|DROP|ACCEPT|REJECT|MASQUERADE)\b", "", text)


def _route(text: str) -> str:
    """`ip route get`'s answer without what the sighting says already."""
    if text.startswith(("error", "local")):
        return text.split(" ")[0] if text.startswith("local") else text
    found = re.sub(r"^(\S+ )?\S+ (?=(from|via|dev))", lambda kind: kind[1] or "", text)
    found = re.sub(r"from \S+ ", "", found)
    return re.sub(r" (uid \d+|src \S+|iif \S+)", "", found)
