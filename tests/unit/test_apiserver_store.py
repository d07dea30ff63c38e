"""How the apiserver follows etcd when etcd comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from lab.master.apiserver import store
from lab.master.apiserver.cache import Cache
from lab.master.etcdclient import EtcdCompacted, EtcdUnreachable, KeyValue, Snapshot


class _Over(Exception):
    """The test has seen enough."""


class _Stream:
    """A watch that breaks off."""

    async def news(self) -> list[Any]:
        raise EtcdUnreachable("the watch broke off")

    def close(self) -> None:
        """Nothing is open."""


class _Etcd:
    """Answers to watches, one after another: an error, or a watch; then the test is over."""

    def __init__(self, answers: list[Exception | _Stream]) -> None:
        self.answers, self.listings = answers, 0

    async def below(self, prefix: str) -> Snapshot:
        self.listings += 1
        return Snapshot(7, ())

    async def watch(self, prefix: str, start: int) -> _Stream:
        if not self.answers:
            raise _Over
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _followed(monkeypatch: pytest.MonkeyPatch, *answers: Exception | _Stream) -> tuple[list[str], _Etcd]:
    """The log of a store that gets these answers, and the etcd that gave them."""
    etcd, said = _Etcd(list(answers)), list[str]()
    monkeypatch.setattr(store, "AsyncEtcd", lambda endpoints: etcd)
    monkeypatch.setattr(store, "PAUSE", 0.0)

    async def follow() -> None:
        one = store.Store(["http://127.0.0.1:1"], Cache(10), said.append)
        with contextlib.suppress(_Over):
            await one.follow()

    asyncio.run(follow())
    return said, etcd


def test_an_absence_is_told_of_once_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [EtcdUnreachable("etcd does not answer: refused") for _ in range(5)]
    said, etcd = _followed(monkeypatch, _Stream(), *away, _Stream(), *away)
    assert said == ["the watch broke off", "etcd answers again", "the watch broke off"]
    assert etcd.listings == 1, "a watch goes on from where it broke off"


def test_what_etcd_has_forgotten_is_listed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    said, etcd = _followed(monkeypatch, EtcdCompacted("too old"), EtcdUnreachable("etcd does not answer"))
    assert (said, etcd.listings) == (["etcd does not answer"], 2)


class _Writes:
    """An etcd that takes keys that are not there yet. `groups`: how many keys each transaction had that was one."""

    def __init__(self, cache: Cache, *taken: str) -> None:
        self.cache, self.keys, self.groups, self.revision = cache, set(taken), list[int](), 0

    async def create(self, pairs: Sequence[tuple[str, str]]) -> int:
        if any(key in self.keys for key, _ in pairs):
            return 0
        self.revision += 1
        self.keys |= {key for key, _ in pairs}
        self.groups.append(len(pairs))
        self._loop.call_soon(self._tell, [key for key, _ in pairs], self.revision)
        return self.revision

    def _tell(self, keys: list[str], at: int) -> None:
        self.cache.feed(at, [(key, {"metadata": {"name": key, "resourceVersion": str(at)}}, at) for key in keys])

    def begin(self) -> None:
        """Called in the loop."""
        self._loop = asyncio.get_running_loop()


def _written_together(monkeypatch: pytest.MonkeyPatch, keys: list[str], *taken: str) -> tuple[list[Any], _Writes]:
    cache = Cache(10)
    etcd = _Writes(cache, *taken)
    monkeypatch.setattr(store, "AsyncEtcd", lambda endpoints: etcd)

    async def write() -> list[Any]:
        etcd.begin()
        one = store.Store(["http://127.0.0.1:1"], cache, lambda line: None)
        works = [one.create_together(key, {"metadata": {"name": key}}) for key in keys]
        return await asyncio.gather(*works, return_exceptions=True)

    return asyncio.run(write()), etcd


def test_writes_that_go_together_are_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"/registry/events/default/{number}" for number in range(store._MOST_TOGETHER + 3)]
    found, etcd = _written_together(monkeypatch, keys)
    assert [item["metadata"]["name"] for item in found] == keys
    assert etcd.groups == [store._MOST_TOGETHER, 3]


def test_one_that_is_there_already_does_not_spoil_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found, etcd = _written_together(monkeypatch, ["/registry/events/a", "/registry/events/b", "/registry/events/c"], "/registry/events/b")
    assert [isinstance(one, store.Conflict) for one in found] == [False, True, False]
    assert etcd.keys == {"/registry/events/a", "/registry/events/b", "/registry/events/c"}


def test_of_two_writes_of_one_key_one_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = _written_together(monkeypatch, ["/registry/events/a", "/registry/events/a"])
    assert sorted(isinstance(one, store.Conflict) for one in found) == [False, True]


def test_what_was_written_here_is_taken_as_it_was_and_what_a_stranger_wrote_is_read() -> None:
    """The watch brings back one's own text: it need not be read again, but for another key it counts for nothing."""
    said: list[str] = []
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "default", "resourceVersion": "3"}, "spec": {"x": [1]}}

    async def write() -> None:
        one = store.Store(["http://127.0.0.1:1"], Cache(10), said.append)
        key = "/registry/pods/default/a"
        text = one._text(key, pod)
        found = one._object(KeyValue(key, text, 7))
        assert found == pod | {"metadata": pod["metadata"] | {"resourceVersion": "7"}} and found["spec"] is pod["spec"]
        again = one._object(KeyValue(key, text, 8))
        assert again is not None and again["spec"] == pod["spec"] and again["spec"] is not pod["spec"], "it is remembered once"
        one._text(key, pod)
        assert one._object(KeyValue("/registry/pods/default/b", text, 9)) is None
        for number in range(2 * store._SENT):
            one._text(f"{key}{number}", pod)
        assert len(one._sent) == store._SENT

    asyncio.run(write())
    assert "not what the key says" in said[0] and len(said) == 1
