"""Unix sockets in the file system that nobody but their owner can reach."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def listen(path: Path, kind: socket.SocketKind, backlog: int) -> socket.socket:
    """A listening socket at `path`, for this user alone. Raises OSError, also when something is there already."""
    server = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o177)
    try:
        server.bind(str(path))
    finally:
        os.umask(before)
    server.listen(backlog)
    return server
