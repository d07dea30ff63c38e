"""Sockets that keep other programs of a node from taking the ports of services. Nobody ever reads from them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

_ANY = "0.0.0.0"


@dataclass(frozen=True, order=True)
class LocalPort:
    """A port to hold. `ip` is empty for all addresses of the node, `protocol` in lower case, `what`: nodePort or externalIP."""

    what: str
    service: str
    ip: str
    port: int
    protocol: str

    def __str__(self) -> str:
        return f'"{self.what} for {self.service}" ({self.ip}:{self.port}/{self.protocol})'


class HeldPorts:
    """The sockets of one node's services.

    local   tells whether an address is one of the node's: only its ports can be held
    """

    def __init__(self, log: Callable[[str], None], local: Callable[[IPv4Address], bool] | None = None) -> None:
        self._log, self._local = log, local or is_local
        self._held: dict[LocalPort, socket.socket] = {}

    def take(self, wanted: Iterable[LocalPort]) -> frozenset[LocalPort]:
        """Open what is new among `wanted`; returns those that cannot be had, each with a line in the log. Others stay open until `release`."""
        failed = set()
        for port in sorted(set(wanted) - self._held.keys()):
            if port.ip and not self._local(IPv4Address(port.ip)):
                continue
            try:
                self._held[port] = opened(port)
            except OSError as error:
                verb = "listen tcp" if port.protocol == "tcp" else "listen udp"
                reason = (error.strerror or str(error)).lower()
                self._log(f"can't open {port}, skipping this {port.what}: {verb} {port.ip}:{port.port}: bind: {reason}")
                failed.add(port)
        return frozenset(failed)

    def release(self, unwanted: Iterable[LocalPort]) -> None:
        """Close those of `unwanted` that are held."""
        for port in unwanted:
            held = self._held.pop(port, None)
            if held is not None:
                held.close()

    def close(self) -> None:
        """Close all."""
        self.release(list(self._held))

    @property
    def held(self) -> frozenset[LocalPort]:
        """What is held now."""
        return frozenset(self._held)


def is_local(ip: IPv4Address) -> bool:
    """Whether an address is one of this machine's: only then can a socket be bound to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(ip), 0))
        except OSError:
            return False
    return True


def opened(port: LocalPort) -> socket.socket:
    """A bound socket, for tcp one that listens. Raises OSError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if port.protocol == "tcp" else socket.SOCK_DGRAM)
    try:
        if port.protocol == "tcp":  # as Go's net.Listen: connections of before that are still ending must not keep the port
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((port.ip or _ANY, port.port))
        if port.protocol == "tcp":
            made.listen()
    except OSError:
        made.close()
        raise
    return made
