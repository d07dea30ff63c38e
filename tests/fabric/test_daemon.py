"""Daemons forked from the lab: their names, and signals that come while one is being forked."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

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
