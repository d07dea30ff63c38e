"""Who is next: the load balancer of kube-proxy's userspace mode. Pure: the clock and the dice are passed in.

Source: pkg/proxy/userspace/roundrobin.go of v1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
End = TypeVar("End", bound=Hashable)

Shuffle = Callable[[MutableSequence[Any]], None]
"""Brings a list into random order in place: the `shuffle` of a random.Random."""


@dataclass
class _Sticky(Generic[End]):
    end: End
    used: float


@dataclass
class _Service(Generic[End]):
    ends: list[End] = field(default_factory=list)
    index: int = 0
    timeout: float = 0.0
    clients: dict[str, _Sticky[End]] = field(default_factory=dict)


class RoundRobin(Generic[Key, End]):
    """Round robin for every service port, with affinity by client address where it is asked for.

    Key   what names a service port
    End   what names one of its back ends
    """

    def __init__(self, shuffle: Shuffle) -> None:
        self._shuffle = shuffle
        self._services: dict[Key, _Service[End]] = {}

    def set_service(self, key: Key, affinity_timeout: float = 0.0) -> None:
        """Make a service port known, or change its affinity: seconds since the last use, 0 for none."""
        service = self._services.setdefault(key, _Service())
        service.timeout = affinity_timeout
        if not affinity_timeout:
            service.clients.clear()

    def set_ends(self, key: Key, ends: Iterable[End]) -> None:
        """The back ends of a service port from now on.

        When they are others than before, in whatever order, they are shuffled and the first is next; a client of a back end that is gone
        has a free choice again.
        """
        service = self._services.setdefault(key, _Service())
        wanted = list(dict.fromkeys(ends))
        if set(wanted) == set(service.ends):
            return
        self._shuffle(wanted)
        service.ends, service.index = wanted, 0
        service.clients = {client: known for client, known in service.clients.items() if known.end in wanted}

    def forget(self, known: Iterable[Key]) -> None:
        """Drop every service port but these."""
        kept = set(known)
        self._services = {key: service for key, service in self._services.items() if key in kept}

    def ends(self, key: Key) -> Sequence[End]:
        """The back ends of a service port in the order of their turns; none for an unknown one."""
        service = self._services.get(key)
        return tuple(service.ends) if service else ()

    def next(self, key: Key, client: str, now: float, again: bool = False) -> End | None:
        """The back end for a new connection, None when there is none.

        client   its address, without port
        now      seconds on a clock that only goes forward
        again    the last one did not answer: whatever is remembered of the client, take the next
        """
        service = self._services.get(key)
        if service is None or not service.ends:
            return None
        if service.timeout and not again:
            known = service.clients.get(client)
            if known is not None and now - known.used < service.timeout:
                known.used = now
                return known.end
        end = service.ends[service.index]
        service.index = (service.index + 1) % len(service.ends)
        if service.timeout:
            service.clients[client] = _Sticky(end, now)
        return end

    def forget_idle_clients(self, now: float) -> None:
        """Drop what is remembered of clients whose time is over: a memory for everybody who ever called would only grow."""
        for service in self._services.values():
            service.clients = {client: known for client, known in service.clients.items() if now - known.used < service.timeout}
