"""A journey in a few plain lines, for a scenario's step: every sighting, and below it what changed and which rules were hit. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lab.observe.sighting import text
from lab.observe.trace.journey import Change, Hop, Journey, RuleHit


def of(journey: Journey) -> tuple[str, ...]:
    """There, back, and errors, without bridge ports beside their bridge and without the policies of chains."""
    return tuple(line for leg in journey.legs for line in (f"{leg.kind}:", *(line for hop in leg.hops if not hop.minor for line in _hop(hop))))


def _hop(hop: Hop) -> Iterator[str]:
    if hop.packet is not None:
        yield f"  {hop.machine} {hop.interface}, {hop.direction}, {hop.time / 1000:.0f} µs: {text(hop.packet)}"
    elif hop.rules or hop.changes:
        yield f"  {hop.machine}"
    yield from (f"      {_change(change)}" for change in hop.changes)
    yield from (f"      {_rule(rule)}" for rule in hop.rules if rule.rule and not rule.wrapping)


def _change(change: Change) -> str:
    name = f" ({change.name})" if change.name else ""
    return f"{change.kind}: {' → '.join(part for part in (change.before, change.after) if part)}{name}"


def _rule(rule: RuleHit) -> str:
    about = f" ({rule.about})" if rule.about else ""
    return f"{rule.table} {rule.chain}: {rule.verdict}{about}"
