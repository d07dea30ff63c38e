"""The status of a pod, as kubelet computes it from its containers. Pure."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lab.kubelet import restart
from lab.kubelet.records import Run

Json = dict[str, Any]


@dataclass(frozen=True)
class Facts:
    """What is known of a container. `waiting`: (reason, message), why it does not run; `runs` newest last, two at most.

    initial   it is an init container; `stays`: and a sidecar, which runs as long as the others
    """

    name: str
    image: str
    runs: tuple[Run, ...] = ()
    waiting: tuple[str, str] = ("", "")
    ready: bool = False
    started: bool = False
    initial: bool = False
    stays: bool = False

    @property
    def run(self) -> Run | None:
        """Its last life."""
        return self.runs[-1] if self.runs else None

    @property
    def running(self) -> bool:
        """Whether it lives."""
        return self.run is not None and not self.run.finished


def time_text(moment: float) -> str:
    """Seconds since the epoch as Kubernetes writes times, without a fraction."""
    return _second_text(int(moment))


@functools.lru_cache(maxsize=64)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def exit_code(run: Run) -> int:
    """A shell's reading: 137 for SIGKILL."""
    return run.status if run.status >= 0 else 128 - run.status


def container_status(facts: Facts) -> Json:
    """One entry of containerStatuses."""
    status: Json = {"name": facts.name, "image": facts.image, "imageID": f"lab://{facts.image}", "ready": facts.ready, "lastState": {}}
    status |= {"restartCount": facts.run.attempt if facts.run else 0, "started": facts.running and facts.started}
    previous: Run | None = facts.runs[-2] if len(facts.runs) > 1 else None
    if facts.run is not None and facts.running:
        status["state"] = {"running": {"startedAt": time_text(facts.run.started)}}
        status["containerID"] = facts.run.id
    elif facts.run is not None and not facts.waiting[0]:
        status["state"] = {"terminated": _terminated(facts.run)}
        status["containerID"] = facts.run.id
    else:
        reason, message = facts.waiting
        status["state"] = {"waiting": {"reason": reason or "ContainerCreating"} | ({"message": message} if message else {})}
        previous = facts.run
    if previous is not None:
        status["lastState"] = {"terminated": _terminated(previous)}
    return status


def _terminated(run: Run) -> Json:
    reason = "ContainerCannotRun" if run.trouble else "Completed" if run.status == 0 else "Error"
    item = {"exitCode": exit_code(run), "reason": reason, "startedAt": time_text(run.started), "finishedAt": time_text(run.finished)}
    return item | {"containerID": run.id} | ({"message": run.trouble} if run.trouble else {})


def phase(policy: str, containers: Sequence[Facts]) -> str:
    """Pending, Running, Succeeded or Failed, as kubelet's getPhase decides."""
    initial, containers = [one for one in containers if one.initial], [one for one in containers if not one.initial]
    if policy == "Never" and any(_has_failed(one) for one in initial):
        return "Failed"
    if not all(_is_through(one) for one in initial):
        return "Pending"
    if any(one.run is None for one in containers):
        return "Pending"
    if any(one.running or one.waiting[0] for one in containers) or policy == "Always":
        return "Running"
    if all(one.run is not None and one.run.status == 0 for one in containers):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _has_failed(one: Facts) -> bool:
    """Whether an init container, which nobody will start again, has ended badly."""
    return not one.stays and one.run is not None and not one.running and exit_code(one.run) != 0


def _is_through(one: Facts) -> bool:
    return one.started if one.stays else one.ready


def finished(policy: str, containers: Sequence[Facts]) -> bool:
    """Whether no container runs and none will be started again; sidecars end with the others."""
    if policy == "Never" and any(_has_failed(one) for one in containers if one.initial):
        return True
    containers = [one for one in containers if not one.initial]
    return all(one.run is not None and not one.running and not restart.wanted(policy, one.run) for one in containers)


def conditions(containers: Sequence[Facts], state: str, old: Sequence[Mapping[str, Any]], now: float) -> list[Json]:
    """The pod's conditions; times of those that did not change are kept, and PodScheduled is the scheduler's."""
    incomplete = [one.name for one in containers if one.initial and not _is_through(one)]
    containers = [one for one in containers if not one.initial or one.stays]
    unready = [one.name for one in containers if not one.ready]
    text = f"containers with unready status: [{' '.join(unready)}]"
    trouble: Json = {"reason": "ContainersNotReady", "message": text} if unready else {}
    if state == "Succeeded":
        trouble = {"reason": "PodCompleted"}
    ready = "False" if unready or not containers or state in ("Succeeded", "Failed") else "True"
    said = f"containers with incomplete status: [{' '.join(incomplete)}]"
    why: Json = {"reason": "ContainersNotInitialized", "message": said} if incomplete else {}
    wanted: list[Json] = [{"type": "Initialized", "status": "False" if incomplete else "True", **why}]
    wanted += [{"type": kind, "status": ready, **trouble} for kind in ("Ready", "ContainersReady")]
    wanted.append({"type": "PodScheduled", "status": "True"})
    before = {one.get("type"): one for one in old}
    return [_with_time(one, before.get(one["type"]), now) for one in wanted] + [dict(one) for one in old if one.get("type") not in _OWN]


_OWN = ("Initialized", "Ready", "ContainersReady", "PodScheduled")


def _with_time(condition: Json, before: Mapping[str, Any] | None, now: float) -> Json:
    same = before is not None and before.get("status") == condition["status"] and before.get("lastTransitionTime")
    moment = before["lastTransitionTime"] if same and before is not None else time_text(now)
    return {**condition, "lastProbeTime": None, "lastTransitionTime": moment}


def qos(pod: Mapping[str, Any]) -> str:
    """The pod's quality of service class, from the resources that it asks for. The lab sets no limits."""
    asked = [container.get("resources") or {} for container in (pod.get("spec") or {}).get("containers") or ()]
    if not any(one.get("requests") or one.get("limits") for one in asked):
        return "BestEffort"
    exact = all(set(one.get("limits") or ()) >= {"cpu", "memory"} and (one.get("requests") or one["limits"]) == one["limits"] for one in asked)
    return "Guaranteed" if exact else "Burstable"


def pod_status(pod: Mapping[str, Any], containers: Sequence[Facts], address: str, host: str, started: float, now: float) -> Json:
    """The whole status of a pod that has been accepted. `address` empty: it has none yet."""
    policy = (pod.get("spec") or {}).get("restartPolicy") or "Always"
    old = pod.get("status") or {}
    state = phase(policy, containers)
    status: Json = {
        "phase": state,
        "conditions": conditions(containers, state, old.get("conditions") or (), now),
        "hostIP": host,
        "startTime": old.get("startTime") or time_text(started),
        "containerStatuses": [container_status(one) for one in sorted(containers, key=lambda one: one.name) if not one.initial],
        "qosClass": old.get("qosClass") or qos(pod),
    }
    if any(one.initial for one in containers):
        status["initContainerStatuses"] = [container_status(one) for one in containers if one.initial]
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": address}]}
    return status


def essence(status: Mapping[str, Any]) -> Json:
    """What of a status must be the kubelet's: enough to notice that another has written it, or that it was lost."""
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return {
        "phase": status.get("phase"),
        "podIP": status.get("podIP") or "",
        "conditions": sorted((one.get("type"), one.get("status")) for one in status.get("conditions") or () if one.get("type") in _OWN),
        "containers": sorted((one["name"], one.get("ready"), one.get("restartCount"), *(one.get("state") or {})) for one in containers),
    }
