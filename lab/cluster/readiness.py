"""What pods and deployments still lack until they are ready, followed change by change. Pure.

Looking at all pods again after each change would cost a boot of a thousand pods more than everything else together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lab.master.client import Object

Place = tuple[str, str, str]
"""Kind, namespace and name of what is waited for."""


def is_ready(item: Object) -> bool:
    """Whether a pod, or a node, is ready and not about to go."""
    conditions: list[dict[str, Any]] = item.get("status", {}).get("conditions") or []
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and "deletionTimestamp" not in item["metadata"]


class Readiness:
    """Counts ready pods.

    pods          namespace and name of those that are waited for
    deployments   how many pods of each are waited for
    """

    def __init__(self, pods: Iterable[tuple[str, str]], deployments: Mapping[tuple[str, str], int]) -> None:
        self._wanted: dict[Place, int] = {("pod", *place): 1 for place in pods}
        self._wanted |= {("deployment", *place): count for place, count in deployments.items()}
        self._ready: Counter[Place] = Counter()
        self._counted: dict[str, tuple[Place, ...]] = {}
        self._short = {place for place, count in self._wanted.items() if count > 0}
        self.items: dict[str, Object] = {}

    def see(self, what: str, item: Object) -> bool:
        """Take over one change of a pod, as a watch tells it; whether one more pod is ready than before."""
        uid = item["metadata"]["uid"]
        if what == "DELETED":
            self.items.pop(uid, None)
        else:
            self.items[uid] = item
        before = self._counted.pop(uid, ())
        after = _counts_for(item) if what != "DELETED" else ()
        if after:
            self._counted[uid] = after
        self._ready.subtract(before)
        self._ready.update(after)
        for place in {*before, *after}:
            if self._ready[place] < self._wanted.get(place, 0):
                self._short.add(place)
            else:
                self._short.discard(place)
        return bool(after) and not before

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing."""
        return not self._short

    def missing(self) -> Iterator[str]:
        """What is missing, in the order in which it was asked for."""
        for place in self._wanted:
            if place in self._short:
                kind, _, name = place
                yield f"pod {name}" if kind == "pod" else f"deployment {name} ({self._ready[place]} of {self._wanted[place]})"


def _counts_for(pod: Object) -> tuple[Place, ...]:
    """A pod that has done its work (phase Succeeded) is what was waited for, too, but it serves nobody: no deployment counts it."""
    if is_ready(pod):
        return _places(pod)
    return _places(pod)[:1] if pod.get("status", {}).get("phase") == "Succeeded" else ()


def _places(pod: Object) -> tuple[Place, ...]:
    """What a pod counts for: itself, and the deployment whose ReplicaSet made it: those are called DEPLOYMENT-HASH."""
    metadata = pod["metadata"]
    namespace = metadata.get("namespace", "")
    owners = [one["name"] for one in metadata.get("ownerReferences") or () if one.get("controller")]
    return ("pod", namespace, metadata["name"]), *(("deployment", namespace, one.rpartition("-")[0]) for one in owners)
