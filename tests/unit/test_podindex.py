"""Pods by node and by controller: always what looking at every pod would find."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lab.master.controllers.objects import controller_of, has_ended, is_active
from lab.master.controllers.world import World
from lab.master.informer import key_of

Object = dict[str, Any]
NODES, OWNERS = ("", "n1", "n2"), ("", "u1", "u2")


def _pod(namespace: str, name: str, node: str, owner: str, phase: str, going: bool, version: int) -> Object:
    metadata: Object = {"namespace": namespace, "name": name, "uid": f"{namespace}/{name}", "resourceVersion": str(version)}
    metadata |= {"ownerReferences": [{"uid": owner, "name": "o", "controller": True}]} if owner else {}
    metadata |= {"deletionTimestamp": "2017-07-11T10:00:00Z"} if going else {}
    return {"kind": "Pod", "metadata": metadata, "spec": {"nodeName": node} if node else {}, "status": {"phase": phase}}


@st.composite
def _changes(draw: st.DrawFn) -> tuple[str, Object]:
    texts = [draw(st.sampled_from(some)) for some in (("put", "assume", "remove"), ("a", "b"), ("web", "db"), NODES, OWNERS, ("Running", "Failed"))]
    return texts[0], _pod(*texts[1:], draw(st.booleans()), 0)


@given(st.lists(_changes(), max_size=12))
@settings(max_examples=30)
def test_the_index_is_what_all_pods_say(changes: list[tuple[str, Object]]) -> None:
    world = World()
    for version, (what, pod) in enumerate(changes, 1):
        pod["metadata"] |= {"resourceVersion": str(version)}
        known = world.get("pods", pod["metadata"]["name"], pod["metadata"]["namespace"])
        if what == "put":
            pod["metadata"]["uid"] += f"/{version}" if known is None else known["metadata"]["uid"].partition("/")[0]
            world.put("pods", pod)
        elif known is not None and what == "assume":
            world.assume("pods", pod | {"metadata": pod["metadata"] | {"uid": known["metadata"]["uid"]}})
        elif known is not None:
            world.remove("pods", known)
        pods = world.all("pods")
        for node in NODES:
            there = [one for one in pods if one["spec"].get("nodeName", "") == node]
            assert world.pods.on(node) == there
            assert world.pods.active[node] == sum(map(is_active, there))
            held = [one for one in there if not has_ended(one)]
            assert world.pods.room(node) == len(held) and sorted(map(key_of, world.pods.holding(node))) == list(map(key_of, held))
        for owner in OWNERS:
            for space in ("a", "b"):
                own = [one for one in world.all("pods", space) if (controller_of(one) or {}).get("uid", "") == owner]
                assert world.pods.of(owner, space) == own
