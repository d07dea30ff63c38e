"""The promise that tests leave nothing behind is kept: what leaks turns the run red. In a sandbox, which plays the host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lab.fabric import kernel
from tests.e2e.lab import ROOT
from tests.sandboxed import sandboxed

pytestmark = pytest.mark.e2e

CONFTEST = """
    from tests import hoststate
    import tests.conftest
    tests.conftest.SETTLING = 0.2
    from tests.conftest import *
    import tests.e2e.conftest
    tests.e2e.conftest.SETTLING = 0.2
    from tests.e2e.conftest import host_unchanged
"""
LEAKS = """
    import os, subprocess, pytest
    from pathlib import Path
    from lab.fabric import kernel, registry

    def run(command):
        subprocess.run(command.split(), check=True)

    def test_a_process(): subprocess.Popen(["sleep", "60"])
    def test_a_daemon_with_an_environment_of_its_own(): run("env -i setsid --fork sleep 61")
    def test_a_link(): run("ip link add leaked type veth peer name leaked2")
    def test_a_named_namespace(): run("ip netns add leaked")
    def test_a_rule(): run("iptables -A INPUT -s 192.0.2.1 -j DROP")
    def test_a_mount(tmp_path): kernel.mount("tmpfs", str(tmp_path), "tmpfs")
    def test_a_setting(): Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("2")
    def test_a_lab(): (registry.root() / "leaked").mkdir()
    def test_nothing(): run("true")
"""
SAID = {
    "a_process": "processes left behind: .*sleep 60",
    "a_daemon_with_an_environment_of_its_own": "processes left behind: .*sleep 61",
    "a_link": "'links'.*leaked",
    "a_named_namespace": "'named namespaces'.*leaked",
    "a_rule": "'rules of iptables-.*192.0.2.1",
    "a_mount": "'mounts'.*test_a_mount",
    "a_setting": "'net/ipv4/conf/all/rp_filter'",
    "a_lab": "'labs'.*leaked",
}
WORKERS = {"without workers": (), "two workers": ("-n", "2")}
LATER = """
    import subprocess, pytest

    @pytest.fixture(scope="module")
    def shared():
        subprocess.run("env -i setsid --fork sleep 62".split(), check=True)
        yield
        subprocess.run("ip link add leaked type veth peer name leaked2".split(), check=True)

    def test_one(shared): pass
    def test_two(shared): pass
"""


def _suite(folder: Path, tests: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A run of such tests on a host of their own, with this suite's fixtures and hooks."""
    (folder / "conftest.py").write_text(textwrap.dedent(CONFTEST))
    (folder / "test_it.py").write_text(textwrap.dedent(tests))
    (folder / "pytest.ini").write_text("[pytest]\n")
    out, err = folder / "stdout", folder / "stderr"

    def on_a_host() -> None:
        kernel.mount("sysfs", "/sys", "sysfs")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--basetemp", str(folder / "tmp"), "--rootdir", str(folder), *words]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")} | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        }
        with out.open("w") as stdout, err.open("w") as stderr:
            status = subprocess.run([*command, str(folder)], env=environment, stdout=stdout, stderr=stderr, timeout=120, check=False).returncode
        (folder / "status").write_text(str(status))

    sandboxed(on_a_host)
    return subprocess.CompletedProcess(words, int((folder / "status").read_text()), out.read_text(), err.read_text())


@pytest.mark.parametrize("workers", WORKERS)
def test_what_a_test_leaves_makes_it_red(tmp_path: Path, workers: str) -> None:
    ran = _suite(tmp_path, LEAKS, *WORKERS[workers])
    assert ran.returncode == 1, ran.stdout + ran.stderr
    for name, said in SAID.items():
        part = re.search(rf"ERROR at teardown of test_{name} (.*?)(\n_____|\n=====)", ran.stdout, re.DOTALL)
        assert part, f"{name}: {ran.stdout}"
        assert re.search(said, part[1]), part[1]
    assert workers != "without workers" or "teardown of test_nothing" not in ran.stdout


def test_what_a_modules_fixture_leaves_makes_the_run_red(tmp_path: Path) -> None:
    """No test is red, and yet the run is."""
    ran = _suite(tmp_path, LATER, *WORKERS["two workers"])
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout
    last = ran.stdout.split("the host is not as it was")[1]
    assert re.search(r"process \d+ is left: sleep 62", last) and re.search("links: .*leaked", last)
