"""How the container runtime is spoken to: JSON objects, one a datagram of a SOCK_SEQPACKET unix socket, with descriptors beside them.

A request has a `verb`; its answer is one datagram, or for `pods` one a pod and an empty one. `{"error": text}` is a refusal. After
`watch` a connection carries one datagram whenever something came, went, began or ended.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.fabric import unixsocket
from lab.fabric.namespace import Namespace

Message = dict[str, Any]

SOCKET = "/run/lab/runtime.sock"
"""Where a node's runtime listens, in the node's own /run."""

LIMIT = 1 << 20
MOST_DESCRIPTORS = 8
KINDS = ("net", "uts", "mnt")
"""The order in which `enter` hands out a pod's namespaces."""


class RuntimeTrouble(LabError):
    """The runtime refused, or is not there."""


def listen(namespace: Namespace | None = None, path: str = SOCKET) -> socket.socket:
    """The runtime's listening socket in a node's namespaces (None: where the caller is), for root alone. Connecting works at once."""
    if namespace is not None:
        with namespace.entered():
            return listen(None, path)
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    return unixsocket.listen(place, socket.SOCK_SEQPACKET, 64)


def connect(namespace: Namespace | None = None, path: str = SOCKET) -> socket.socket:
    """A connection to the runtime of a node. Raises RuntimeTrouble."""
    if namespace is not None:
        with namespace.entered():
            return connect(None, path)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError as error:
        connection.close()
        raise RuntimeTrouble(f"no container runtime listens at {path}: {error.strerror}; start `python -m lab.kubelet.runtime` first") from error
    return connection


def send(connection: socket.socket, message: Message, descriptors: tuple[int, ...] = ()) -> None:
    """Send one message. Raises OSError when nobody listens any more."""
    raw = json.dumps(message).encode()
    if len(raw) > 65536:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LIMIT)
    socket.send_fds(connection, [raw], descriptors) if descriptors else connection.send(raw)


def receive(connection: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, None at the end. Raises OSError, and ValueError for what is no JSON object."""
    # Room for the largest message would be made, and given back, for each.
    size = connection.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
    raw, descriptors, _, _ = socket.recv_fds(connection, min(size, LIMIT) or 1, MOST_DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if not raw:
        return None
    try:
        message = json.loads(raw)
        if not isinstance(message, dict):
            raise ValueError("a message is a JSON object")
    except ValueError:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
    return message, descriptors
