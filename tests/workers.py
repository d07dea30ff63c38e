"""How the suite is spread over workers (pytest-xdist): how many there are, which tests stay together, which begin first. Pure.

pytest-xdist has a mode for groups of its own, `--dist loadgroup`, but it writes them into the tests' names, which pytest 9.2 ignores: there
it groups nothing, and says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUICK = ("unit", "golden")
"""Folders whose tests are over sooner than workers are ready."""
FIRST = ("e2e", "fabric", "survival")


def folder(path: Path) -> str:
    """The folder of tests/ that a path is in; empty elsewhere."""
    return path.relative_to(HERE).parts[0] if path.is_relative_to(HERE) and path != HERE else ""


def number(cores: int, asked: Sequence[Path]) -> int:
    """How many workers `-n auto` means: two more than there are cores, because tests wait a lot; none for tests that need none.

    cores   processors that this process may use
    asked   files and folders that pytest was asked to run
    """
    return 0 if asked and all(folder(path) in QUICK for path in asked) else cores + 2


def group(item: pytest.Item) -> str:
    """Tests of one group run on one worker, one after the other.

    A mark xdist_group("name") says so. Tests that share a fixture of their module are a group, one for each of the fixture's parameters.
    Quick tests go file by file, all others on their own.
    """
    mark = item.get_closest_marker("xdist_group")
    if mark:
        return str(mark.args[0])
    if folder(item.path) in QUICK:
        return item.path.name
    info = getattr(item, "_fixtureinfo", None)
    definitions = [found[-1] for found in info.name2fixturedefs.values()] if info else []
    ours = [one for one in definitions if Path(one.func.__code__.co_filename).parent in item.path.parents]
    shared = {one.argname for one in ours if one.scope == "module"}
    if not shared:
        return item.nodeid
    callspec = getattr(item, "callspec", None)
    indices = callspec.indices if callspec else {}
    return "-".join([item.path.name, *(f"{name}{indices.get(name, '')}" for name in sorted(shared))])


def turn(item: pytest.Item, groups: dict[str, str]) -> tuple[bool, bool]:
    """What begins first, for a short end: what takes seconds, and of that what is many tests in a row."""
    return folder(item.path) not in FIRST, groups[item.nodeid] == item.nodeid
