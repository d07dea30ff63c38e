"""When the next sync is due: at most every minimum period, but two in quick succession, and at least every maximum period. Pure.

The rules of Kubernetes' bounded-frequency runner. All times are seconds of one clock, which the caller reads.
"""

from __future__ import annotations

BURST = 2
"""Syncs that may follow each other without pause when there were none for a while."""


class Pace:
    """The pace of one runner.

    least   seconds between syncs once the burst is spent; 0: no limit
    most    seconds after which a sync is due although nobody asked for one
    """

    def __init__(self, least: float, most: float, now: float, burst: int = BURST) -> None:
        self.least, self.most, self.burst = least, most, burst
        self._tokens, self._filled = float(burst), now
        self._last = now
        self._wanted = False

    def want(self) -> None:
        """Somebody asks for a sync; several that ask before it runs get one together."""
        self._wanted = True

    def wait(self, now: float) -> float:
        """Seconds until the next sync may run, 0 when it is due."""
        periodic = max(0.0, self._last + self.most - now)
        if not self._wanted or not self.least:
            return 0.0 if self._wanted else periodic
        missing = max(0.0, 1.0 - self._filled_to(now))
        return min(periodic, missing * self.least)

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
