"""`lab doctor` on a machine that has everything, and on one that lacks something."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.lab import environment, lab

pytestmark = pytest.mark.e2e

DOCTOR = "import sys, lab.fabric.process as p, lab.cli.main as m; p.SYSTEM_PATH = sys.argv[1]; sys.exit(m.main(['doctor', *sys.argv[2:]]))"


def _with_only(folder: Path, programs: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    """The doctor's words on a machine with no programs but these."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert found, name
        (folder / name).symlink_to(found)
    command = [sys.executable, "-c", DOCTOR, str(folder), *words]
    return subprocess.run(command, env=environment({"PATH": str(folder)}), capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_this_machine_is_well(language: str) -> None:
    ran = lab("doctor", "--lang", language)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for name in ("etcd", "iptables-restore", "nginx", "conntrack", "bridge", "tun"):
        assert name in ran.stdout


def test_json_stands_alone() -> None:
    ran = lab("doctor", "--format", "json")
    assert ran.returncode == 0 and json.loads(ran.stdout)["ok"] is True


def test_what_is_missing_is_named_with_its_packages(tmp_path: Path) -> None:
    ran = _with_only(tmp_path / "bin", ("bash", "ip", "curl"), "--lang", "en")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    last = ran.stdout + ran.stderr
    assert "etcd-server" in last and "nginx-light" in last and "conntrack-tools" in last, "packages of several distributions"
