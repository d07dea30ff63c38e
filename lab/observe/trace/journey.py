"""A packet's journey as data: what lab.observe.trace.correlate makes of a recording, and what every drawing of it starts from. Pure.

`Journey.to_json()` is complete; docs/reference/trace.md describes it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lab.model.text import Text
from lab.observe.packet import Icmp, Packet, Tcp, Udp
from lab.observe.sighting import Direction, layer_text
from lab.observe.trace.probe import Probe

ChangeKind = Literal[
    "dnat", "snat", "masquerade", "un-dnat", "un-snat", "ttl", "outer-ttl", "encapsulation", "decapsulation", "fragmentation", "reassembly"
]
LegKind = Literal["there", "back", "error"]


@dataclass(frozen=True)
class Change:
    """What is different since the sighting before. `name`: who the new address is, where that is known."""

    kind: ChangeKind
    before: str
    after: str
    name: str = ""


@dataclass(frozen=True)
class RuleHit:
    """A netfilter rule, or a chain's policy (then `rule` is empty).

    verdict   `jump CHAIN`, `accept`, `drop`, `DNAT` …
    about     the service, or of an endpoint's chain the pod, that the rule leads to or stands in the chain of
    meaning   what such a rule does, where lab.kubeproxy.explain knows it
    wrapping  whether it met the outer packet of a tunnel
    """

    table: str
    chain: str
    rule: str
    verdict: str
    about: str = ""
    meaning: Text | None = None
    wrapping: bool = False


@dataclass(frozen=True)
class Hop:
    """The packet at a place.

    time        nanoseconds since the probe was sent
    interface   empty: the socket that it came from
    kind        of the machine: node, pod, router, switch, client
    packet      None at a socket
    changes     since the hop before
    rules       what it hit after this sighting and before the next one, in order
    route       the machine's decision where to send it next, as `ip route get` prints it
    minor       a bridge's port beside the bridge itself: a drawing may leave it out
    """

    time: int
    machine: str
    interface: str
    kind: str
    direction: Direction
    packet: Packet | None
    changes: tuple[Change, ...] = ()
    rules: tuple[RuleHit, ...] = ()
    route: str = ""
    minor: bool = False


@dataclass(frozen=True)
class Leg:
    """The probe's way there, its reply's way back, or the way of an ICMP message about it."""

    kind: LegKind
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class Loss:
    """Where a journey ended too early, and why.

    kind   rule, reject, no-endpoints, no-route, no-listener, mtu, ttl, flanneld, buffer, fault, forwarding, arp, no-answer,
           unknown
    rule   the one that did it
    """

    kind: str
    machine: str
    interface: str
    text: Text
    rule: RuleHit | None = None


@dataclass(frozen=True)
class Entry:
    """A connection as a machine's conntrack remembers it. `nat`: whether it translates."""

    machine: str
    text: str
    nat: bool


