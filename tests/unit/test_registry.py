"""lab.fabric.registry: names, claims and their files, in a directory of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabError, UsageError
from lab.fabric import registry


@pytest.fixture(name="place", autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "lab"
    monkeypatch.setattr(registry, "root", lambda: place)
    yield place


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "A", "a b", "-a", "a-", "x" * 64, "a\n"])
def test_what_is_no_name_is_refused_and_makes_nothing(name: str, place: Path) -> None:
    with pytest.raises(UsageError, match="no name for a lab"):
        registry.claim(name, "zenlin")
    assert not place.exists()


def test_its_directories_are_private(place: Path) -> None:
    entry = registry.claim("a", "zenlin")
    assert place.stat().st_mode & 0o777 == entry.directory.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_others_may_enter_is_refused(place: Path) -> None:
    place.mkdir()
    place.chmod(0o755)
    with pytest.raises(LabError, match="only you can enter"):
        registry.claim("a", "zenlin")


def test_a_name_is_claimed_once_while_its_lab_lives(place: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        entry = registry.record(registry.claim("a", "zenlin"), child.pid)
        assert entry.running and list(registry.entries()) == [entry]
        with pytest.raises(UsageError, match="a lab named a is up"):
            registry.claim("a", "zenlin")
        registry.kill(entry)
        assert child.wait(10) == -9
        assert not entry.running
        assert registry.claim("a", "flat").source == "flat"
    finally:
        child.kill()
        child.communicate()


def test_a_pid_that_changed_hands_is_not_killed() -> None:
    entry = registry.Entry("a", "zenlin", os.getpid(), registry.start_time(os.getpid()) + 1)
    assert not entry.running
    registry.kill(entry)


def test_picking() -> None:
    with pytest.raises(UsageError, match="no lab is up"):
        registry.pick(None)
    running = registry.record(registry.claim("a", "zenlin"), os.getpid())
    assert registry.pick(None) == registry.pick("a") == running
    with pytest.raises(UsageError, match="no lab is named 'b'; there are: a"):
        registry.pick("b")
    registry.record(registry.claim("b", "flat"), os.getpid())
    with pytest.raises(UsageError, match="say which lab with --name; there are: a, b"):
        registry.pick(None)


def test_the_last_one_takes_the_directory_with_it(place: Path) -> None:
    entries = [registry.record(registry.claim(name, "zenlin"), os.getpid()) for name in ("a", "b")]
    registry.remove(entries[0])
    assert place.exists()
    registry.remove(entries[1])
    assert not place.exists()
