"""The suite on several workers, and the host looked at once more when all is over.

`./lab.sh test` spreads the tests over worker processes (pytest-xdist): they wait a lot, for daemons, kernels and clocks. What makes that safe
is here; CONTRIBUTING.md says what a test has to keep to. Without `-n`, and without pytest-xdist, pytest runs everything in one process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.fabric import kernel, registry
from tests.hoststate import SETTLING, adopt_orphans, descendants, difference, host_state

HERE = Path(__file__).parent
WITHOUT_WORKERS = ("unit", "golden")
"""Folders whose tests are over sooner than workers are ready."""
BEFORE = pytest.StashKey[dict[str, object]]()
LEFT = pytest.StashKey[list[str]]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


# --- how many workers, and which tests go together --------------------------------------------------------------------------------


def workers(cores: int, folders: Sequence[Path]) -> int:
    """How many workers `-n auto` means: two more than there are cores, and none at all for tests that need none.

    cores     processors that this process may use
    folders   what pytest was asked to run
    """
    quick = [HERE / name for name in WITHOUT_WORKERS]
    if folders and all(any(asked.is_relative_to(one) for one in quick) for asked in folders):
        return 0
    return cores + 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` means here."""
    asked = [(config.invocation_params.dir / word.partition("::")[0]).resolve() for word in config.args]
    number = workers(len(os.sched_getaffinity(0)), asked)
    if not number:
        config.option.dist = "no"
    return number


def shared_fixture(item: pytest.Item) -> str | None:
    """What an item shares with its neighbours: its module, with the parameters of the module's fixtures; None if it shares nothing."""
    info = getattr(item, "_fixtureinfo", None)
    definitions = [found[-1] for found in info.name2fixturedefs.values()] if info else []
    shared = {one.argname for one in definitions if one.scope == "module" and one.func.__module__.startswith("tests.")}
    if not shared:
        return None
    callspec = getattr(item, "callspec", None)
    values = [f"{name}{index}" for name, index in sorted(callspec.indices.items()) if name in shared] if callspec else []
    return "-".join([item.path.stem, *values])


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On workers: tests that share a module's fixture stay together, and the long ones begin first."""
    if not _is_worker(config):
        return
    for item in items:
        group = shared_fixture(item)
        if group and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=lambda item: HERE / "e2e" not in item.path.parents)


# --- a worker's own place, and the host as it was -----------------------------------------------------------------------------------


def _own_registry(config: pytest.Config) -> None:
    """Give this process a registry of labs that nobody else sees: `lab ps`, names and "the only lab" mean its own.

    For root that is a mount of its own on the usual place, for others a directory of their own. A root that may not mount anything keeps the
    usual one; it cannot run labs either.
    """
    if os.geteuid() != 0:
        os.environ["XDG_RUNTIME_DIR"] = place = tempfile.mkdtemp(prefix="lab-tests-")
        config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))
        registry.root.cache_clear()
        return
    registry.root().mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(PermissionError):
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("tmpfs", str(registry.root()), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=700")


def _runs_tests(config: pytest.Config) -> bool:
    """Whether this process runs tests itself, rather than having them run by workers."""
    return _is_worker(config) or not getattr(config.option, "tx", None)


def _state(config: pytest.Config) -> dict[str, object]:
    """The host as it is; without the labs when those of other people's terminals are among them."""
    return {kind: found for kind, found in host_state().items() if kind != "labs" or _runs_tests(config)}


def pytest_configure(config: pytest.Config) -> None:
    adopt_orphans()
    if _runs_tests(config):
        _own_registry(config)
    config.stash[BEFORE], config.stash[LEFT] = _state(config), []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """When the last test and the last worker have ended, nothing of them is left; each worker has looked at its own place before.

    This finds what no test's end shows: what is left by the fixtures of modules, by tests outside tests/e2e, and by a worker that crashed.
    """
    config, deadline = session.config, time.monotonic() + SETTLING
    while True:
        left, changed = descendants(), difference(config.stash[BEFORE], _state(config))
        if not (left or changed) or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    who = config.workerinput["workerid"] if _is_worker(config) else "all"  # type: ignore[attr-defined]
    found = [f"after {who}: process {pid} is left: {command}" for (pid, _), command in left.items()]
    found += [f"after {who}: other {kind} than before: {now}, was {was}" for kind, (was, now) in changed.items()]
    if _is_worker(config):
        config.workeroutput["left"] = found  # type: ignore[attr-defined]
    config.stash[LEFT] += found
    if config.stash[LEFT] and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker found left in its own place."""
    node.config.stash[LEFT] += getattr(node, "workeroutput", {}).get("left", [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[LEFT]:
        terminalreporter.section("the host is not as it was", red=True)
        for line in config.stash[LEFT]:
            terminalreporter.write_line(line)