@dataclass(frozen=True)
class Journey:
    """A probe's journey and its reply's.

    source, target   as they are called; `asked` is the destination as the user named it
    legs             there first
    conntrack        one entry a machine that remembers the connection
    loss             None when the reply came back
    places           the machines in the order of the way, each with the interfaces that were passed
    untraced         machine -> why nothing is known of its rules
    names            IP address, or IP:port -> name
    waited           seconds that an answer was waited for
    missed           packets that the captures could not take in
    """

    probe: Probe
    source: str
    target: str
    asked: str
    outcome: str
    legs: tuple[Leg, ...]
    conntrack: tuple[Entry, ...] = ()
    loss: Loss | None = None
    places: tuple[tuple[str, tuple[str, ...]], ...] = ()
    untraced: tuple[tuple[str, str], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    waited: float = 0.0
    missed: int = 0

    def leg(self, kind: LegKind) -> tuple[Hop, ...]:
        """The hops of a leg; none when it did not take place."""
        return next((leg.hops for leg in self.legs if leg.kind == kind), ())

    @property
    def arrived(self) -> bool:
        """Whether the reply came back to the sender."""
        return self.loss is None

    @property
    def microseconds(self) -> int:
        """From the probe's sending to the last sighting of all."""
        return max((hop.time for leg in self.legs for hop in leg.hops), default=0) // 1000

    @property
    def rules(self) -> tuple[RuleHit, ...]:
        """Every rule that was hit, there and back."""
        return tuple(rule for leg in self.legs for hop in leg.hops for rule in hop.rules)

    @property
    def lines(self) -> tuple[str, ...]:
        """The journey in plain lines, for a scenario's `lab.show`."""
        from lab.observe.trace import lines

        return lines.of(self)

    def places_of(self, kind: LegKind) -> list[str]:
        """`MACHINE INTERFACE` of each hop of a leg that was seen, without bridge ports: what a check compares."""
        return [f"{hop.machine} {hop.interface}" for hop in self.leg(kind) if hop.interface and not hop.minor]

    def changes_of(self, kind: LegKind) -> list[str]:
        """The kinds of the changes of a leg in order, the TTLs' left out."""
        return [change.kind for hop in self.leg(kind) for change in hop.changes if "ttl" not in change.kind]

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it: everything, headers decoded."""
        return {
            "schema": 1,
            "source": self.source,
            "target": self.target,
            "asked": self.asked,
            "probe": {
                "protocol": self.probe.protocol,
                "source": str(self.probe.source),
                "sourcePort": self.probe.source_port,
                "destination": str(self.probe.destination),
                "port": self.probe.port,
                "bytes": self.probe.size,
                "dontFragment": self.probe.dont_fragment,
            },
            "outcome": self.outcome,
            "arrived": self.arrived,
            "microseconds": self.microseconds,
            "waitedSeconds": self.waited,
            "missed": self.missed,
            "places": [{"machine": machine, "interfaces": list(interfaces)} for machine, interfaces in self.places],
            "legs": [{"kind": leg.kind, "hops": [_hop(hop) for hop in leg.hops]} for leg in self.legs],
            "conntrack": [asdict(entry) for entry in self.conntrack],
            "loss": _loss(self.loss),
            "untraced": dict(self.untraced),
            "names": dict(self.names),
        }


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "microseconds": hop.time / 1000,
        "machine": hop.machine,
        "interface": hop.interface,
        "kind": hop.kind,
        "direction": hop.direction,
        "minor": hop.minor,
        "layers": [_layer(layer) for layer in hop.packet.layers] if hop.packet else [],
        "changes": [asdict(change) for change in hop.changes],
        "rules": [_rule(rule) for rule in hop.rules],
        "route": hop.route,
    }


def _rule(rule: RuleHit) -> dict[str, Any]:
    return {
        "table": rule.table,
        "chain": rule.chain,
        "rule": rule.rule,
        "verdict": rule.verdict,
        "about": rule.about,
        "meaning": asdict(rule.meaning) if rule.meaning else None,
        "wrapping": rule.wrapping,
    }


def _loss(loss: Loss | None) -> dict[str, Any] | None:
    if loss is None:
        return None
    where = {"kind": loss.kind, "machine": loss.machine, "interface": loss.interface, "text": asdict(loss.text)}
    return {**where, "rule": _rule(loss.rule) if loss.rule else None}


def _layer(packet: Packet) -> dict[str, Any]:
    """One layer's headers; those that are not there are left out."""
    found: dict[str, Any] = {"text": layer_text(packet)}
    if packet.ethernet:
        found["ethernet"] = {"source": packet.ethernet.source, "destination": packet.ethernet.destination, "type": packet.ethernet.kind}
    if packet.ip:
        ip = packet.ip
        found["ip"] = {
            "source": str(ip.source),
            "destination": str(ip.destination),
            "protocol": ip.protocol,
            "ttl": ip.ttl,
            "bytes": ip.length,
            "identification": ip.identification,
            "dontFragment": ip.dont_fragment,
            "moreFragments": ip.more_fragments,
            "fragmentOffset": ip.fragment_offset,
        }
    found |= _transport(packet.transport)
    if packet.vxlan:
        found["vxlan"] = {"vni": packet.vxlan.vni}
    if packet.quoted:
        found["quoted"] = [_layer(layer) for layer in packet.quoted.layers]
    if packet.fault:
        found["fault"] = packet.fault
    return found


def _transport(transport: Udp | Tcp | Icmp | None) -> dict[str, Any]:
    if isinstance(transport, Udp):
        return {"udp": {"source": transport.source, "destination": transport.destination, "bytes": transport.length}}
    if isinstance(transport, Tcp):
        numbers = {"sequence": transport.sequence, "acknowledgement": transport.acknowledgement, "flags": list(transport.flags)}
        return {"tcp": {"source": transport.source, "destination": transport.destination, **numbers}}
    if isinstance(transport, Icmp):
        echo = {"identifier": transport.identifier, "sequence": transport.sequence, "mtu": transport.mtu}
        return {"icmp": {"type": transport.kind, "code": transport.code, **echo}}
    return {}
