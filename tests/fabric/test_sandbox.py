"""The sandbox: what is in it is apart from the host, and nothing of it outlives it, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import MachineError
from lab.fabric import sandbox
from tests.hearing import HEARING
from tests.waiting import until, wait_until_gone

Sandboxed = Callable[[Callable[[], object]], None]
pytestmark = pytest.mark.e2e

HOSTS_RUN = pytest.mark.xdist_group("the host's /run")
"""One test of these makes a folder there, another looks whether there is anything new: not at the same time."""


def test_body_status_is_the_result() -> None:
    assert sandbox.run(lambda: 0) == 0
    assert sandbox.run(lambda: 37) == 37


def test_a_text_in_system_exit_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert sandbox.run(lambda: sys.exit("what went wrong")) == 1
    assert capfd.readouterr().err == "what went wrong\n"
    assert sandbox.run(lambda: sys.exit()) == 0


def test_one_process_makes_one_sandbox_after_another() -> None:
    assert [sandbox.run(lambda number=number: number) for number in range(5)] == list(range(5))


def test_a_killed_lab_gives_128_and_the_signal() -> None:
    assert sandbox.run(lambda: os.kill(os.getpid(), signal.SIGKILL) or 0) == 128 + signal.SIGKILL


def test_an_exception_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    def body() -> int:
        raise RuntimeError("a defect")

    assert sandbox.run(body) == 70
    assert "a defect" in capfd.readouterr().err


def test_it_sees_no_link_of_the_host(sandboxed: Sandboxed) -> None:
    def body() -> None:
        assert [name for _, name in socket.if_nameindex() if name not in ("lo", "ifb0", "ifb1", "tunl0", "sit0", "ip6tnl0", "erspan0")] == []

    sandboxed(body)


def test_the_lab_is_the_second_process_of_its_pid_namespace(sandboxed: Sandboxed) -> None:
    def body() -> None:
        assert os.getpid() == 2
        assert sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) == [1, 2]

    sandboxed(body)


@HOSTS_RUN
def test_the_hosts_run_directory_is_out_of_reach(sandboxed: Sandboxed, tmp_path: Path) -> None:
    host = sorted(os.listdir("/run"))

    def body() -> None:
        assert os.listdir("/run") == []
        Path("/run/something").touch()

    sandboxed(body)
    assert sorted(os.listdir("/run")) == host


@HOSTS_RUN
def test_a_shared_folder_keeps_what_is_written_there(tmp_path: Path) -> None:
    """Also one below the host's /run, which the sandbox's own covers; and what kills the sandbox does not matter."""
    below = Path(f"/run/lab-test-{os.getpid()}")
    below.mkdir()
    try:

        def body() -> int:
            for name in ("one", "two"):
                Path(f"/run/{name}/written").write_text(name)
            os.kill(os.getpid(), signal.SIGKILL)
            return 0

        assert sandbox.run(body, {str(tmp_path): "/run/one", str(below): "/run/two"}) == 128 + signal.SIGKILL
        assert (tmp_path / "written").read_text() == "one" and (below / "written").read_text() == "two"
    finally:
        (below / "written").unlink(missing_ok=True)
        below.rmdir()


def test_a_shared_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="No such file"):
        sandbox.run(lambda: 0, {str(tmp_path / "missing"): "/run/one"})


def test_the_hosts_name_stays(sandboxed: Sandboxed) -> None:
    before = socket.gethostname()

    def body() -> None:
        socket.sethostname("elsewhere")

    sandboxed(body)
    assert socket.gethostname() == before


def test_orphans_are_reaped(sandboxed: Sandboxed) -> None:
    def body() -> None:
        read, write = os.pipe()
        if os.fork() == 0:
            grandchild = os.fork()
            if grandchild:
                os.write(write, str(grandchild).encode())
            os._exit(0)
        os.wait()
        orphan = int(os.read(read, 20))
        until(lambda: not Path(f"/proc/{orphan}").exists(), "PID 1's reaping of an orphan")

    sandboxed(body)


FRONT = """
    import os, subprocess, sys, time
    from lab.fabric import sandbox
    def body():
        child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        print("ready", flush=True)
        child.wait()
        return 0
    sys.exit(sandbox.run(body))
"""


def _front() -> subprocess.Popen[bytes]:
    front = subprocess.Popen([*HEARING, sys.executable, "-c", textwrap.dedent(FRONT)], stdout=subprocess.PIPE, start_new_session=True)
    assert front.stdout is not None and front.stdout.readline() == b"ready\n"
    return front


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {int(child)} | _descendants(int(child))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_nothing_outlives_the_front(number: signal.Signals) -> None:
    front = _front()
    processes = _descendants(front.pid)
    assert len(processes) == 3, "init, lab and sleep"
    handles = [os.pidfd_open(pid) for pid in processes]
    front.send_signal(number)
    wait_until_gone(handles, "a process of the sandbox outlived its front", 5.0)
    front.communicate(timeout=20)
    assert front.returncode != 0


def test_nothing_outlives_pid_1() -> None:
    front = _front()
    processes = _descendants(front.pid)
    handles = [os.pidfd_open(pid) for pid in processes]
    os.kill(min(processes), signal.SIGKILL)
    wait_until_gone(handles, "a process of the sandbox outlived its front", 5.0)
    front.communicate(timeout=20)
    assert front.returncode == 128 + signal.SIGKILL


CHROOTED = """
    import os, sys
    from pathlib import Path
    from lab.fabric import kernel, sandbox
    from lab.fabric.namespace import Namespace

    def body():
        assert Path.cwd() == Path("/etc"), Path.cwd()
        machine = Namespace.create("m")
        machine.write_text("/etc/hosts", "covered")
        machine.write_text("/run/mine", "mine")
        assert machine.read_text("/etc/hosts") == "covered"
        with machine.entered():
            assert Path("/only-in-the-chroot").exists()
        return 0

    new = sys.argv[1]
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", new, "tmpfs")
    new = new + "/root"
    os.mkdir(new)
    for name in os.listdir("/"):
        if os.path.islink("/" + name):
            os.symlink(os.readlink("/" + name), new + "/" + name)
        elif os.path.isdir("/" + name):
            os.mkdir(new + "/" + name)
            kernel.mount("/" + name, new + "/" + name, flags=kernel.MS_BIND | kernel.MS_REC)
    Path(new + "/only-in-the-chroot").touch()
    os.chroot(new)
    os.chdir("/etc")
    sys.exit(sandbox.run(body))
"""


@HOSTS_RUN
def test_a_lab_in_a_chroot_stays_in_it(tmp_path: Path) -> None:
    before = sorted(os.listdir("/run"))
    ran = subprocess.run([sys.executable, "-c", textwrap.dedent(CHROOTED), str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert sorted(os.listdir("/run")) == before
