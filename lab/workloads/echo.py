"""The image `echo`: a server that says which pod it is and whom it sees. TCP speaks HTTP, UDP answers each datagram with one.

pod: NAME
client: ADDRESS:PORT
<what was sent: the request line, or the datagram>
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterable, Sequence
from typing import Literal

Port = tuple[Literal["TCP", "UDP"], int]

DEFAULT_PORTS: tuple[Port, ...] = (("TCP", 8080), ("UDP", 8080))
REQUEST_LIMIT = 4096
PATIENCE = 2.0
"""Seconds a client has to send its request."""


def text(pod: str, client: tuple[str, int], sent: bytes) -> str:
    """What the server says."""
    return f"pod: {pod}\nclient: {client[0]}:{client[1]}\n{sent.decode('utf-8', 'replace').strip()}\n"


def serve(pod: str, ports: Iterable[Port]) -> int:
    """Serve until killed. Raises OSError when a port is taken."""
    selector = selectors.DefaultSelector()
    for protocol, port in ports:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("0.0.0.0", port))
        if protocol == "TCP":
            server.listen(128)
        selector.register(server, selectors.EVENT_READ, protocol)
    while True:
        for key, _ in selector.select():
            server = key.fileobj  # type: ignore[assignment]
            try:
                _answer_stream(pod, server) if key.data == "TCP" else _answer_datagram(pod, server)
            except OSError:
                continue  # this client has gone; the next one is served


def _answer_stream(pod: str, server: socket.socket) -> None:
    connection, client = server.accept()
    with connection:
        connection.settimeout(PATIENCE)
        request = connection.recv(REQUEST_LIMIT)
        body = text(pod, client, request.split(b"\r\n")[0]).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)


def _answer_datagram(pod: str, server: socket.socket) -> None:
    sent, client = server.recvfrom(REQUEST_LIMIT)
    server.sendto(text(pod, client, sent).encode(), client)


def main(argv: Sequence[str]) -> int:
    """Serve until killed: the pod's name, then ports such as 8080/TCP."""
    pod, *words = argv
    ports: list[Port] = []
    for word in words:
        number, _, protocol = word.partition("/")
        ports.append(("UDP" if protocol == "UDP" else "TCP", int(number)))
    return serve(pod, ports or DEFAULT_PORTS)
