"""The arithmetic of a rollout: how many pods each ReplicaSet of a deployment may have now. Pure, on numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Share:
    """A ReplicaSet as far as a rollout cares.

    replicas    what it is told to have
    available   how many of its pods are available
    ceiling     the most pods the deployment was allowed when it was last scaled; 0 when unknown
    """

    name: str
    replicas: int
    available: int = 0
    ceiling: int = 0


def limits(surge: int | str | None, unavailable: int | str | None, replicas: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers of pods: percentages of `replicas`, the first rounded up, the second down; never both 0.

    What cannot be read counts as the default of 25%.
    """
    more = _part(surge, replicas, up=True)
    fewer = min(_part(unavailable, replicas, up=False), replicas)
    return (more, fewer) if more or fewer else (0, 1)


def _part(value: int | str | None, whole: int, up: bool) -> int:
    text = str(value if value is not None else "25%")
    number, percent = text.removesuffix("%"), text.endswith("%")
    if not number.isdecimal():
        number, percent = "25", True
    if not percent:
        return int(number)
    return (int(number) * whole + (99 if up else 0)) // 100


def room_for_new(new: int, total: int, replicas: int, surge: int) -> int:
    """How many pods the new ReplicaSet may have now. total: what all ReplicaSets together are told to have."""
    return min(replicas, new + max(0, replicas + surge - total)) if new < replicas else replicas


def shrunk(old: Sequence[Share], new: Share, replicas: int, unavailable: int) -> dict[str, int]:
    """What old ReplicaSets, the oldest first, are to shrink to: first what is not available anyway, then as much as may be missing.

    Only those that change are in the answer.
    """
    minimum = replicas - unavailable
    total = new.replicas + sum(one.replicas for one in old)
    budget = total - minimum - max(0, new.replicas - new.available)
    shares = list(old)
    for place, one in enumerate(shares):
        idle = min(max(0, one.replicas - one.available), max(0, budget))
        budget -= idle
        shares[place] = replace(one, replicas=one.replicas - idle)
    spare = sum(min(one.available, one.replicas) for one in [*shares, new]) - minimum
    for place, one in enumerate(shares):
        less = min(one.replicas, max(0, spare), max(0, budget))
        spare, budget = spare - less, budget - less
        shares[place] = replace(one, replicas=one.replicas - less)
    return {one.name: one.replicas for before, one in zip(old, shares, strict=True) if one.replicas != before.replicas}


def proportional(shares: Sequence[Share], replicas: int, surge: int) -> dict[str, int]:
    """A deployment that is scaled in the middle of a rollout: every ReplicaSet changes in proportion to its size.

    shares   the active ones, the newest first. What rounding leaves over goes to the largest.
    """
    allowed = replicas + surge if replicas > 0 else 0
    rest = allowed - sum(one.replicas for one in shares)
    ordered = sorted(shares, key=lambda one: -one.replicas) if rest >= 0 else sorted(reversed(shares), key=lambda one: -one.replicas)
    sizes = {}
    for one in ordered:
        wanted = (one.replicas * allowed * 2 + one.ceiling) // (one.ceiling * 2) - one.replicas if one.ceiling else 0
        part = min(max(wanted, 0), max(rest, 0)) if rest >= 0 else max(min(wanted, 0), rest)
        sizes[one.name] = one.replicas + part
        rest -= part
    if ordered and rest:
        first = ordered[0].name
        sizes[first] = max(0, sizes[first] + rest)
    return {one.name: sizes[one.name] for one in shares if sizes[one.name] != one.replicas}
