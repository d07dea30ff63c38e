"""A daemon's log in the hands of a step."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.fabric import logfiles
from lab.model.text import Text
from lab.scenario import checks

if TYPE_CHECKING:
    from lab.scenario.view import Clock, Recorder

POLL_SECONDS = 0.02


class Log:
    """What a daemon writes to its log behind byte `begin`. `who`: the daemon and its machine, for people."""

    def __init__(self, path: Path, begin: int, who: Text, recorder: Recorder, clock: Clock) -> None:
        self._path = path
        self._who = who
        self._recorder = recorder
        self._clock = clock
        self._begin = begin

    @property
    def lines(self) -> list[str]:
        """The lines written so far."""
        return logfiles.since(self._path, self._begin)[0].decode("utf-8", "replace").splitlines()

    def expect(self, *texts: str, timeout: float = 5.0) -> Log:
        """Wait until the log has lines with each of these texts, show those lines, and check each text.

        timeout   seconds for all of them; when they are over, the checks of those that are missing have failed and the step goes on
        """
        deadline = self._clock.now() + timeout
        while not all(text in "\n".join(self.lines) for text in texts) and self._clock.now() < deadline:
            self._clock.sleep(POLL_SECONDS)
        lines = self.lines
        shown = tuple(line for line in lines if any(text in line for text in texts))
        self._recorder.show(self._who, shown)
        for text in texts:
            name = Text(f"the log says “{text}”", f"日志里有“{text}”")
            self._recorder.check(checks.contains(name, text)("\n".join(shown or lines)))
        return self
