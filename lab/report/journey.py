"""A journey as text for people: one line a sighting with what has changed, the rules that were hit below it, the verdict at the end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from lab.model.columns import pad, visible, width
from lab.observe.packet import Icmp, Packet, Tcp, Udp
from lab.observe.trace.journey import Change, Hop, Journey, Leg, LegKind, RuleHit
from lab.report.journeywords import WORDS
from lab.report.terminal import CODES
from lab.report.words import Language, pick

_PLACE = 28
_TIME = 7
_REFUSALS = ("no-listener", "reject", "no-endpoints")
_BAD = ("drop", "reject", "policy drop")


def text(journey: Journey, language: Language = "en", colour: bool = False, verbose: bool = False) -> str:
    """The journey.

    verbose   also bridge ports, chains' policies, the outer packets' rules, and conntrack's entries that translate nothing
    """
    return "\n".join(line.rstrip() for line in _Writer(journey, language, colour, verbose).lines()) + "\n"


class Words:
    """What is said of the parts of a journey, for every drawing of it."""

    def __init__(self, journey: Journey, language: Language, verbose: bool = False) -> None:
        self._journey = journey
        self._language = language
        self._verbose = verbose
        self._before = _predecessors(journey)

    def title(self) -> str:
        """`TCP from POD (ADDRESS) to SERVICE (ADDRESS:PORT)`."""
        probe, journey = self._journey.probe, self._journey
        source = f"{journey.source} ({probe.source})" if str(probe.source) != "0.0.0.0" else journey.source
        numbers = f"{probe.destination}:{probe.port}" if probe.port else str(probe.destination)
        target = f"{journey.target} ({numbers})" if journey.target != str(probe.destination) else numbers
        return self.say("title", protocol=probe.protocol.upper(), source=source, target=target)

    def leg(self, kind: LegKind) -> str:
        """The name of a leg."""
        return self.say(kind)

    def socket(self, hop: Hop) -> str:
        """What the socket or kernel of a hop without interface does."""
        if hop.direction == "in":
            return self.say("received")
        kind = next((leg.kind for leg in self._journey.legs if leg.hops and hop is leg.hops[0]), "there")
        return self.say({"there": "socket", "back": "answers", "error": "reports"}[kind])

    def headers(self, hop: Hop) -> str:
        """The packet on one line, the outer one first; what is inside only shortly, when it is what was seen before."""
        if hop.packet is None:
            return ""
        *outer, inner = hop.packet.layers
        before = self._before.get(id(hop))
        known = bool(outer) and before is not None and _ends(before.innermost) == _ends(inner)
        return " | ".join([*(_layer(layer) for layer in outer), _layer(inner, short=known)])

    def changes(self, hop: Hop) -> Iterator[str]:
        """A line for every change but those of TTLs, which the headers show."""
        return (self._change(change) for change in hop.changes if "ttl" not in change.kind)

    def rules(self, hop: Hop) -> Iterator[str]:
        """A line for every rule."""
        return (f"{rule.table} {rule.chain} {self.effect(rule)}" for rule in self.rules_shown(hop))

    def rules_shown(self, hop: Hop) -> tuple[RuleHit, ...]:
        """The rules that are told: unless verbose, those that the packet itself hit, and of the policies only those that dropped it."""
        return tuple(rule for rule in hop.rules if self._verbose or (not rule.wrapping and (rule.rule or rule.verdict == "policy drop")))

    def effect(self, rule: RuleHit) -> str:
        """What a rule did, with the name of the service or pod that it is about."""
        kind, _, chain = rule.verdict.partition(" ")
        about = f"  ({rule.about})" if rule.about else ""
        if kind in ("jump", "goto"):
            return f"→ {chain}{about}{_choice(rule)}"
        if not rule.rule:
            return f"{self.say('policy')} {chain.upper()}"
        goal = re.search(r"--to-destination (\S+)|dnat to (\S+)", rule.rule)
        return f"DNAT → {goal[1] or goal[2]}{about}" if goal else f"{rule.verdict.upper()}  {_short(rule)}"

    def verdict(self) -> str:
        """How the journey ended."""
        journey = self._journey
        if journey.loss is not None:
            key = "refused" if journey.loss.kind in _REFUSALS else "lost"
            return f"✗ {self.say(key, reason=visible(pick(journey.loss.text, self._language)))}"
        hops, back = len(journey.places_of("there")), len(journey.places_of("back"))
        outcome = self.say(journey.outcome) if journey.outcome in WORDS else journey.outcome
        return f"✓ {self.say('arrived', outcome=outcome, time=f'{journey.microseconds} µs', hops=hops, back=back)}"

    def say(self, key: str, **values: object) -> str:
        """A word or sentence."""
        return pick(WORDS[key], self._language).format(**values)

    def _change(self, change: Change) -> str:
        name = f" ({change.name})" if change.name else ""
        return self.say(change.kind, before=change.before, after=change.after) + name


class _Writer:
    def __init__(self, journey: Journey, language: Language, colour: bool, verbose: bool) -> None:
        self._journey = journey
        self._words = Words(journey, language, verbose)
        self._colour = colour
        self._verbose = verbose
        self._place = max([_PLACE, *(width(_place(hop)) for leg in journey.legs for hop in leg.hops)])

    def lines(self) -> Iterator[str]:
        yield self._style("bold", self._words.title())
        for leg in self._journey.legs:
            yield ""
            yield self._style("cyan", self._words.leg(leg.kind))
            yield from self._leg(leg)
        yield from self._conntrack()
        yield ""
        yield from self._verdict()

    def _leg(self, leg: Leg) -> Iterator[str]:
        for hop in leg.hops:
            if hop.minor and not self._verbose:
                continue
            if hop.interface or hop.rules or hop.route or hop.changes:
                yield self._hop(hop)
            yield from (self._below(f"✎ {line}", "yellow") for line in self._words.changes(hop))
            yield from self._rules(hop)
            if hop.route:
                yield self._below(f"{self._words.say('route')} {_route(hop.route)}", "dim")

    def _hop(self, hop: Hop) -> str:
        time = pad(f"{hop.time / 1000:.0f}", _TIME, right=True) + " µs"
        if not hop.interface:
            return f"{time}  {pad(hop.machine, self._place)}       {self._words.socket(hop)}"
        arrow = "→" if hop.direction == "out" else "←"
        return f"{time}  {pad(_place(hop), self._place)} {arrow} {self._words.say(hop.direction)} {self._words.headers(hop)}"

    def _rules(self, hop: Hop) -> Iterator[str]:
        shown = self._words.rules_shown(hop)
        for number, rule in enumerate(shown):
            if rule.wrapping and (not number or not shown[number - 1].wrapping):
                yield self._below(f"{self._words.say('outer')}:", "dim")
            yield self._below(f"{rule.table} {rule.chain} {self._words.effect(rule)}", "red" if rule.verdict.lower() in _BAD else "")

    def _conntrack(self) -> Iterator[str]:
        shown = [entry for entry in self._journey.conntrack if entry.nat or self._verbose]
        if shown:
            yield ""
            yield self._style("cyan", self._words.say("conntrack"))
        for entry in shown:
            yield f"  {entry.machine}: {visible(entry.text)}"

    def _verdict(self) -> Iterator[str]:
        for machine, why in self._journey.untraced:
            yield self._style("yellow", self._words.say("untraced", machine=machine, why=why))
        if self._journey.missed:
            yield self._style("yellow", self._words.say("missed", n=self._journey.missed))
        yield self._style("red" if self._journey.loss else "green", self._words.verdict())

    def _below(self, line: str, style: str = "") -> str:
        return " " * (_TIME + 5) + self._style(style, f"  {visible(line)}")

    def _style(self, name: str, line: str) -> str:
        return f"\x1b[{CODES[name]}m{line}\x1b[0m" if self._colour and name and line else line


def _predecessors(journey: Journey) -> dict[int, Packet]:
    """Of each hop, by its identity, the packet as it was seen before."""
    found: dict[int, Packet] = {}
    for leg in journey.legs:
        last: Packet | None = None
        for hop in leg.hops:
            if last is not None:
                found[id(hop)] = last
            last = hop.packet or last
    return found


def _place(hop: Hop) -> str:
    return f"{hop.machine} {hop.interface}".strip()


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


def _choice(rule: RuleHit) -> str:
    found = re.search(r"--probability (\S+)", rule.rule)
    return f"  {float(found[1]) * 100:.3g} %" if found else ""


def _short(rule: RuleHit) -> str:
    """A rule without its chain, its target and its match modules' names."""
    found = re.sub(r"^-A \S+ ?", "", rule.rule)
    return " ".join(re.sub(r"-m (comment|tcp|udp) |-j \S+", "", found).split())


def _route(found: str) -> str:
    """The decision without the destination, which the sighting shows."""
    if found.startswith("error: "):
        return f"✗ {found[7:]}"
    if found.startswith("local"):
        return "local"
    return re.sub(r"^((?:blackhole|unreachable|prohibit) )?\S+ ", lambda kind: kind[1] or "", found)
