"""Until a run's pods are ready, and why they are not; and which of them are the ones that the scenario means."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.errors import BootError
from lab.model.pins import Pin
from lab.remote.api import Api, Json

POLL_SECONDS = 0.25


def until_ready(api: Api, made: Iterable[Json], seconds: float) -> None:
    """Wait until the pods, and all pods of the deployments, are ready. BootError after so many seconds, with the reason of each that is not."""
    wanted = [one for one in made if one["kind"] in ("Pod", "Deployment")]
    deadline = time.monotonic() + seconds
    while True:
        late = [name for one in wanted if (name := _late(api, one))]
        if not late:
            return
        if time.monotonic() > deadline:
            reasons = _reasons(api.raw_list("pods")["items"], wanted)
            told = "\n".join(f"    {line}" for line in [*late, *reasons])
            raise BootError(f"not ready after {seconds:g} s in the namespace {api.namespace}:\n{told}")
        time.sleep(POLL_SECONDS)


def _late(api: Api, item: Json) -> str:
    """What a deployment or pod still lacks; empty when it is ready."""
    name = item["metadata"]["name"]
    if item["kind"] == "Pod":
        return "" if is_ready(api.raw_get("pods", name)) else f"pod {name}"
    found = api.raw_get("deployments", name)
    count, status = int(found["spec"].get("replicas", 1)), found.get("status") or {}
    if int(status.get("observedGeneration") or 0) >= int(found["metadata"].get("generation") or 0) and int(status.get("readyReplicas") or 0) >= count:
        return ""
    bad = [one.get("message", "") for one in status.get("conditions") or () if one.get("type") == "ReplicaFailure" and one.get("status") == "True"]
    return f"deployment {name}: {status.get('readyReplicas') or 0} of {count} pods" + "".join(f"; {message}" for message in bad)


def is_ready(item: Json) -> bool:
    """Whether a pod or node is ready and not on its way out. Pure."""
    conditions = (item.get("status") or {}).get("conditions") or ()
    going = item["metadata"].get("deletionTimestamp")
    return not going and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _reasons(pods: Sequence[Json], wanted: Sequence[Json]) -> Iterator[str]:
    names = tuple(one["metadata"]["name"] for one in wanted)
    for pod in pods:
        if not is_ready(pod) and any(pod["metadata"]["name"] == name or pod["metadata"]["name"].startswith(f"{name}-") for name in names):
            yield f"{pod['metadata']['name']}: {reason(pod)}"


def reason(pod: Json) -> str:
    """Why a pod is not ready, in the cluster's words. Pure."""
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or ():
        for state in ("waiting", "terminated"):
            told = (container.get("state") or {}).get(state) or {}
            if told:
                return f"{container.get('name')} {_told(told)}"
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False" and (condition.get("message") or condition.get("reason")):
            return _told(condition)
    return str(status.get("phase") or "unknown")


def _told(said: Mapping[str, Any]) -> str:
    return ": ".join(str(said[key]) for key in ("reason", "message") if said.get(key))


def pod_pairs(pins: Iterable[Pin], pods: Sequence[Json]) -> Iterator[tuple[str, str]]:
    """(the scenario's word, the cluster's) for names and addresses of pods. Pure.

    Of a deployment's pods, in the order of their names, the first is the one that is pinned first, and so on.
    """
    left = sorted(pods, key=lambda pod: str(pod["metadata"]["name"]))
    for pin in pins:
        found = next((pod for pod in left if _is(pod, pin)), None)
        if found is None:
            continue
        left.remove(found)
        yield pin.name, found["metadata"]["name"]
        yield pin.address, str((found.get("status") or {}).get("podIP") or "")


def _is(pod: Json, pin: Pin) -> bool:
    metadata = pod["metadata"]
    if not pin.owner:
        return bool(metadata["name"] == pin.name)
    owners = [str(one["name"]) for one in metadata.get("ownerReferences") or () if one.get("kind") == "ReplicaSet"]
    return any(owner.rpartition("-")[0] == pin.owner for owner in owners)


def domain(words: Iterable[str], namespace: str) -> str:
    """The cluster's domain, from the words of a pod's resolv.conf: what follows NAMESPACE.svc. in its search list; empty for none. Pure."""
    head = f"{namespace}.svc."
    return next((word.removeprefix(head) for word in words if word.startswith(head)), "")
