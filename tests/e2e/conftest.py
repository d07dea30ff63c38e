"""Every end-to-end test leaves the host as it found it: a fixture says so, or the test fails. And the network that flannel's tests share."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.flannel_sandbox import Sandbox
from tests.hoststate import MARK, SETTLING, descendants, difference, host_state, marked_processes


@pytest.fixture(autouse=True)
def host_unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host has the same links, mounts, namespaces, rules and settings afterwards, and no process of the test is left.

    What runs already, such as the lab that a module's tests share, may stay, with all that it starts.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    known, before = descendants(), host_state()
    yield
    deadline = time.monotonic() + SETTLING
    while True:
        left = marked_processes(mark) | {pid: command for (pid, _), command in descendants(known).items()}
        changed = difference(before, host_state())
        if not (left or changed) or time.monotonic() > deadline:
            break
    assert not left, f"processes left behind: {left}"
    assert not changed, f"the host has changed (before, after): {changed}"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A throw-away network with a running etcd."""
    with Sandbox(tmp_path) as made:
        made.start_etcd()
        yield made
