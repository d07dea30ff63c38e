"""Starts a lab's page in the background, or finds the one that there is: for the command line."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import Any

from lab.errors import LabError
from lab.fabric import registry

PATIENCE = 30.0


def link(entry: registry.Entry, port: int = 0, language: str = "en") -> str:
    """An address that opens the page of the lab once; its server is started if there is none. Raises LabError."""
    return _asked(entry) or _started(entry, port, language)


def _asked(entry: registry.Entry) -> str:
    """A new link of the server that runs; nothing when there is none."""
    if not entry.companion_runs:
        return ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(PATIENCE)
        try:
            door.connect(str(entry.web_socket))
            door.sendall(b"link\n")
            return str(json.loads(door.makefile().readline())["url"])
        except (OSError, ValueError, KeyError) as error:
            raise LabError(f"the page's server does not answer ({error}); `lab web --stop` ends it") from error


def _started(entry: registry.Entry, port: int, language: str) -> str:
    entry.web_socket.unlink(missing_ok=True)
    reading, writing = os.pipe()
    log = os.open(entry.directory / "web.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    argv = [sys.executable, "-m", "lab.web", entry.name, str(port), language, str(writing)]
    try:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(writing,), start_new_session=True, cwd="/", env=environment()
        )
        registry.accompany(entry, process.pid)
    finally:
        os.close(writing)
        os.close(log)
    with os.fdopen(reading, encoding="utf-8") as told:
        text = told.readline()
    why = f"the page's server has ended at once; {entry.directory / 'web.log'} tells more"
    said: dict[str, Any] = json.loads(text) if text else {"error": why, "status": LabError.status}
    if "url" in said:
        return str(said["url"])
    registry.end_companion(entry)
    error = LabError(said["error"])
    error.status = said["status"]
    raise error


def environment() -> dict[str, str]:
    """For a child that is this program: the caller's, with the way to this package from any directory."""
    import lab

    home = os.path.dirname(os.path.dirname(os.path.abspath(lab.__file__)))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(part for part in (home, os.environ.get("PYTHONPATH", "")) if part)}
