"""Log lines on stderr in the format of glog, flannel's logging library: I0711 10:00:00.123456   12345 daemon.py:132] text."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

from lab.errors import LabError
from lab.fabric import process

_LETTERS = {logging.DEBUG: "I", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class GlogFormatter(logging.Formatter):
    """Severity letter, date, time, process, place, text."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as glog writes it."""
        moment = datetime.fromtimestamp(record.created).strftime("%m%d %H:%M:%S.%f")
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        letter = _LETTERS.get(record.levelno, "I")
        return f"{letter}{moment} {record.process or 0:7d} {record.filename}:{record.lineno}] {text}"


@contextlib.contextmanager
def _to_stderr(name: str) -> Iterator[logging.Logger]:
    """A logger that writes to the stderr of this moment and to nothing else, for the time of the block."""
    log = logging.getLogger(name)
    if log.level != logging.INFO:  # setting it makes every logger of the process forget what it knows
        log.setLevel(logging.INFO)
    log.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(GlogFormatter())
    log.addHandler(handler)
    try:
        yield log
    finally:
        log.removeHandler(handler)
        handler.close()


def told(name: str, work: Callable[[logging.Logger], int]) -> int:
    """Do a daemon's work with a logger that writes to stderr: the exit status. Of a LabError the log has the words.

    argparse's SystemExit, for flags that ask for help, is a status, too.
    """
    with _to_stderr(name) as log:
        try:
            return work(log)
        except LabError as error:
            log.error("%s", error)
            return error.status
        except SystemExit as end:
            return process.status_of(end)
