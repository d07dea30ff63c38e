"""What can be broken on purpose in a lab that is up, as people say it: `loss 30 delay 50`, `down`, `pause`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lab.errors import UsageError

WAYS = ("both", "out", "in")
"""Of a link, as its machine sees it: what it sends is `out`, what is sent to it is `in`."""

ACTIONS = ("down", "up", "pause", "resume", "clear")
"""Words that stand alone."""

LONGEST_DELAY = 10_000.0
SLOWEST, FASTEST = 8_000, 10_000_000_000
"""Bounds of a delay in milliseconds, and of a rate in bits a second."""

_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)([kmg]?)bit")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


@dataclass(frozen=True)
class Quality:
    """What a link does to the packets of one way.

    loss    percent of them that it loses, by chance
    delay   milliseconds that it holds each of them
    rate    bits a second that it lets pass; 0: as many as come
    """

    loss: float = 0.0
    delay: float = 0.0
    rate: int = 0

    def __str__(self) -> str:
        parts = [f"loss {self.loss:g} %"] if self.loss else []
        parts += [f"delay {self.delay:g} ms"] if self.delay else []
        parts += [f"rate {rate_text(self.rate)}"] if self.rate else []
        return ", ".join(parts)

    def changed(self, values: Mapping[str, float]) -> Quality:
        """With some of the fields set anew, by their names."""
        return Quality(values.get("loss", self.loss), values.get("delay", self.delay), int(values.get("rate", self.rate)))


PERFECT = Quality()


@dataclass(frozen=True)
class Wish:
    """A fault as it is asked for.

    values   loss, delay or rate -> its new value; 0 takes it away
    action   one of ACTIONS, or empty
    way      one of WAYS
    """

    values: Mapping[str, float] = field(default_factory=dict)
    action: str = ""
    way: str = "both"

    def __str__(self) -> str:
        words = [f"{name} {rate_text(int(value)) if name == 'rate' else f'{value:g}'}" for name, value in self.values.items()]
        words += [self.action] if self.action else []
        return " ".join([*words, *([f"--way {self.way}"] if self.way != "both" else [])])


def parse(words: Sequence[str], way: str = "both") -> Wish:
    """The wish that a user's words are: `loss PERCENT`, `delay MS` and `rate RATE` in any number and order, or one of ACTIONS.

    Raises UsageError, with what may be said.
    """
    if way not in WAYS:
        raise UsageError(f"a link has no way {way!r}; say {', '.join(WAYS)}")
    if len(words) == 1 and words[0] in ACTIONS:
        if way != "both":
            raise UsageError(f"{words[0]} is for both ways; only loss, delay and rate can be for one")
        return Wish(action=words[0], way=way)
    values: dict[str, float] = {}
    rest = list(words)
    while rest:
        name = rest.pop(0)
        if name not in _READERS:
            raise UsageError(f"no fault {name!r}; say loss PERCENT, delay MS, rate RATE, or one of {', '.join(ACTIONS)} alone")
        if not rest:
            raise UsageError(f"{name} of how much? say {_EXAMPLES[name]}; 0 takes it away")
        if name in values:
            raise UsageError(f"{name} is said twice")
        values[name] = _READERS[name](rest.pop(0))
    if not values:
        raise UsageError(f"say which fault: loss PERCENT, delay MS, rate RATE, {', '.join(ACTIONS)}")
    return Wish(values, way=way)


def rate_text(rate: int) -> str:
    """A rate as tc writes it: 8kbit, 1mbit, 1500kbit."""
    for unit in ("g", "m", "k"):
        if rate and rate % _UNITS[unit] == 0:
            return f"{rate // _UNITS[unit]}{unit}bit"
    return f"{rate}bit"


def _loss(text: str) -> float:
    return _number("loss", text.removesuffix("%"), 100.0)


def _delay(text: str) -> float:
    return _number("delay", text.removesuffix("ms"), LONGEST_DELAY)


def _rate(text: str) -> float:
    if text == "0":
        return 0
    found = _RATE.fullmatch(text.lower())
    rate = round(float(found[1]) * _UNITS[found[2]]) if found else 0
    if not SLOWEST <= rate <= FASTEST:
        raise UsageError(f"rate {text}: say {rate_text(SLOWEST)} to {rate_text(FASTEST)}, such as 1mbit, or 0 for none")
    return rate


def _number(name: str, text: str, most: float) -> float:
    value = float(text) if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else -1.0
    if not 0 <= value <= most:
        raise UsageError(f"{name} {text}: say a number from 0 to {most:g}, such as {_EXAMPLES[name]}")
    return value


_READERS = {"loss": _loss, "delay": _delay, "rate": _rate}
_EXAMPLES = {"loss": "loss 30 (percent)", "delay": "delay 50 (milliseconds)", "rate": "rate 1mbit"}
