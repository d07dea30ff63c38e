"""Many labs: at once, and one after the other from one process, after which nothing has grown."""

from __future__ import annotations

import json
import os
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from lab.cluster.wanted import wanted
from lab.fabric import sandbox
from lab.model import catalog, load
from tests.e2e.lab import lab, start
from tests.hoststate import MARK, marked_processes
from tests.survival import growth
from tests.waiting import until

pytestmark = pytest.mark.e2e

@dataclass(frozen=True)
class Sizes:
    """What a process that makes labs has."""

    descriptors: int
    kilobytes: int
    namespaces: int

    @classmethod
    def now(cls) -> Sizes:
        status = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
        return cls(len(os.listdir("/proc/self/fd")), int(status["Pss"].split()[0]), _namespaces())


def _namespaces() -> int:
    """Network, mount and PID namespaces that processes of this test are in, this one's own included."""
    found = set()
    for pid in (os.getpid(), *marked_processes(os.environ[MARK])):
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(os.readlink(f"/proc/{pid}/ns/{kind}"))
            except OSError:
                continue
    return len(found)


def _cycle() -> None:
    """A whole small lab, up and down, from this process."""
    what = wanted(load.read_topology(catalog.find_topology("flat")))

    def body() -> int:
        from lab.cluster.boot import boot

        boot(what)
        return 0

    assert sandbox.run(body) == 0


def _cycles(warm: int, cycles: int, account: growth.Account | None) -> tuple[Sizes, Sizes]:
    """The maker's work, in a process of its own: labs one after the other, and its sizes after the first ones and after the last."""
    for _ in range(warm):
        _cycle()
    if account is not None:
        account.join()  # now, because the first labs leave files in the kernel's caches: bytecode, and programs
    before, begun = Sizes.now(), time.monotonic()
    for number in range(1, cycles + 1):
        _cycle()
        if account is not None and number % 10 == 0:
            print(f"{number} labs, {(time.monotonic() - begun) / number:.2f} s each, {account.kilobytes()} KiB in the kernel", flush=True)
    until(lambda: not set(marked_processes(os.environ[MARK])) - {os.getppid()}, "the end of the last lab's processes")
    return before, Sizes.now()


def test_labs_one_after_the_other_leave_nothing_in_their_maker(full: bool, tmp_path: Path) -> None:
    """The first ones fill caches; from then on descriptors and namespaces stay the same, and memory within a margin that no leak a lab fits in.

    In full also: the kernel, which gets minutes to free what it holds, keeps no more than 1 KiB a lab; a network namespace alone has four.
    """
    warm, cycles = (10, 200) if full else (1, 3)
    account, file = growth.Account() if full else None, tmp_path / "sizes"
    try:
        _one_after_the_other(warm, cycles, account, file)
    finally:
        if account is not None:
            account.close()


def _one_after_the_other(warm: int, cycles: int, account: growth.Account | None, file: Path) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            file.write_text(json.dumps([asdict(one) for one in _cycles(warm, cycles, account)]))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, "the maker of labs has failed; its traceback is in the captured stderr"
    before, after = (Sizes(**one) for one in json.loads(file.read_text()))
    print(f"{cycles} labs\n  before {before}\n  after  {after}")
    assert after.descriptors == before.descriptors and after.namespaces == before.namespaces
    assert after.kilobytes - before.kilobytes < 4096 + 20 * cycles
    if account is not None:
        held = account.kilobytes()
        print(f"the kernel held {held} KiB, and not more than {cycles} {account.settle(cycles):.0f} s later")


def test_labs_at_once(full: bool) -> None:
    """All of them up at the same time, each with its own nodes; then all down with one command."""
    number = 20 if full else 4
    names = [f"crowd-{os.getpid()}-{one}" for one in range(number)]
    begun = time.monotonic()
    starting = {name: start("up", "flat", "--name", name, start_new_session=True) for name in names}
    try:
        said = {name: process.communicate(timeout=300) for name, process in starting.items()}
        assert {name: said[name] for name in names if starting[name].returncode != 0} == {}
        states = {row["name"]: row["state"] for row in json.loads(lab("ps", "--format", "json").stdout)}
        assert {states.get(name) for name in names} == {"up"}
        ran = lab("exec", "-n", names[-1], "node1", "--", "ping", "-c", "1", "-W", "5", "192.168.1.12")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        print(f"{number} labs at once: up after {time.monotonic() - begun:.1f} s")
    finally:
        for name in names:
            lab("down", name)
    assert not set(names) & {row["name"] for row in json.loads(lab("ps", "--format", "json").stdout)}
