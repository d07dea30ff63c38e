"""Too few descriptors, processes or bytes for a lab: it ends by itself, says what was wrong in words, and leaves nothing."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cgroups import Group, group
from tests.e2e.lab import ROOT, environment, lab, start
from tests.e2e.test_rootless import BECOME, UNPRIVILEGED
from tests.waiting import until

pytestmark = pytest.mark.e2e


def _limited(kind: int, most: int, *words: str) -> tuple[int, str]:
    """Run `lab WORDS` with a limit: its status, and what it said on standard error."""
    run = start(*words, preexec_fn=lambda: resource.setrlimit(kind, (most, most)), start_new_session=True)
    _, stderr = run.communicate(timeout=120)
    return run.returncode, stderr


def _is_clean(status: int, stderr: str) -> None:
    assert status in (1, 3, 137), (status, stderr)
    assert "Traceback" not in stderr and "lab: " in stderr, stderr


@pytest.mark.parametrize("most", [12, 24, 40, 60])
def test_too_few_descriptors(most: int) -> None:
    _is_clean(*_limited(resource.RLIMIT_NOFILE, most, "run", "nginx-service"))


@pytest.mark.parametrize("megabytes", [60, 120, 200])
def test_too_little_memory(megabytes: int) -> None:
    _is_clean(*_limited(resource.RLIMIT_AS, megabytes << 20, "run", "nginx-service"))


@pytest.mark.xdist_group("the ordinary user's labs")
@pytest.mark.parametrize("most", [3, 8, 20])
def test_too_few_processes(most: int) -> None:
    """As an ordinary user: root has no such limit."""
    own = environment({"LAB_ROOT": str(ROOT), "HOME": "/", "XDG_RUNTIME_DIR": ""})
    shell = f"ulimit -u {most}; exec {sys.executable} -m lab run nginx-service"
    argv = [sys.executable, "-c", textwrap.dedent(BECOME), str(UNPRIVILEGED), "/bin/bash", "-c", shell]
    ran = subprocess.run(argv, env=own, capture_output=True, text=True, timeout=120, check=False)
    _is_clean(ran.returncode, ran.stderr)


@pytest.mark.parametrize("megabytes", [90])
def test_a_group_with_too_little_memory(megabytes: int) -> None:
    """The kernel kills whom it likes in there. The front is the last, and says what happened; then nobody is left."""
    with group("memory", megabytes << 20) as few:
        run = start("run", "nginx-service", preexec_fn=few.join, start_new_session=True)
        _, stderr = run.communicate(timeout=120)
        _is_clean(run.returncode, stderr)
        assert "there was no memory left" in stderr and "the kernel killed" in stderr


@pytest.mark.parametrize("most", [4, 20])
def test_a_group_with_too_few_processes(most: int) -> None:
    """For root, too."""
    with group("pids", most) as few:
        run = start("run", "nginx-service", preexec_fn=few.join, start_new_session=True)
        _, stderr = run.communicate(timeout=120)
        _is_clean(run.returncode, stderr)
        assert most > 4 or "Resource temporarily unavailable" in stderr and "cgroup" in stderr, stderr


@contextmanager
def _up(few: Group, topology: str) -> Iterator[str]:
    """A lab that is up in a group."""
    name = f"test-{os.getpid()}-limits"
    run = start("up", topology, "--name", name, preexec_fn=few.join, start_new_session=True)
    out, err = run.communicate(timeout=180)
    assert run.returncode == 0, out + err
    try:
        yield name
    finally:
        assert lab("down", name).returncode == 0


def test_a_running_lab_that_may_have_no_more_processes() -> None:
    """Nothing can be started, which is said; what runs goes on; and with room again all is as before."""
    with group("pids", 4000) as few, _up(few, "flat") as name:
        assert lab("daemon", "-n", name, "node2", "flanneld", "stop").returncode == 0
        few.allow(1)
        ran = lab("daemon", "-n", name, "node2", "flanneld", "start")
        assert ran.returncode == 1 and "node2: cannot start flanneld: Resource temporarily unavailable" in ran.stderr
        assert "NAME" in lab("get", "-n", name, "nodes").stdout
        few.allow(4000)
        assert lab("daemon", "-n", name, "node2", "flanneld", "start").returncode == 0
        for node in ("node1", "node2", "node3"):
            daemons = json.loads(lab("daemon", "-n", name, node, "--format", "json").stdout)["daemons"]
            assert [one["name"] for one in daemons if one["ended"] is not None] == []


HUNGRY = """
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  nodeName: node2
  containers:
    - {name: c, image: ubuntu, command: [python3, -c, "x = bytearray(b'x') * (4 << 30)"]}
"""


def test_a_pod_that_eats_all_memory_is_killed_and_started_again() -> None:
    """The kernel takes containers before the lab's own processes: exit code 137, and the kubelet's usual restart."""
    with group("memory", 700 << 20) as few, _up(few, "flat") as name:
        ran = lab("kubectl", "--lab", name, "create", "-f", "-", stdin=HUNGRY)
        assert ran.returncode == 0, ran.stderr
        words = ("kubectl", "--lab", name, "get", "pod", "hungry", "-o", "json")

        def last() -> dict[str, object]:
            found = json.loads(lab(*words).stdout)["status"].get("containerStatuses", [{}])[0]
            return {"restarts": found.get("restartCount", 0), **(found.get("lastState") or {}).get("terminated", {})}

        until(lambda: int(str(last()["restarts"])) >= 1, "the restart")
        found = last()
        assert (found["exitCode"], found["reason"]) == (137, "Error")
        for node in ("node1", "node2", "node3"):
            daemons = json.loads(lab("daemon", "-n", name, node, "--format", "json").stdout)["daemons"]
            assert [one["name"] for one in daemons if one["ended"] is not None] == []
