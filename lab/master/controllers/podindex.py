"""Pods by their node and by their controller, followed change by change. Pure.

Looking at every pod for each pod makes a thousand pods a million looks: the scheduler did that, and it was most of its work.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lab.master.client import Object
from lab.master.controllers.objects import controller_of, has_ended, is_active
from lab.master.informer import Key, key_of


class PodIndex:
    """Every pod, in two orders.

    active   by node, how many pods count as replicas: have not ended, and are not being deleted
    ended    by node, how many have ended
    """

    def __init__(self) -> None:
        self._on: dict[str, dict[Key, Object]] = {}
        self._of: dict[str, dict[Key, Object]] = {}
        self.active: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    def change(self, before: Object | None, after: Object | None) -> None:
        """A pod has come (before is None), has changed, or is gone (after is None)."""
        if before is not None:
            self._count(before, -1)
            _leave(self._on, _node_of(before), before)
            _leave(self._of, _owner_of(before), before)
        if after is not None:
            self._count(after, 1)
            self._on.setdefault(_node_of(after), {})[key_of(after)] = after
            self._of.setdefault(_owner_of(after), {})[key_of(after)] = after

    def on(self, node: str) -> list[Object]:
        """The pods of a node, by namespace and name; of the empty one, the pods that have none."""
        return [pod for _, pod in sorted(self._on.get(node, {}).items(), key=_place)]

    def of(self, uid: str, namespace: str) -> list[Object]:
        """The pods in a namespace whose controller has this uid, by name; of the empty one, the pods that have none."""
        return [pod for key, pod in sorted(self._of.get(uid, {}).items(), key=_place) if key[0] == namespace]

    def room(self, node: str) -> int:
        """How many pods of a node take a place there."""
        return len(self._on.get(node, ())) - self.ended[node]

    def holding(self, node: str) -> Iterator[Object]:
        """The pods of a node that take a place there, in no order."""
        return (pod for pod in self._on.get(node, {}).values() if not has_ended(pod))

    def _count(self, pod: Object, by: int) -> None:
        node = _node_of(pod)
        self.active[node] += by * is_active(pod)
        self.ended[node] += by * has_ended(pod)


def _place(pair: tuple[Key, Object]) -> Key:
    return pair[0]


def _node_of(pod: Object) -> str:
    spec = pod.get("spec")
    return str(spec.get("nodeName") or "") if isinstance(spec, dict) else ""


def _owner_of(pod: Object) -> str:
    return str((controller_of(pod) or {}).get("uid") or "")


def _leave(groups: dict[str, dict[Key, Object]], group: str, pod: Object) -> None:
    some = groups.get(group, {})
    some.pop(key_of(pod), None)
    if not some:
        groups.pop(group, None)
