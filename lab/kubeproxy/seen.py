"""Which services have changed since they were last looked at, among however many there are. Pure.

Objects are never changed in place, and one that has not changed is the same object as before (lab.kubeproxy.modes.Proxier): so telling
changed from unchanged is comparing identities, which costs a millisecond for ten thousand services and looks into none of them.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import compress
from typing import Protocol, TypeVar

from lab.model.objects import Endpoints, Service

Name = tuple[str, str]
"""Namespace and name."""


class _Named(Protocol):
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


class Seen:
    """Services and endpoints as they were told last, by name.

    addresses   back ends in all endpoints together
    changed     names of services that came, went or changed, or whose endpoints did, since `forget_changes`
    """

    def __init__(self) -> None:
        self.services: dict[Name, Service] = {}
        self.endpoints: dict[Name, Endpoints] = {}
        self.addresses = 0
        self.changed: set[Name] = set()
        self._lists: tuple[Sequence[Service], Sequence[Endpoints]] = (), ()

    def look(self, services: Sequence[Service], endpoints: Sequence[Endpoints]) -> None:
        """Take in the whole state."""
        old_services, old_endpoints = self._lists
        self._lists = tuple(services), tuple(endpoints)
        services_gone, services_new = _take(self.services, old_services, services)
        endpoints_gone, endpoints_new = _take(self.endpoints, old_endpoints, endpoints)
        self.addresses += sum(map(_addresses, endpoints_new)) - sum(map(_addresses, endpoints_gone))
        self.changed.update((one.namespace, one.name) for some in (services_gone, services_new) for one in some)
        self.changed.update((one.namespace, one.name) for some in (endpoints_gone, endpoints_new) for one in some)

    def forget_changes(self) -> None:
        """What was changed has been dealt with."""
        self.changed = set()


def _take(known: dict[Name, T], old: Sequence[T], now: Sequence[T]) -> tuple[list[T], list[T]]:
    """Bring `known` from `old` to `now`; the objects that are no longer there, and those that were not there before."""
    if len(old) == len(now):  # as a rule one object has another in its place then: finding that takes a tenth of what sets take
        moved = list(map(operator.is_not, old, now))
        old, now = list(compress(old, moved)), list(compress(now, moved))
    before, after = set(map(id, old)), set(map(id, now))
    gone = [one for one in old if id(one) not in after]
    new = [one for one in now if id(one) not in before]
    for one in gone:
        del known[one.namespace, one.name]
    for one in new:
        known[one.namespace, one.name] = one
    return gone, new


def _addresses(endpoints: Endpoints) -> int:
    return sum(len(subset.addresses) for subset in endpoints.subsets)
