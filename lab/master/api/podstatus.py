"""How a pod is doing in one word, as the apiserver's printer works it out from its containers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.master.api.ages import seconds_of
from lab.master.api.lenient import at, number, objs, text

Object = dict[str, Any]


@dataclass
class Standing:
    """A pod's word (`Running`, `CrashLoopBackOff`), how many containers are ready, restarts, and when it last restarted (0: unknown)."""

    word: str
    ready: int = 0
    restarts: int = 0
    restarted: float = 0.0


def standing(pod: Object) -> Standing:
    """What the columns READY, STATUS and RESTARTS say of a pod."""
    phase = text(pod, "status", "phase")
    found = Standing(text(pod, "status", "reason") or phase)
    if any(one.get("type") == "PodScheduled" and one.get("reason") == "SchedulingGated" for one in objs(pod, "status", "conditions")):
        found.word = "SchedulingGated"
    initializing = _init(pod, found)
    if not initializing or _condition(pod, "Initialized"):
        _main(pod, found)
    if text(pod, "metadata", "deletionTimestamp"):
        if text(pod, "status", "reason") == "NodeLost":
            found.word = "Unknown"
        elif phase not in ("Succeeded", "Failed"):
            found.word = "Terminating"
    return found


def _init(pod: Object, found: Standing) -> bool:
    sidecars = {one.get("name") for one in objs(pod, "spec", "initContainers") if one.get("restartPolicy") == "Always"}
    for place, container in enumerate(objs(pod, "status", "initContainerStatuses")):
        _count(container, found)
        ended = at(container, "state", "terminated")
        waiting = text(container, "state", "waiting", "reason")
        if isinstance(ended, dict) and not number(ended, "exitCode"):
            continue
        if text(container, "name") in sidecars and container.get("started") is True:
            found.ready += container.get("ready") is True
            continue
        if isinstance(ended, dict):
            found.word = f"Init:{_end(ended)}"
        elif waiting and waiting != "PodInitializing":
            found.word = f"Init:{waiting}"
        else:
            found.word = f"Init:{place}/{len(objs(pod, 'spec', 'initContainers'))}"
        return True
    return False


def _main(pod: Object, found: Standing) -> None:
    found.restarts, found.restarted, running = 0, 0.0, False
    for container in reversed(objs(pod, "status", "containerStatuses")):
        _count(container, found)
        ended = at(container, "state", "terminated")
        if waiting := text(container, "state", "waiting", "reason"):
            found.word = waiting
        elif isinstance(ended, dict):
            found.word = _end(ended)
        elif container.get("ready") is True and isinstance(at(container, "state", "running"), dict):
            running = True
            found.ready += 1
    if found.word == "Completed" and running:
        found.word = "Running" if _condition(pod, "Ready") else "NotReady"


def _count(container: Object, found: Standing) -> None:
    found.restarts += number(container, "restartCount")
    found.restarted = max(found.restarted, seconds_of(at(container, "lastState", "terminated", "finishedAt")) or 0.0)


def _end(ended: Object) -> str:
    if reason := text(ended, "reason"):
        return reason
    signal = number(ended, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number(ended, 'exitCode')}"


def _condition(pod: Object, name: str) -> bool:
    return any(one.get("type") == name and one.get("status") == "True" for one in objs(pod, "status", "conditions"))


def readiness_gates(pod: Object) -> str:
    """`1/2` of the extra conditions that a pod waits for, `<none>` when there are none."""
    gates = [text(gate, "conditionType") for gate in objs(pod, "spec", "readinessGates")]
    return f"{sum(_condition(pod, gate) for gate in gates)}/{len(gates)}" if gates else "<none>"


def addresses(pod: Object) -> str:
    """The pod's address, `<none>` before it has one."""
    return text(pod, "status", "podIP") or next((text(one, "ip") for one in objs(pod, "status", "podIPs")), "") or "<none>"
