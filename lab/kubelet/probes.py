"""Probes of containers: what they ask, and what many answers add up to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

Kind = Literal["startup", "liveness", "readiness"]

KINDS: tuple[Kind, ...] = ("startup", "liveness", "readiness")

FAST = 0.1
"""Seconds between the looks of a readiness probe that has not been content yet, where its own period is longer."""

FAST_FOR = 10.0
"""Seconds from a container's start during which that is so."""


@dataclass(frozen=True)
class Probe:
    """One probe of a container. Times in seconds. `action` is httpGet, tcpSocket or exec, `detail` what the API says about it."""

    kind: Kind
    action: str
    detail: Mapping[str, Any]
    initial_delay: float = 0.0
    period: float = 10.0
    timeout: float = 1.0
    success: int = 1
    failure: int = 3


@dataclass(frozen=True)
class Tally:
    """What the answers so far add up to. `verdict` counts; `last` is the last answer, `streak` how often it came in a row."""

    verdict: bool
    last: bool | None = None
    streak: int = 0


def of_container(container: Mapping[str, Any]) -> dict[Kind, Probe]:
    """The probes that a container's spec asks for; one whose action is missing is left out."""
    found: dict[Kind, Probe] = {}
    for kind in KINDS:
        item = container.get(f"{kind}Probe") or {}
        action = next((name for name in ("httpGet", "tcpSocket", "exec") if item.get(name)), "")
        if action:
            numbers = (_number(item, "initialDelaySeconds", 0), _number(item, "periodSeconds", 10), _number(item, "timeoutSeconds", 1))
            thresholds = (int(_number(item, "successThreshold", 1)), int(_number(item, "failureThreshold", 3)))
            found[kind] = Probe(kind, action, item[action], *numbers, *thresholds)
    return found


def _number(item: Mapping[str, Any], name: str, default: float) -> float:
    value = item.get(name)
    return float(value) if isinstance(value, (int, float)) and value > 0 else default


def begin(probe: Probe) -> Tally:
    """Before the first answer: a container counts as alive, but neither as ready nor as started."""
    return Tally(probe.kind == "liveness")


def after(tally: Tally, probe: Probe, passed: bool) -> Tally:
    """With one more answer: the verdict changes when the threshold of its kind is reached."""
    streak = tally.streak + 1 if tally.last == passed else 1
    threshold = probe.success if passed else probe.failure
    return Tally(passed if streak >= threshold else tally.verdict, passed, streak)


def failed(tally: Tally, probe: Probe) -> bool:
    """Whether a liveness or startup probe has failed often enough for the container to be ended."""
    return tally.last is False and tally.streak >= probe.failure


def pause(probe: Probe, tally: Tally, lived: float) -> float:
    """Seconds until the next look."""
    impatient = probe.kind != "liveness" and not tally.verdict and lived < FAST_FOR + probe.initial_delay
    return min(probe.period, FAST) if impatient and tally.last is not True and probe.kind == "readiness" else probe.period


def port_number(port: Any, container: Mapping[str, Any]) -> int:
    """A probe's port: a number, or the name of one of the container's ports; 0 when there is none of that name."""
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    named = [one["containerPort"] for one in container.get("ports") or () if one.get("name") == port]
    return cast(int, named[0]) if named else 0
