"""Signals as messages: how a daemon with threads waits for its end and for everything else in one place; and signals that have to wait."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence

ENDING = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def held(numbers: Sequence[signal.Signals] = ENDING) -> Iterator[set[int]]:
    """Inside the block these signals wait; they come at its end. Gives the mask of before, for a fork that leaves the block otherwise.

    For what must not be cut in two by a KeyboardInterrupt, or would swallow it: Python prints and forgets what is raised in its hooks around
    a fork (logging has one), and a signal that comes while the kernel copies this process is raised in just those.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield set(before)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def into(put: Callable[[signal.Signals], None], numbers: Sequence[signal.Signals] = ENDING) -> Iterator[None]:
    """Inside the block these signals are `put`, which must be what a signal handler may call: the put of a queue.SimpleQueue."""
    old = {number: signal.signal(number, lambda got, _: put(signal.Signals(got))) for number in numbers}
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        for number, handler in old.items():
            signal.signal(number, handler)
