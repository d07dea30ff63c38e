"""Traffic between the lab's machines while its daemons die: connections, many a second, and when they failed."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from lab.fabric import process
from tests.waiting import until

PROBE = """
import socket, sys, time
host, port = sys.argv[1], int(sys.argv[2])
while True:
    begun = time.monotonic()
    try:
        socket.create_connection((host, port), 0.3).close()
        fine = 1
    except OSError:
        fine = 0
    print(begun, time.monotonic(), fine, flush=True)
    time.sleep(0.02)
"""


BROKEN, SILENT = 3, 20
"""Failures in a row: so many are seen on a road that is known to be broken, and so many, 6 s, are none of a machine that is only busy."""


@dataclass(frozen=True)
class Attempt:
    """A connection: when it was begun and ended, on the machine's monotonic clock, and whether it came about."""

    begun: float
    ended: float
    fine: bool


class Flow:
    """Connections from a machine to an address and TCP port, one after the other, from now on until `stop`."""

    def __init__(self, name: str, host: Any, address: str, port: int, place: Any) -> None:
        self.name = name
        self._file = place / f"{name}.flow".replace(" ", "-")
        with self._file.open("wb") as sink:
            argv = [sys.executable, "-I", "-S", "-c", PROBE, address, str(port)]
            self._process = process.spawn(host.namespace, argv, stdout=sink, stderr=subprocess.DEVNULL)

    def attempts(self, since: float = 0.0) -> list[Attempt]:
        """Those that were begun since a moment."""
        lines = self._file.read_text().split("\n")[:-1]
        found = [Attempt(float(begun), float(ended), fine == "1") for begun, ended, fine in map(str.split, lines)]
        return [one for one in found if one.begun >= since]

    def fails(self, since: float, times: int = BROKEN) -> bool:
        """Whether it was broken: so many in a row, all begun since then, have failed."""
        attempts = self.attempts(since)
        return any(not any(one.fine for one in attempts[place : place + times]) for place in range(len(attempts) - times + 1))

    def works(self, since: float, times: int = 5) -> bool:
        """Whether the last `times`, all begun since then, came about."""
        last = self.attempts(since)[-times:]
        return len(last) == times and all(one.fine for one in last)

    def await_failure(self, since: float) -> None:
        until(lambda: self.fails(since), f"a failure of {self.name}")

    def await_health(self, since: float) -> None:
        until(lambda: self.works(since), f"the healing of {self.name}")

    def outage(self, since: float) -> float:
        """Seconds from the last success before the first failure since then to the first success after the last; 0 without failures."""
        attempts = self.attempts()
        failed = [place for place, one in enumerate(attempts) if one.begun >= since and not one.fine]
        if not failed:
            return 0.0
        last_good = attempts[failed[0] - 1].ended if failed[0] else attempts[0].begun
        after = [one.ended for one in attempts[failed[-1] :] if one.fine]
        return (after[0] if after else time.monotonic()) - last_good

    def stop(self) -> None:
        process.kill_group(self._process)
