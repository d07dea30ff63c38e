"""Measures in a sandbox of its own, so that what came before is not in the figures, and how long the sandbox takes to end is."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from lab.errors import LabError
from lab.fabric import sandbox


def apart(measure: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], float]:
    """What `measure` returns in a sandbox, as far as JSON keeps it, and when that sandbox had ended, by time.monotonic.

    Raises SystemExit when it fails; what was wrong is on standard error then.
    """
    told, tell = os.pipe()

    def body() -> int:
        try:
            found = measure()
        except LabError as error:
            print(error, file=sys.stderr)
            return error.status
        with os.fdopen(tell, "w") as channel:
            json.dump(found, channel)
        return 0

    child = os.fork()
    if child == 0:
        os.close(told)
        os._exit(sandbox.run(body))
    os.close(tell)
    with os.fdopen(told) as channel:
        text = channel.read()
    _, status = os.waitpid(child, 0)
    ended = time.monotonic()
    if status or not text:
        raise SystemExit(f"the sandbox ended with status {os.waitstatus_to_exitcode(status)}")
    found: dict[str, Any] = json.loads(text)
    return found, ended
