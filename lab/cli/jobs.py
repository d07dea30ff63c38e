"""Several runs at a time, each in a process of its own: `lab run --jobs N`."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

from lab.fabric import kernel, sandbox

Work = Callable[[], int]


class Jobs:
    """Works that are done at most `most` at a time, begun in their order.

    A signal that asks this process to end is passed on to those that run, unless the terminal has sent it to all of them; nothing more is
    begun then. Their processes end with this one, however it ends.
    """

    def __init__(self, works: Sequence[Work], most: int) -> None:
        self._works, self._most = works, most
        self._running: dict[int, int] = {}
        self._begun = 0
        self.statuses: dict[int, int] = {}
        self.told_to_end: signal.Signals | None = None

    def run(self, done: Callable[[int], None]) -> list[int]:
        """Do them; returns the statuses of those that were begun. Must be called from a single-threaded process.

        done   told the number of each that has ended, from 0, in the order of the works: a later one that ended earlier waits
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, sandbox.WATCHED)
        told = 0
        try:
            while self._may_begin() or self._running:
                while self._may_begin():
                    self._begin(before)
                self._hear(signal.sigwaitinfo(sandbox.WATCHED))
                while told in self.statuses:
                    done(told)
                    told += 1
        finally:
            for pid in self._running:  # `done` has failed: nobody wants the rest
                os.kill(pid, signal.SIGTERM)
            for pid in self._running:
                os.waitpid(pid, 0)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return [self.statuses[number] for number in range(self._begun)]

    def _may_begin(self) -> bool:
        return self.told_to_end is None and self._begun < len(self._works) and len(self._running) < self._most

    def _begin(self, mask: set[int | signal.Signals]) -> None:
        parent, number = os.getpid(), self._begun
        sandbox.flush()
        pid = os.fork()
        if pid == 0:
            kernel.die_with_parent(signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            sandbox.exit_with(self._works[number])
        self._running[pid] = number
        self._begun += 1

    def _hear(self, caught: signal.struct_siginfo) -> None:
        if caught.si_signo == signal.SIGCHLD:
            for pid in list(self._running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    self.statuses[self._running.pop(pid)] = sandbox.exit_status(status)
            return
        self.told_to_end = signal.Signals(caught.si_signo)
        for pid in self._running if caught.si_code != sandbox.SI_KERNEL else ():
            os.kill(pid, caught.si_signo)
