"""All that was written down while a probe was on its way: the input of lab.observe.trace.correlate. Pure data, and JSON and back."""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any

from lab.observe.decode import Link, Tunnel
from lab.observe.sighting import Direction, Place
from lab.observe.trace.probe import Probe
from lab.observe.trace.rulelog import Hit, Pass


@dataclass(frozen=True)
class Frame:
    """Bytes as an interface saw them, and when: nanoseconds of the kernel's one clock."""

    time: int
    place: Place
    direction: Direction
    link: Link
    data: bytes


@dataclass(frozen=True)
class Card:
    """An interface of a machine: its addresses, its MTU, the bridge that it is a port of, and its kind as `ip -d link` says."""

    name: str
    addresses: tuple[str, ...] = ()
    mtu: int = 0
    master: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Machine:
    """What is known of a machine that the packet was seen on, or came from.

    kind        node, pod, router, switch or client
    daemons     flanneld and its like -> running, stopped or dead
    forwards    whether its kernel passes packets on that are not for it
    passes      the netfilter chains that the packet went through there
    untraced    why nothing is known of them; empty where all is, or where there are none
    lost        datagrams that found the buffer of a flanneld's socket full while the trace was taken
    conntrack   lines of `conntrack -L`
    neighbours  lines of `ip neigh` that tell of an address nobody answers for
    faults      links that lose packets on purpose: the interface here, the way (`out` of the machine or `in`), and `down` or `loss 30 %`
    """

    name: str
    kind: str
    cards: tuple[Card, ...] = ()
    daemons: tuple[tuple[str, str], ...] = ()
    forwards: bool = True
    lost: int = 0
    passes: tuple[Pass, ...] = ()
    untraced: str = ""
    conntrack: tuple[str, ...] = ()
    neighbours: tuple[str, ...] = ()
    faults: tuple[tuple[str, str, str], ...] = ()

    def card(self, name: str) -> Card:
        """The interface of that name, with nothing known of it if it is not there."""
        return next((card for card in self.cards if card.name == name), Card(name))


@dataclass(frozen=True)
class Question:
    """What a machine's routing is asked: where to with a packet for `destination`.

    source, interface   where it came from and by what; both empty for a packet of the machine itself
    """

    machine: str
    destination: str
    source: str = ""
    interface: str = ""


@dataclass(frozen=True)
class Names:
    """Names for numbers.

    addresses   IP address -> pod, node, client
    services    cluster IP:port, or node port as :port -> namespace/name
    chains      kube-proxy's chain -> the service or the pod that it is about
    empty       namespace/name of services without endpoints
    """

    addresses: dict[str, str] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    chains: dict[str, str] = field(default_factory=dict)
    empty: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """One trace.

    source      the machine that sent the probe
    target      the destination as the user named it
    start       when the probe was sent, nanoseconds of the frames' clock
    outcome     what became of it at the sending socket: `connected`, `refused`, `answered`, `silence`, or an error's name such as ENETUNREACH
    waited      seconds that the answer was waited for
    missed      packets that found a capture's buffer full
    """

    probe: Probe
    source: str
    target: str
    start: int
    outcome: str
    waited: float
    tunnels: dict[int, Tunnel]
    names: Names = Names()
    machines: tuple[Machine, ...] = ()
    frames: tuple[Frame, ...] = ()
    routes: tuple[tuple[Question, str], ...] = ()
    missed: int = 0

    def machine(self, name: str) -> Machine:
        """What is known of a machine."""
        return next((one for one in self.machines if one.name == name), Machine(name, ""))

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        found = asdict(replace(self, frames=()))
        found["probe"] |= {"source": str(self.probe.source), "destination": str(self.probe.destination), "mark": self.probe.mark.hex()}
        found["frames"] = [[one.time, one.place.machine, one.place.interface, one.direction, one.link, _coded(one.data)] for one in self.frames]
        found["tunnels"] = list(self.tunnels.items())
        return found


def from_json(found: dict[str, Any]) -> Recording:
    """A recording from what `to_json` made of it."""
    probe = found["probe"]
    ends = {name: IPv4Address(probe[name]) for name in ("source", "destination")}
    return Recording(
        **{name: found[name] for name in ("source", "target", "start", "outcome", "waited", "missed")},
        probe=Probe(**(probe | ends | {"mark": bytes.fromhex(probe["mark"])})),
        tunnels={port: kind for port, kind in found["tunnels"]},
        names=Names(**(found["names"] | {"empty": tuple(found["names"]["empty"])})),
        machines=tuple(_machine(one) for one in found["machines"]),
        frames=tuple(Frame(time, Place(where, card), way, link, base64.b64decode(data)) for time, where, card, way, link, data in found["frames"]),
        routes=tuple((Question(**question), answer) for question, answer in found["routes"]),
    )


def _machine(found: dict[str, Any]) -> Machine:
    cards = tuple(Card(**(card | {"addresses": tuple(card["addresses"])})) for card in found["cards"])
    lists = {name: tuple(found[name]) for name in ("conntrack", "neighbours")}
    passes = tuple(_pass(one) for one in found["passes"])
    pairs = {name: tuple(tuple(one) for one in found.get(name, ())) for name in ("daemons", "faults")}
    return Machine(**(found | lists | pairs | {"passes": passes, "cards": cards}))


def _pass(found: dict[str, Any]) -> Pass:
    hits = tuple(Hit(**hit) for hit in found["hits"])
    return Pass(**(found | {"hits": hits, "ports": tuple(found["ports"]), "flags": tuple(found["flags"])}))


def _coded(data: bytes) -> str:
    return base64.b64encode(data).decode()
