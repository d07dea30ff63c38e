"""Daemons forked from the lab: their names, and signals that come while one is being forked."""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path

import pytest

from lab.errors import BootError
from lab.fabric import daemon
from lab.fabric.namespace import Namespace
from tests.sandboxed import sandboxed
from tests.waiting import until

pytestmark = pytest.mark.e2e


def idle() -> int:
    signal.pause()
    return 0


def test_a_daemon_goes_by_its_name() -> None:
    def body() -> None:
        running = daemon.fork(Namespace.current("here"), "kube-controller-manager", idle)
        until(lambda: Path(f"/proc/{running.pid}/comm").read_text() == "kube-controller\n", "the name")
        running.kill()

    sandboxed(body)


def test_an_interruption_during_a_fork_is_not_lost_and_a_daemon_can_be_told_to_end() -> None:
    def body() -> None:
        here = Namespace.current("here")
        os.register_at_fork(before=lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            daemon.fork(here, "first", idle)
        signal.signal(signal.SIGINT, lambda *_: None)
        running = daemon.fork(here, "second", idle)
        running.stop()
        assert running.ended() == -signal.SIGTERM

    sandboxed(body)


def test_daemons_that_are_forked_together_are_apart() -> None:
    """Each has its own name, log and descriptors: those that it is to keep, and no other's."""

    def told() -> int:
        names = (f"/proc/self/fd/{number}" for number in range(3, 1000))
        sys.stdout.write(" ".join(os.readlink(name) for name in names if os.path.lexists(name)) + "\n")
        return idle()

    def body() -> None:
        here = Namespace.current("here")
        files = [os.open(path, os.O_PATH) for path in ("/etc", "/usr", "/var")]
        births = [daemon.Birth(here, f"daemon{number}", told, (one,)) for number, one in enumerate(files)]
        running = daemon.fork_all(births)
        assert [one.name for one in running] == ["daemon0", "daemon1", "daemon2"] and len({one.pid for one in running}) == 3
        for one, path in zip(running, ("/etc", "/usr", "/var"), strict=True):
            until(lambda one=one: one.log.read_text().endswith("\n"), f"what {one.name} has open")  # type: ignore[misc]
            assert one.log.read_text() == f"{path}\n"
        for one in running:
            one.kill()

    sandboxed(body)


def test_of_daemons_that_cannot_all_be_forked_none_runs() -> None:
    def body() -> None:
        here, real, forked = Namespace.current("here"), os.fork, []

        def twice() -> int:
            if len(forked) == 2:
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            forked.append(real())
            return forked[-1]

        os.fork = twice
        with pytest.raises(BootError, match="here: cannot start third: Resource temporarily unavailable"):
            daemon.fork_all([daemon.Birth(here, name, idle) for name in ("first", "second", "third")])
        for pid in forked:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    sandboxed(body)
