"""What the kernel tells of packets that nftables traces -> the rules they hit, in the words of iptables-save. Pure.

For every rule that a marked packet hits, and for every chain's policy, the kernel sends one message to the nfnetlink group of traces
(linux/netfilter/nf_tables.h, NFTA_TRACE_*; `nft monitor trace` prints the same). iptables-nft's rules are among them, with a handle
instead of a text: the texts are `iptables-save`'s lines, which stand in the order in which the kernel lists the handles.
"""

from __future__ import annotations

import re
import shlex
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.observe.decode import decode
from lab.observe.packet import Icmp, Packet, Tcp, Udp

TABLE = "lab-trace"
"""The table of our own that marks packets: what is hit there is none of the cluster's."""

_TRACE_MESSAGE = (10 << 8) | 17
_RULE_MESSAGE = 10 << 8 | 6
_NAME, _CHAIN, _HANDLE, _TYPE, _VERDICT, _ID, _NETWORK, _TRANSPORT, _INTO, _OUT, _POLICY = 1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16
_RULE_TABLE, _RULE_CHAIN, _RULE_HANDLE = 1, 2, 3
_KIND_POLICY = 1
_CODES = {0: "drop", 1: "accept", 2: "stolen", 3: "queue", -1: "continue", -2: "break", -3: "jump", -4: "goto", -5: "return"}


@dataclass(frozen=True)
class Hit:
    """A rule, or a chain's policy, that decided something about a packet.

    handle    the kernel's number of the rule; 0 for a policy
    verdict   `accept`, `drop`, `continue`, `return`, `jump CHAIN`, `goto CHAIN`, `policy accept`; of iptables targets their own word
    rule      as iptables-save, or for other tables nft, prints it; empty for a policy
    """

    table: str
    chain: str
    handle: int
    verdict: str
    rule: str = ""


@dataclass(frozen=True)
class Pass:
    """A packet in one base chain: how it looked when it came in, and what it hit there.

    into, out   the interfaces it came in by and goes out by, as far as the chain knows
    ports       of what has none 0
    flags       of TCP
    """

    into: str
    out: str
    source: str
    destination: str
    protocol: int
    ports: tuple[int, int]
    flags: tuple[str, ...]
    hits: tuple[Hit, ...] = ()


def passes(messages: Iterable[bytes], interfaces: Mapping[int, str]) -> list[Pass]:
    """The passes in the order of the messages, without those through our own table.

    messages     nfnetlink messages of the group of traces
    interfaces   the machine's, index -> name
    """
    found: list[Pass] = []
    latest: dict[bytes, int] = {}
    for message in messages:
        told = dict(attributes(message[20:])) if len(message) >= 20 and _kind(message) == _TRACE_MESSAGE else {}
        identity = told.get(_ID, b"")
        # A packet that rejects another one goes its way before the other's message comes: only the id tells them apart.
        if _NETWORK in told:
            latest[identity] = len(found)
            found.append(_begun(told, interfaces))
        number = latest.get(identity)
        # Without a handle, and no policy: the end of a chain, which decides nothing.
        if number is not None and (_HANDLE in told or _POLICY in told):
            found[number] = replace(found[number], hits=(*found[number].hits, _hit(told)))
    return [one for one in found if one.hits and one.hits[0].table != TABLE]


def handles(messages: Iterable[bytes]) -> dict[tuple[str, str], list[int]]:
    """From the kernel's answer to a dump of rules: (table, chain) -> handles in the chain's order."""
    found: dict[tuple[str, str], list[int]] = {}
    for message in messages:
        if _kind(message) == _RULE_MESSAGE:
            told = dict(attributes(message[20:]))
            key = (_text(told.get(_RULE_TABLE, b"")), _text(told.get(_RULE_CHAIN, b"")))
            found.setdefault(key, []).append(int.from_bytes(told.get(_RULE_HANDLE, b""), "big"))
    return found


