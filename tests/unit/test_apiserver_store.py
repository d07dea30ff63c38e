"""How the apiserver follows etcd when etcd comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from lab.master.apiserver import store
from lab.master.apiserver.cache import Cache
from lab.master.etcdclient import EtcdCompacted, EtcdUnreachable, Snapshot


class _Stream:
    """A watch that breaks off."""

    def __iter__(self) -> Iterator[Any]:
        raise EtcdUnreachable("the watch broke off")

    def close(self) -> None:
        """Nothing is open."""


class _Etcd:
    """Answers to watches, one after another: an error, or a watch; then the process ends."""

    def __init__(self, answers: list[Exception | _Stream]) -> None:
        self.answers, self.listings = answers, 0

    def range(self, key: str, prefix: bool) -> Snapshot:
        self.listings += 1
        return Snapshot(7, ())

    def watch(self, key: str, prefix: bool, start: int) -> _Stream:
        if not self.answers:
            raise RuntimeError("Event loop is closed")
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def _followed(monkeypatch: pytest.MonkeyPatch, *answers: Exception | _Stream) -> tuple[list[str], _Etcd]:
    """The log of a store that gets these answers, and the etcd that gave them."""
    etcd, said = _Etcd(list(answers)), list[str]()
    monkeypatch.setattr(store, "EtcdClient", lambda endpoints: etcd)
    monkeypatch.setattr(store, "PAUSE", 0.0)

    async def follow() -> None:
        one = store.Store(["http://127.0.0.1:1"], Cache(10), said.append)
        await asyncio.get_running_loop().run_in_executor(None, one._follow)

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
