"""Who is told of a change: everybody whom its selector would show it, and few others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lab.master.apiserver.cache import Cache
from lab.master.apiserver.watchers import BUFFER, CROWD, Audience, Change, Watcher

PODS, SERVICES = "/registry/pods/", "/registry/services/"


def pod(version: int, node: str = "") -> dict[str, Any]:
    return {"metadata": {"name": "web", "resourceVersion": str(version)}, "spec": {"nodeName": node} if node else {}}


def revisions(watcher: Watcher) -> list[int]:
    return [change.revision for change in watcher.queue if change is not None]


@pytest.fixture
def cache() -> Cache:
    return Cache(100)


def test_a_nodes_watch_is_told_of_what_comes_to_the_node_and_leaves_it(cache: Cache) -> None:
    one, other, everyone = cache.watch(PODS, 0, "node1"), cache.watch(PODS, 0, "node2"), cache.watch(PODS, 0)
    for version, node in enumerate(["", "node1", "node1", "node2"], 1):
        cache.feed(version, [(f"{PODS}default/web", pod(version, node), version)])
    cache.feed(5, [(f"{PODS}default/web", None, 5)])
    assert revisions(one) == [2, 3, 4]
    assert revisions(other) == [4, 5]
    assert revisions(everyone) == [1, 2, 3, 4, 5]


def test_a_watch_for_pods_without_node_is_told_of_them(cache: Cache) -> None:
    waiting = cache.watch(PODS, 0, "")
    cache.feed(1, [(f"{PODS}default/web", pod(1), 1)])
    cache.feed(2, [(f"{PODS}default/web", pod(2, "node1"), 2)])
    cache.feed(3, [(f"{PODS}default/web", pod(3, "node1"), 3)])
    assert revisions(waiting) == [1, 2]


def test_a_watch_from_the_past_is_told_the_same(cache: Cache) -> None:
    for version, node in enumerate(["", "node1", "node2", "node2"], 1):
        cache.feed(version, [(f"{PODS}default/web", pod(version, node), version)])
    assert revisions(cache.watch(PODS, 0, "node1")) == [2, 3]


def test_other_resources_and_those_who_have_gone_are_not_told(cache: Cache) -> None:
    services, gone = cache.watch(SERVICES, 0), cache.watch(PODS, 0)
    cache.forget(gone)
    cache.forget(gone)
    cache.feed(1, [(f"{PODS}default/web", pod(1), 1)])
    assert revisions(services) == revisions(gone) == []


def test_who_is_too_slow_is_cut_off() -> None:
    watcher, cut = Watcher(PODS), list[bool]()
    watcher.on_cut = lambda: cut.append(True)
    for revision in range(BUFFER + 2):
        watcher.tell(Change(revision, f"{PODS}default/web", None, pod(revision)))
    assert (len(watcher.queue), cut) == (BUFFER, [True])


def test_waiting_ends_with_news_and_with_time() -> None:
    async def story() -> list[int]:
        watcher = Watcher(PODS)
        await watcher.wait(0.0)
        asyncio.get_running_loop().call_soon(watcher.tell, Change(7, f"{PODS}default/web", None, pod(7)))
        await watcher.wait(60.0)
        await watcher.wait(60.0)  # what waits already is news
        return revisions(watcher)

    assert asyncio.run(asyncio.wait_for(story(), 30.0)) == [7]


@pytest.mark.parametrize(("watchers", "together"), [(CROWD, 1), (CROWD + 1, 3)])
def test_a_crowd_is_told_of_several_changes_together(watchers: int, together: int) -> None:
    async def story() -> list[int]:
        audience, some = Audience(), [Watcher(PODS) for _ in range(watchers)]
        for one in some:
            audience.add(one)

        async def heard(one: Watcher) -> int:
            await one.wait(60.0)
            return len(one.queue)

        tasks = [asyncio.create_task(heard(one)) for one in some]
        for revision in range(1, 4):
            for _ in range(3):  # turns of the loop, in which who has been woken goes on
                await asyncio.sleep(0)
            audience.tell(Change(revision, f"{PODS}default/web", None, pod(revision)))
        return await asyncio.gather(*tasks)

    assert asyncio.run(asyncio.wait_for(story(), 30.0)) == [together] * watchers
