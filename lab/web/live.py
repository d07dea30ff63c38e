"""What the page shows of a running lab second by second: counters become rates, and only what has changed is told. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Counters = Mapping[str, tuple[int, int, int, int]]
"""Interface -> received bytes, received packets, sent bytes, sent packets."""
NOTHING = "0 0 0 0"


@dataclass(frozen=True)
class Sample:
    """What the watcher saw.

    time       seconds of a clock that never goes back
    counters   machine -> its interfaces' counters
    rules      machine -> number of IPv4 rules in the kernel's nftables, None where it cannot be told
    """

    time: float
    counters: Mapping[str, Counters] = field(default_factory=dict)
    rules: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What the page knows.

    traffic   `MACHINE INTERFACE` -> bytes and packets a second received, then sent, as whole numbers; silent ones are left out
    rules     machine -> number of rules
    """

    traffic: Mapping[str, tuple[int, int, int, int]] = field(default_factory=dict)
    rules: Mapping[str, int | None] = field(default_factory=dict)


def state_of(before: Sample | None, after: Sample) -> State:
    """The state between two samples. A counter that has gone back belongs to a new interface of an old name: it begins anew."""
    seconds = after.time - before.time if before else 0.0
    if before is None or seconds <= 0:
        return State({}, dict(after.rules))
    traffic = {}
    for machine, interfaces in after.counters.items():
        old = before.counters.get(machine, {})
        for name, counters in interfaces.items():
            rate = _rate(old.get(name), counters, seconds)
            if any(rate):
                traffic[f"{machine} {name}"] = rate
    return State(traffic, dict(after.rules))


def _rate(before: tuple[int, ...] | None, after: tuple[int, ...], seconds: float) -> tuple[int, int, int, int]:
    if before is None or any(new < old for old, new in zip(before, after, strict=True)):
        return (0, 0, 0, 0)
    a, b, c, d = (-(-(new - old) // max(seconds, 1e-9)) for old, new in zip(before, after, strict=True))
    return int(a), int(b), int(c), int(d)


def difference(before: State, after: State) -> dict[str, Any]:
    """What a page that knows `before` needs to be told to know `after`; None for what is not there any more. Empty when nothing is new."""
    found = {}
    for name in ("traffic", "rules"):
        old, new = getattr(before, name), getattr(after, name)
        changed: dict[str, Any] = {key: value for key, value in new.items() if key not in old or old[key] != value}
        changed |= {key: None for key in old if key not in new}
        if changed:
            found[name] = changed
    return found


class Mailbox:
    """What waits to be sent to one page: at most one difference, and one message of each other kind, however slow the page is.

    The difference is made when it is taken, against what the page was last told.
    """

    def __init__(self) -> None:
        self._told, self._now = State(), State()
        self._notices: dict[str, dict[str, Any]] = {}

    def state(self, state: State) -> None:
        """The state is now this."""
        self._now = state

    def notice(self, kind: str, message: Mapping[str, Any]) -> None:
        """Tell this; an older message of the kind that has not been taken is forgotten."""
        self._notices[kind] = dict(message)

    def take(self) -> list[dict[str, Any]]:
        """What the page is to be told, which from then on counts as told."""
        found = [{"type": kind} | message for kind, message in self._notices.items()]
        self._notices.clear()
        new = difference(self._told, self._now)
        self._told = self._now
        return [*found, {"type": "state"} | new] if new else found


class Window:
    """Flow control of a terminal: how many bytes are on their way to a page that has not yet said that it has drawn them."""

    def __init__(self, most: int = 1 << 18) -> None:
        self._most, self._open = most, 0

    @property
    def full(self) -> bool:
        """Whether to read no more of the program's output for now."""
        return self._open >= self._most

    def sent(self, count: int) -> None:
        """Bytes were sent."""
        self._open += count

    def drawn(self, count: int) -> None:
        """The page has drawn bytes. It cannot have drawn more than was sent, whatever it says."""
        self._open = max(0, self._open - max(0, count))
