"""The kubelet's HTTP server: logs, exec, attach and port-forward, which the apiserver passes on, with the real one's paths.

aiohttp is imported when the first connection comes, not before: a lab whose learners never ask for a log never pays for it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.errors import BootError
from lab.kubelet.variables import Network

if TYPE_CHECKING:
    from lab.kubelet.loop import Loop


@dataclass(frozen=True)
class Back:
    """What the server answers from."""

    loop: Loop
    network: Callable[[], Network]
    log: Callable[[str], None]


def listen(address: str, port: int) -> socket.socket:
    """A listening socket on the node's address and on 127.0.0.1, where that can be: on all addresses. Raises BootError."""
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("0.0.0.0", port))
    except OSError as error:
        server.close()
        raise BootError(f"the kubelet of {address} cannot listen on port {port}: {error.strerror}") from error
    server.listen(128)
    return server


def serve(listening: socket.socket, back: Back) -> None:
    """Serve for ever, in the calling thread."""
    select.select([listening], [], [])
    from lab.kubelet import handlers

    handlers.serve(listening, back)
