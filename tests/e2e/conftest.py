"""Every end-to-end test leaves the host as it found it: a fixture says so, or the test fails. And the network that flannel's tests share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.flannel_sandbox import Sandbox
from tests.hoststate import MARK, SETTLING, host_state, marked_processes


@pytest.fixture(autouse=True)
def host_unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host has the same links, mounts, namespaces, rules and settings afterwards, and no process of the test is left."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    before = host_state()
    yield
    deadline = time.monotonic() + SETTLING
    while True:
        left, after = marked_processes(mark), host_state()
        if (not left and after == before) or time.monotonic() > deadline:
            break
    assert not left, f"processes left behind: {left}"
    assert after == before


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A throw-away network with a running etcd."""
    with Sandbox(tmp_path) as made:
        made.start_etcd()
        yield made
