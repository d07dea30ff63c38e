"""Many labs: at once, and one after the other from one process, after which nothing has grown."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.cluster.wanted import wanted
from lab.fabric import sandbox
from lab.model import catalog, load
from tests.e2e.lab import lab, start
from tests.hoststate import MARK, marked_processes
from tests.waiting import until

pytestmark = pytest.mark.e2e

SLABS = ("net_namespace", "nsproxy", "pid_namespace", "mnt_cache", "sock_inode_cache", "task_struct", "filp", "nf_conntrack")
"""Objects of the kernel that a lab is made of; /proc/slabinfo."""


@dataclass(frozen=True)
class Sizes:
    """What a process that makes labs has, and the kernel has for it."""

    descriptors: int
    kilobytes: int
    namespaces: int
    slabs: dict[str, int]

    @classmethod
    def now(cls) -> Sizes:
        status = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
        slabs = {}
        try:
            for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
                name, active = line.split()[:2]
                if name in SLABS:
                    slabs[name] = int(active)
        except OSError:
            pass  # a kernel, or a container, that does not show it
        return cls(len(os.listdir("/proc/self/fd")), int(status["Pss"].split()[0]), _namespaces(), slabs)


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


def test_labs_one_after_the_other_leave_nothing_in_their_maker(full: bool) -> None:
    """The first ones fill caches; from then on descriptors and namespaces stay the same, and memory within a margin that no leak a lab fits in."""
    warm, cycles = (10, 200) if full else (1, 3)
    for _ in range(warm):
        _cycle()
    before, begun = Sizes.now(), time.monotonic()
    for _ in range(cycles):
        _cycle()
    until(lambda: not marked_processes(os.environ[MARK]), "the end of the last lab's processes")
    after = Sizes.now()
    print(f"{cycles} labs, {(time.monotonic() - begun) / cycles:.2f} s each\n  before {before}\n  after  {after}")
    assert after.descriptors == before.descriptors and after.namespaces == before.namespaces
    assert after.kilobytes - before.kilobytes < 4096 + 20 * cycles
    if full:  # in the suite other labs come and go at the same time
        grown = {name: number - before.slabs[name] for name, number in after.slabs.items() if name in ("net_namespace", "pid_namespace")}
        assert all(number < cycles / 4 for number in grown.values()), f"kernel objects for {cycles} labs: {grown}"


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
