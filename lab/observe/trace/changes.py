"""What happened to a packet between two places. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.observe.packet import Packet, Tcp, Udp
from lab.observe.trace.journey import Change, ChangeKind, LegKind
from lab.observe.trace.probe import Tuple
from lab.observe.trace.recording import Names

_TUNNELS = {8285: "flannel UDP", 8472: "VXLAN"}


def between(before: Packet, after: Packet, leg: LegKind, names: Names, masqueraded: bool = False) -> tuple[Change, ...]:
    """The changes from one sighting to the next.

    leg           on the way there a new destination is a DNAT; on the way back a new source is that DNAT undone
    masqueraded   a rule in between said MASQUERADE, so that a new source address is of its making
    """
    return tuple(_between(before, after, leg, names, masqueraded))


def _between(before: Packet, after: Packet, leg: LegKind, names: Names, masqueraded: bool) -> Iterator[Change]:
    depths = sum(1 for _ in before.layers), sum(1 for _ in after.layers)
    if depths[1] > depths[0]:
        yield Change("encapsulation", "", outer(after), _ends(after, names))
    if depths[1] < depths[0]:
        yield Change("decapsulation", outer(before), "")
    yield from translations(ends_of(before.innermost), ends_of(after.innermost), leg, names, masqueraded)
    yield from _ttl("ttl", before.innermost, after.innermost)
    if depths[0] == depths[1] > 1:
        yield from _ttl("outer-ttl", before, after)
    yield from _cut(before, after)


def translations(before: Tuple | None, after: Tuple | None, leg: LegKind, names: Names, masqueraded: bool = False) -> Iterator[Change]:
    """The changes of addresses and ports."""
    if before is None or after is None:
        return
    destination = (before.destination, before.port), (after.destination, after.port)
    source = (before.source, before.source_port), (after.source, after.source_port)
    if destination[0] != destination[1]:
        yield Change("dnat" if leg == "there" else "un-snat", spot(*destination[0]), spot(*destination[1]), called(*destination[1], names))
    if source[0] != source[1]:
        kind: ChangeKind = "un-dnat" if leg != "there" else "masquerade" if masqueraded else "snat"
        yield Change(kind, spot(*source[0]), spot(*source[1]), called(*source[1], names))


def ends_of(packet: Packet) -> Tuple | None:
    """Addresses and ports; of what has no ports, and of ICMP, whose identifier a translation may change unseen, 0."""
    if packet.ip is None:
        return None
    ports = (packet.transport.source, packet.transport.destination) if isinstance(packet.transport, Udp | Tcp) else (0, 0)
    return Tuple(packet.ip.protocol, str(packet.ip.source), ports[0], str(packet.ip.destination), ports[1])


def spot(address: str, port: int) -> str:
    """`ADDRESS:PORT`, without a port the address."""
    return f"{address}:{port}" if port else address


def called(address: str, port: int, names: Names) -> str:
    """The name of a service port or of whom the address belongs to; empty when unknown."""
    return names.services.get(spot(address, port)) or names.addresses.get(address, "")


def outer(packet: Packet) -> str:
    """The outer headers in words: `VXLAN 10.0.0.1 > 10.0.0.2`."""
    if packet.ip is None:
        return ""
    port = packet.transport.destination if isinstance(packet.transport, Udp) else 0
    kind = f"VXLAN {packet.vxlan.vni}" if packet.vxlan else _TUNNELS.get(port, f"UDP {port}" if port else "IPIP")
    return f"{kind} {spot(str(packet.ip.source), 0)} → {spot(str(packet.ip.destination), port)}"


def _ends(packet: Packet, names: Names) -> str:
    assert packet.ip is not None
    ends = [names.addresses.get(str(address), "") for address in (packet.ip.source, packet.ip.destination)]
    return " → ".join(ends) if all(ends) else ""


def _ttl(kind: ChangeKind, before: Packet, after: Packet) -> Iterator[Change]:
    if before.ip and after.ip and before.ip.ttl != after.ip.ttl:
        yield Change(kind, str(before.ip.ttl), str(after.ip.ttl))


def _cut(before: Packet, after: Packet) -> Iterator[Change]:
    """Sizes in bytes, of the layer that is cut."""
    pieces = (
        next((layer.ip for layer in after.layers if _is_piece(layer)), None),
        next((layer.ip for layer in before.layers if _is_piece(layer)), None),
    )
    if pieces[0] and not pieces[1]:
        whole = before.ip if after.ip is pieces[0] or before.inner is None else before.innermost.ip
        yield Change("fragmentation", str(whole.length if whole else 0), str(pieces[0].length))
    if pieces[1] and not pieces[0]:
        yield Change("reassembly", str(pieces[1].length), str(after.innermost.ip.length if after.innermost.ip else 0))


def _is_piece(packet: Packet) -> bool:
    return packet.ip is not None and (packet.ip.more_fragments or packet.ip.fragment_offset > 0)
