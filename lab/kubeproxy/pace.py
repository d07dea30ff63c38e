"""When the next sync is due: at most every minimum period, but two in quick succession, and at least every maximum period. Pure.

The rules of Kubernetes' bounded-frequency runner, and one of the lab's own: a sync may wait until what changes has come to rest. All times
are seconds of one clock, which the caller reads.
"""

from __future__ import annotations

BURST = 2
"""Syncs that may follow each other without pause when there were none for a while."""

PATIENCE = 2
"""How many times the least period a sync waits at most for changes to come to rest."""


class Pace:
    """The pace of one runner.

    least   seconds between syncs once the burst is spent; 0: no limit
    most    seconds after which a sync is due although nobody asked for one
    quiet   seconds without a change that a sync waits for, though no longer than PATIENCE times `least`, or `quiet` if that is more
    """

    def __init__(self, least: float, most: float, now: float, burst: int = BURST, quiet: float = 0.0) -> None:
        self.least, self.most, self.burst, self.quiet = least, most, burst, quiet
        self._tokens, self._filled = float(burst), now
        self._last = now
        self._wanted = False
        self._first_change = self._last_change = now

    def want(self, changed: float) -> None:
        """Something has changed, at this time, and needs a sync; several changes before it runs get one together."""
        if not self._wanted:
            self._first_change = changed
        self._wanted, self._last_change = True, changed

    def wait(self, now: float) -> float:
        """Seconds until the next sync may run, 0 when it is due."""
        periodic = max(0.0, self._last + self.most - now)
        if not self._wanted:
            return periodic
        missing = max(0.0, 1.0 - self._filled_to(now))
        calm = min(self._last_change + self.quiet, self._first_change + PATIENCE * max(self.least, self.quiet))
        return min(periodic, max(missing * self.least, calm - now, 0.0))

    def overdue(self, now: float) -> bool:
        """Whether the sync is due only because none ran for so long."""
        return now >= self._last + self.most

    def ran(self, now: float) -> None:
        """A sync begins now."""
        self._tokens = max(0.0, self._filled_to(now) - 1.0)
        self._filled = self._last = now
        self._wanted = False

    def _filled_to(self, now: float) -> float:
        if not self.least:
            return float(self.burst)
        return min(float(self.burst), self._tokens + (now - self._filled) / self.least)
