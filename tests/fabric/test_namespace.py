"""Namespaces held by descriptors: entering, leaving, private files."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.errors import CommandError
from lab.fabric import process
from lab.fabric.namespace import Namespace
from tests.waiting import until

Sandboxed = Callable[[Callable[[], object]], None]
pytestmark = pytest.mark.e2e


def test_a_machine_has_its_own_name_links_and_run(sandboxed: Sandboxed) -> None:
    def body() -> None:
        a, b = Namespace.create("machine-a"), Namespace.create("machine-b")
        for machine in (a, b):
            with machine.entered():
                assert socket.gethostname() == machine.name
                Path("/run/mine").write_text(machine.name)
        assert a.read_text("/run/mine") == "machine-a"
        assert socket.gethostname() not in ("machine-a", "machine-b")
        assert not Path("/run/mine").exists()
        assert process.run(a, ["hostname"]).stdout == "machine-a\n"

    sandboxed(body)


def test_the_working_directory_survives_a_visit(sandboxed: Sandboxed, tmp_path: Path) -> None:
    def body() -> None:
        machine = Namespace.create("m")
        os.chdir(tmp_path)
        with machine.entered():
            pass
        assert Path.cwd() == tmp_path

    sandboxed(body)


def test_an_exception_inside_comes_back_outside(sandboxed: Sandboxed) -> None:
    def body() -> None:
        machine = Namespace.create("m")
        home = os.readlink("/proc/thread-self/ns/net")
        with pytest.raises(ZeroDivisionError), machine.entered():
            raise ZeroDivisionError
        assert os.readlink("/proc/thread-self/ns/net") == home

    sandboxed(body)


def test_threads_visit_different_machines_at_the_same_time(sandboxed: Sandboxed) -> None:
    def body() -> None:
        machines = [Namespace.create(f"m{number}") for number in range(4)]
        barrier, seen = threading.Barrier(len(machines)), dict[str, str]()

        def visit(machine: Namespace) -> None:
            with machine.entered():
                barrier.wait(10)
                seen[machine.name] = socket.gethostname()
                barrier.wait(10)

        threads = [threading.Thread(target=visit, args=(machine,)) for machine in machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert seen == {machine.name: machine.name for machine in machines}

    sandboxed(body)


def test_a_file_is_covered_for_one_machine_alone(sandboxed: Sandboxed) -> None:
    real = Path("/etc/hosts").read_text()

    def body() -> None:
        machine = Namespace.create("m")
        machine.write_text("/etc/hosts", "first\n")
        machine.write_text("/etc/hosts", "second\n")
        assert machine.read_text("/etc/hosts") == "second\n"
        assert Path("/etc/hosts").read_text() == real
        with pytest.raises(FileNotFoundError):
            machine.write_text("/etc/no-such-file-here", "")

    sandboxed(body)
    assert Path("/etc/hosts").read_text() == real


def test_descriptors_do_not_leak(sandboxed: Sandboxed) -> None:
    def body() -> None:
        Namespace.create("warm-up").close()
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            machine = Namespace.create(f"m{number}")
            process.run(machine, ["true"])
            machine.close()
        assert len(os.listdir("/proc/self/fd")) == before

    sandboxed(body)


def test_run_tells_all_that_came_back(sandboxed: Sandboxed) -> None:
    def body() -> None:
        machine = Namespace.create("m")
        ran = process.run(machine, "echo out; echo err >&2; exit 3")
        assert (ran.where, ran.status, ran.stdout, ran.stderr) == ("m", 3, "out\n", "err\n")
        assert process.run(machine, ["cat"], stdin="fed").stdout == "fed"
        assert process.run(machine, ["printf", "%s", "a b;c"]).command == "printf %s 'a b;c'"
        assert process.run(machine, "kill -9 $$").status == -9
        with pytest.raises(CommandError, match="no-such-program"):
            process.run(machine, ["no-such-program"])

    sandboxed(body)


def test_a_command_that_takes_too_long_is_killed_with_its_children(sandboxed: Sandboxed) -> None:
    def body() -> None:
        machine = Namespace.create("m")
        before = {name for name in os.listdir("/proc") if name.isdigit()}
        with pytest.raises(CommandError, match="0.2 s"):
            process.run(machine, "sleep 100 & sleep 100", timeout=0.2)
        until(lambda: {name for name in os.listdir("/proc") if name.isdigit()} <= before, "the end of both sleeps")

    sandboxed(body)


def test_spawned_processes_have_a_session_of_their_own(sandboxed: Sandboxed) -> None:
    def body() -> None:
        child = process.spawn(Namespace.create("m"), ["sleep", "100"], stdout=subprocess.DEVNULL)
        assert os.getsid(child.pid) == child.pid
        process.kill_group(child)
        assert child.returncode == -9

    sandboxed(body)
