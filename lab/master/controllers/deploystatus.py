"""A deployment's status: its numbers, and the conditions that `kubectl rollout status` goes by. Pure."""

from __future__ import annotations

from lab.master.client import Object
from lab.master.controllers.actions import Action, Again, patch_of
from lab.master.controllers.objects import changed, condition, going, seconds, with_condition
from lab.master.controllers.rolling import limits

_OPTIONAL = ("updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas")
"""Numbers that are left out when they are 0."""


def changes(deployment: Object, sets: list[Object], new: Object | None, news: str, now: float) -> list[Action]:
    """The patch of the status, where it differs, and when to look again because a deadline runs.

    sets, new   the ReplicaSets after this reconciliation, and the one of the deployment's template
    news        the reason of the condition Progressing when this reconciliation has made one
    """
    status = numbers(deployment, sets, new)
    with_numbers = {**deployment, "status": {**(deployment.get("status") or {}), **status}}
    with_numbers["status"]["conditions"] = with_condition(with_numbers, _available(deployment, status), now, "lastUpdateTime")
    again = []
    if not going(deployment):
        progressing = _progressing(deployment, status, new, news, now)
        if progressing is not None:
            with_numbers["status"]["conditions"] = with_condition(with_numbers, progressing, now, "lastUpdateTime")
        left = _left(with_numbers, status, now)
        again = [Again(left)] if left is not None else []
    old = deployment.get("status") or {}
    conditions = _only_changed(old.get("conditions") or [], with_numbers["status"]["conditions"])
    patch = changed(old, status | ({"conditions": conditions} if conditions else {}), _OPTIONAL)
    return [*([patch_of("deployments", deployment, {"status": patch}, "status")] if patch else []), *again]


def numbers(deployment: Object, sets: list[Object], new: Object | None) -> Object:
    """The counts of the status, without conditions."""
    available = _sum(sets, "availableReplicas")
    counts = {
        "updatedReplicas": _sum([new] if new else [], "replicas"),
        "readyReplicas": _sum(sets, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(int(one["spec"].get("replicas", 1)) for one in sets) - available),
    }
    always = {"observedGeneration": int(deployment["metadata"].get("generation", 0)), "replicas": _sum(sets, "replicas")}
    return always | {name: count for name, count in counts.items() if count}


def is_complete(deployment: Object, sets: list[Object], new: Object | None) -> bool:
    """Whether everything runs with the new template, and nothing else is left."""
    return _is_complete(deployment, numbers(deployment, sets, new))


def _is_complete(deployment: Object, status: Object) -> bool:
    wanted = int(deployment["spec"].get("replicas", 1))
    return all(status.get(name, 0) == wanted for name in ("replicas", "updatedReplicas", "availableReplicas"))


def _available(deployment: Object, status: Object) -> Object:
    wanted = int(deployment["spec"].get("replicas", 1))
    strategy = deployment["spec"].get("strategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    missing = 0 if strategy.get("type") == "Recreate" else limits(rolling.get("maxSurge"), rolling.get("maxUnavailable"), wanted)[1]
    if status.get("availableReplicas", 0) >= wanted - missing:
        reason, message = "MinimumReplicasAvailable", "Deployment has minimum availability."
        return {"type": "Available", "status": "True", "reason": reason, "message": message}
    reason, message = "MinimumReplicasUnavailable", "Deployment does not have minimum availability."
    return {"type": "Available", "status": "False", "reason": reason, "message": message}


def _progressing(deployment: Object, status: Object, new: Object | None, news: str, now: float) -> Object | None:
    """The condition Progressing as it is to be now; None leaves it as it is, as for a deployment without progressDeadlineSeconds."""
    old = condition(deployment, "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if deadline is None:
        return None
    if deployment["spec"].get("paused"):
        return _condition("Unknown", "DeploymentPaused", "Deployment is paused")
    if old and old.get("reason") == "DeploymentPaused":
        return _condition("Unknown", "DeploymentResumed", "Deployment is resumed")
    name = new["metadata"]["name"] if new else ""
    what = f'ReplicaSet "{name}"' if name else f'Deployment "{deployment["metadata"]["name"]}"'
    if news == "NewReplicaSetCreated":
        return _condition("True", news, f'Created new replica set "{name}"')
    if _is_complete(deployment, status):
        return _condition("True", "NewReplicaSetAvailable", f"{what} has successfully progressed.")
    if old is None or _has_moved(deployment.get("status") or {}, status):
        return _condition("True", "ReplicaSetUpdated", f"{what} is progressing.")
    if old.get("reason") == "NewReplicaSetAvailable":
        return None  # pods that fail later are no rollout that hangs
    if now >= seconds(old.get("lastUpdateTime")) + float(deadline):
        return _condition("False", "ProgressDeadlineExceeded", f"{what} has timed out progressing.")
    return None


def _left(deployment: Object, status: Object, now: float) -> float | None:
    """Seconds until the rollout will have made no progress for too long."""
    now_said = condition(deployment, "Progressing")
    deadline = deployment["spec"].get("progressDeadlineSeconds")
    if now_said is None or deadline is None or now_said.get("status") == "False" or now_said.get("reason") == "NewReplicaSetAvailable":
        return None
    if _is_complete(deployment, status):
        return None
    return max(0.0, seconds(now_said.get("lastUpdateTime")) + float(deadline) - now)


def _has_moved(old: Object, new: Object) -> bool:
    before = old.get("replicas", 0) - old.get("updatedReplicas", 0)
    after = new.get("replicas", 0) - new.get("updatedReplicas", 0)
    return after < before or any(new.get(name, 0) > old.get(name, 0) for name in ("updatedReplicas", "readyReplicas", "availableReplicas"))


def _condition(status: str, reason: str, message: str) -> Object:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def _only_changed(old: list[Object], new: list[Object]) -> list[Object]:
    """The new conditions; one that says what it said keeps its old times, unless it is progress, whose time is the point."""
    before = {one["type"]: one for one in old}
    kept = []
    for one in new:
        known = before.get(one["type"])
        same = known is not None and all(known.get(name) == one.get(name) for name in ("status", "reason", "message"))
        kept.append(known if same and known is not None and one.get("reason") != "ReplicaSetUpdated" else one)
    return kept


def _sum(sets: list[Object], name: str) -> int:
    return sum(int((one.get("status") or {}).get(name, 0)) for one in sets)
