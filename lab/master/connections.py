"""HTTP connections between two requests: who asks a server a hundred times need not connect a hundred times."""

from __future__ import annotations

import select
import threading
import time

from lab.master.plainhttp import Connection

LONGEST = 30.0
"""Seconds that a connection is kept without a request. The servers here wait longer before they close one."""

MOST = 8
"""Connections kept; more are closed after their request."""


class Idle:
    """Connections that wait for their next request. Several threads may use it; a connection is in one hand at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, Connection]] = []

    def take(self, host: str, port: int) -> Connection | None:
        """One to this server, the last that was put here; None when there is none whose other end is still there."""
        with self._lock:
            some, self._waiting = self._waiting, []
            found = None
            while some and found is None:
                since, one = some.pop()
                if (one.host, one.port) != (host, port):
                    self._waiting.append((since, one))
                elif time.monotonic() - since < LONGEST and _is_quiet(one):
                    found = one
                else:
                    one.close()
            self._waiting = some + self._waiting
            return found

    def put(self, connection: Connection) -> None:
        """Keep one whose answer has been read to its end. One that the server wants closed has no socket any more, and is dropped."""
        if connection.sock is None:
            return
        with self._lock:
            if len(self._waiting) < MOST:
                self._waiting.append((time.monotonic(), connection))
                return
        connection.close()

    def __del__(self) -> None:
        """Whoever has had a client and lets go of it need not close it."""
        for _, one in self._waiting:
            one.close()


def _is_quiet(connection: Connection) -> bool:
    """Whether nothing has come since the last answer. What comes unasked is the server's goodbye: it closed, or has been restarted."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
