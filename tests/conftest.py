"""The suite on several workers, and the host looked at once more when all is over.

`./lab.sh test` spreads the tests over worker processes (pytest-xdist): they wait a lot, for daemons, kernels and clocks. What makes that safe
is here; CONTRIBUTING.md says what a test has to keep to. Without `-n`, and without pytest-xdist, pytest runs everything in one process.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from lab.fabric import kernel, neighbours, registry
from tests import workers
from tests.hoststate import SETTLING, adopt_orphans, descendants, difference, host_state

hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")  # no verdict hangs on how fast something was
BEFORE = pytest.StashKey[dict[str, object]]()
GROUPS = pytest.StashKey[Path]()
LEFT = pytest.StashKey[list[str]]()
ROOM = pytest.StashKey[neighbours.Table | None]()


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _runs_tests(config: pytest.Config) -> bool:
    """Whether this process runs tests itself, rather than having them run by workers."""
    return _is_worker(config) or not getattr(config.option, "tx", None)


# --- how the tests are spread -----------------------------------------------------------------------------------------------------


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """What `-n auto` means here."""
    asked = [(config.invocation_params.dir / word.partition("::")[0]).resolve() for word in config.args]
    number = workers.number(len(os.sched_getaffinity(0)), asked)
    if not number:
        config.option.dist = "no"
    return number


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where to write which tests go together."""
    if GROUPS not in node.config.stash:
        place = node.config.stash[GROUPS] = Path(tempfile.mkdtemp(prefix="lab-tests-"))
        node.config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))
    node.workerinput["groups"] = str(node.config.stash[GROUPS] / node.workerinput["workerid"])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a worker: put the tests in order, and write down their groups."""
    if _is_worker(config):
        groups = {item.nodeid: workers.group(item) for item in items}
        items.sort(key=lambda item: workers.turn(item, groups))
        Path(config.workerinput["groups"]).write_text(json.dumps(groups), encoding="utf-8")  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups of tests, in the workers' order."""
    from xdist.scheduler import LoadScopeScheduling

    groups: dict[str, str] = {}

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc, unused-ignore]
        def _split_scope(self, nodeid: str) -> str:
            if not groups:
                groups.update(json.loads(next(config.stash[GROUPS].iterdir()).read_text(encoding="utf-8")))
            return groups[nodeid]

    config.option.loadscopereorder = False
    return ByGroup(config, log)


# --- a place of one's own, and the host as it was ---------------------------------------------------------------------------------


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
    _keep_place(config, registry.root())
    with contextlib.suppress(PermissionError):
        kernel.unshare(kernel.CLONE_NEWNS)
        kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("tmpfs", str(registry.root()), "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=700")


def _keep_place(config: pytest.Config, place: Path) -> None:
    """Put something into the place that is going to be mounted upon: whoever takes an empty directory away takes all mounts on it away, too.

    `lab down` in another terminal does that with the last lab there.
    """
    below = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    os.mkdir(mark := f".tests-{os.getpid()}", 0o700, dir_fd=below)

    def cleanup() -> None:
        os.rmdir(mark, dir_fd=below)
        os.close(below)

    config.add_cleanup(cleanup)


def _state(config: pytest.Config) -> dict[str, object]:
    """The host as it is; without the labs when those of other people's terminals are among them."""
    return {kind: found for kind, found in host_state().items() if kind != "labs" or _runs_tests(config)}


def _keep_bytecode(config: pytest.Config) -> None:
    """Where PYTHONDONTWRITEBYTECODE forbids files beside the sources, keep bytecode in a folder of this session.

    Without any, each of the hundreds of labs that the tests start compiles its modules anew: 0.9 s and 1.2 s of computing apiece.
    """
    if not sys.dont_write_bytecode or _is_worker(config):
        return
    place = tempfile.mkdtemp(prefix="lab-bytecode-")
    config.add_cleanup(lambda: shutil.rmtree(place, ignore_errors=True))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = place
    sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="tests/survival in full, about an hour, instead of its short form")
    parser.addoption("--kills", type=int, default=0, metavar="N", help="tests/survival: how many runs are killed; 3, or 500 with --full")


def pytest_configure(config: pytest.Config) -> None:
    _keep_bytecode(config)
    adopt_orphans()
    if _runs_tests(config):
        _own_registry(config)
    config.stash[BEFORE], config.stash[LEFT], config.stash[ROOM] = _state(config), [], neighbours.look()


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
    found += [f"after {who}: {kind}: {now}, before: {was}" for kind, (was, now) in changed.items()]
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
    if why := neighbours.words(config.stash[ROOM], neighbours.look()):
        terminalreporter.section("packets were lost")
        terminalreporter.write_line(why)
