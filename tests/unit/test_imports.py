"""What is loaded when: imports are most of the time of a short command, and a quarter of a whole run."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEVER_IN_THE_LAB = {"pyroute2", "scapy", "rich", "pydantic", "numpy", "cryptography", "dns", "boto3", "moto", "flask"}
"""Packages that no process needs before somebody asks for what they do."""

FORKS = {"mininet", "asyncio"}
"""What the lab imports while the apiserver, which it has forked before, imports its own, or what only that one needs."""

CASES = {
    "a verb that reads files": ("from lab.cli.main import main; main(['list'])", FORKS | {"aiohttp", "ssl"}),
    "a verb that asks a lab": ("from lab.cli.main import main; main(['ps'])", FORKS | {"aiohttp", "ssl", "yaml"}),
    "run, until the apiserver has been forked": ("import lab.cli.run, lab.cluster.boot", FORKS | {"aiohttp", "ssl"}),
    "a boot, until the last daemon has been forked": (
        "import lab.cli.run, lab.cluster.stages; lab.cluster.stages.agents.import_daemons()",
        {"aiohttp", "asyncio", "setuptools"},
    ),
}


@pytest.mark.parametrize(("code", "absent"), CASES.values(), ids=CASES)
def test_nothing_is_imported_before_its_time(code: str, absent: set[str]) -> None:
    tell = "import sys; print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tell}"], capture_output=True, text=True, timeout=60, check=True)
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    assert "lab" in loaded
    assert not loaded & (absent | NEVER_IN_THE_LAB)