def saved_texts(text: str, order: Mapping[tuple[str, str], Sequence[int]]) -> dict[tuple[str, int], str]:
    """(table, handle) -> the rule's line of `iptables-save`. A chain whose rules were changed in between is left out."""
    lines: dict[tuple[str, str], list[str]] = {}
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith("-A "):
            lines.setdefault((table, line.split(" ", 2)[1]), []).append(line)
    return {
        (key[0], handle): line
        for key, own in lines.items()
        if len(own) == len(order.get(key, ()))
        for handle, line in zip(order[key], own, strict=True)
    }


_LISTED = re.compile(r"^\s*(?P<rule>.*\S)\s+# handle (?P<handle>\d+)$")
_COUNTER = re.compile(r" ?counter packets \d+ bytes \d+")


def listed_texts(table: str, text: str) -> dict[tuple[str, int], str]:
    """(table, handle) -> the rule as `nft -a list table` prints it, without its counters."""
    found = (_LISTED.match(line) for line in text.splitlines())
    return {(table, int(one["handle"])): _COUNTER.sub("", one["rule"]) for one in found if one and not one["rule"].endswith("{")}


def with_texts(found: Iterable[Pass], texts: Mapping[tuple[str, int], str]) -> tuple[Pass, ...]:
    """The passes with the text of every rule that has one, and an iptables target's own word for its verdict."""
    return tuple(replace(one, hits=tuple(_worded(hit, texts.get((hit.table, hit.handle), "")) for hit in one.hits)) for one in found)


def _worded(hit: Hit, rule: str) -> Hit:
    if not rule:
        return hit
    words = _words(rule)
    target = words[words.index("-j") + 1] if "-j" in words[:-1] else ""
    # A target's verdict says less than its name: DNAT accepts, REJECT drops, MARK continues.
    named = target.isupper() and target not in ("ACCEPT", "DROP", "RETURN") and " " not in hit.verdict
    return replace(hit, rule=rule, verdict=target if named else hit.verdict)


def _words(rule: str) -> list[str]:
    try:
        return shlex.split(rule)
    except ValueError:
        return rule.split()


def _kind(message: bytes) -> int:
    return int(struct.unpack_from("=H", message, 4)[0])


def _begun(told: Mapping[int, bytes], interfaces: Mapping[int, str]) -> Pass:
    packet = decode(told.get(_NETWORK, b"") + told.get(_TRANSPORT, b""), "ip", {})
    into, out = (interfaces.get(int.from_bytes(told.get(one, b""), "big"), "") for one in (_INTO, _OUT))
    if packet.ip is None:
        return Pass(into, out, "", "", 0, (0, 0), ())
    flags = packet.transport.flags if isinstance(packet.transport, Tcp) else ()
    return Pass(into, out, str(packet.ip.source), str(packet.ip.destination), packet.ip.protocol, _ports(packet), flags)


def _ports(packet: Packet) -> tuple[int, int]:
    transport = packet.transport
    if isinstance(transport, Udp | Tcp):
        return transport.source, transport.destination
    return (transport.identifier, transport.identifier) if isinstance(transport, Icmp) else (0, 0)


def _hit(told: Mapping[int, bytes]) -> Hit:
    table, chain = _text(told.get(_NAME, b"")), _text(told.get(_CHAIN, b""))
    if int.from_bytes(told.get(_TYPE, b""), "big") == _KIND_POLICY:
        return Hit(table, chain, 0, f"policy {_code(told.get(_POLICY, b''))}")
    verdict = dict(attributes(told.get(_VERDICT, b"")))
    words = f"{_code(verdict.get(1, b''))} {_text(verdict.get(2, b''))}".strip()
    return Hit(table, chain, int.from_bytes(told.get(_HANDLE, b""), "big"), words)


def _code(data: bytes) -> str:
    return _CODES.get(int.from_bytes(data, "big", signed=True), "") if data else ""


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The netlink attributes of some bytes: type without its flags, and value."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & 0x3FFF, data[4:length]
        data = data[(length + 3) & ~3 :]
