"""What a boot waits for, followed change by change, is what a look at all pods would say."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lab.cluster.readiness import Readiness, is_ready


def pod(name: str, ready: bool = True, owner: str = "", uid: str = "") -> dict[str, Any]:
    owners = {"ownerReferences": [{"name": owner, "controller": True}]} if owner else {}
    metadata = {"name": name, "namespace": "default", "uid": uid or name, **owners}
    return {"metadata": metadata, "status": {"conditions": [{"type": "Ready", "status": str(ready)}]}}


def test_nothing_is_there_at_once() -> None:
    assert Readiness([], {}).is_complete
    assert Readiness([], {("default", "web"): 0}).is_complete


def test_a_pod_and_a_deployment() -> None:
    waiting = Readiness([("default", "one")], {("default", "web"): 2})
    assert list(waiting.missing()) == ["pod one", "deployment web (0 of 2)"]
    assert waiting.see("ADDED", pod("one"))
    assert not waiting.see("ADDED", pod("web-5d-a", ready=False, owner="web-5d"))
    assert waiting.see("MODIFIED", pod("web-5d-a", owner="web-5d"))
    assert not waiting.see("MODIFIED", pod("web-5d-a", owner="web-5d")), "it was ready before"
    assert list(waiting.missing()) == ["deployment web (1 of 2)"]
    waiting.see("ADDED", pod("web-5d-b", owner="web-5d"))
    assert waiting.is_complete


def test_what_goes_is_missed_again() -> None:
    waiting = Readiness([("default", "one")], {})
    waiting.see("ADDED", pod("one"))
    waiting.see("DELETED", pod("one"))
    assert list(waiting.missing()) == ["pod one"]
    assert not waiting.items


def test_a_pod_that_is_about_to_go_is_not_ready() -> None:
    item = pod("one")
    item["metadata"]["deletionTimestamp"] = "2017-07-11T10:00:00Z"
    assert not is_ready(item)


CHANGES = st.lists(st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.sampled_from("abcd"), st.booleans()), max_size=30)


@given(CHANGES, st.integers(0, 5))
def test_any_history_comes_to_the_same_as_its_end(changes: list[tuple[str, str, bool]], wanted: int) -> None:
    waiting, there = Readiness([("default", "a")], {("default", "web"): wanted}), dict[str, bool]()
    for what, name, ready in changes:
        waiting.see(what, pod(name, ready, "web-1"))
        if what == "DELETED":
            there.pop(name, None)
        else:
            there[name] = ready
    assert waiting.is_complete == (there.get("a", False) and sum(there.values()) >= wanted)
