"""Too few descriptors, processes or bytes for a lab: it ends by itself, says what was wrong in words, and leaves nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
import textwrap

import pytest

from tests.e2e.lab import ROOT, environment, start
from tests.e2e.test_rootless import BECOME, UNPRIVILEGED

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
