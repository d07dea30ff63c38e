"""The registry: flannel's keys in etcd, read, written and watched. What a subnet costs, who gets it, is decided in lab.flannel.allocate."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from typing import Protocol

from lab.errors import LabError
from lab.flannel import config, lease
from lab.flannel.lease import Attrs, Lease, LeaseEvent
from lab.master.etcdclient import Changes, EtcdClient, EtcdCompacted, EtcdError, KeyValue

Log = Callable[[str], None]

_BACKOFF = (0.1, 5.0)
"""Seconds before a broken watch is tried again: first, and at most."""


class ConfigMissing(LabError):
    """Nobody has written the network configuration yet."""


@dataclass(frozen=True)
class Leases:
    """All leases at one revision of etcd."""

    revision: int
    leases: tuple[Lease, ...]


class Registry:
    """One network's part of etcd.

    etcd     the client; its errors pass through every method
    prefix   flannel's --etcd-prefix
    ttl      seconds a lease lives
    warn     takes one line about what is odd in etcd but no reason to stop
    """

    def __init__(self, etcd: EtcdClient, prefix: str, ttl: int = lease.TTL, warn: Log = lambda line: None) -> None:
        self._etcd = etcd
        self._prefix = prefix
        self._ttl = ttl
        self._warn = warn

    def config(self) -> config.Config:
        """The network configuration. Raises ConfigMissing, and InputError when it is wrong."""
        key = lease.config_key(self._prefix)
        item = self._etcd.get(key)
        if item is None:
            raise ConfigMissing(f"key {key} not found in etcd")
        return config.parse(item.value, f"etcd key {key}")

    def leases(self) -> Leases:
        """All leases there are. Keys and values that are none are skipped with a warning, as flannel does."""
        snapshot = self._etcd.range(lease.subnets_key(self._prefix), prefix=True)
        found = (self._lease(item) for item in snapshot.items)
        return Leases(snapshot.revision, tuple(each for each in found if each is not None))

    def create(self, subnet: IPv4Network, attrs: Attrs) -> Lease | None:
        """Lease a free subnet. None when somebody else was faster."""
        granted = self._etcd.grant(self._ttl)
        revision = self._etcd.create(lease.subnet_key(self._prefix, subnet), lease.encode(attrs), granted)
        if not revision:
            self._etcd.revoke(granted)
            return None
        return Lease(subnet, attrs, granted, revision)

    def refresh(self, old: Lease, attrs: Attrs) -> Lease | None:
        """Take over a lease with new attributes and full time; a reservation stays one. None when it changed in the meantime."""
        granted = 0 if old.reserved else self._etcd.grant(self._ttl)
        key = lease.subnet_key(self._prefix, old.subnet)
        revision = self._etcd.replace(key, lease.encode(attrs), old.mod_revision, granted)
        if revision:
            return Lease(old.subnet, attrs, granted, revision)
        if granted:
            self._etcd.revoke(granted)
        return None

    def delete(self, old: Lease) -> bool:
        """Give up a lease. False when it changed in the meantime, and then it stays."""
        return bool(self._etcd.delete_unchanged(lease.subnet_key(self._prefix, old.subnet), old.mod_revision))

    def renew(self, own: Lease) -> int:
        """Set a lease back to its full time and return the seconds it has, 0 when it no longer exists.

        v0.8 writes the key again, which etcd v2 needs; v3's keepalive does it without an event at every other node.
        """
        return self._etcd.keepalive(own.etcd_lease)

    def watch(self, stop: Stop) -> Iterator[tuple[LeaseEvent, ...]]:
        """The leases there are now as events, then every change, until `stop`.

        The first batch comes in any case, even when it is empty. A lost connection is opened again and continued where it broke off; when
        etcd no longer has that part of its history (compaction, lost data), all leases are listed anew and the difference is told.
        """
        known: dict[IPv4Network, Lease] = {}
        revision, begun = 0, False
        delay = _BACKOFF[0]
        while not stop.requested:
            try:
                if not revision:
                    snapshot = self.leases()
                    events, known = lease.diff(known, lease.by_subnet(snapshot.leases)), lease.by_subnet(snapshot.leases)
                    revision = snapshot.revision
                    if events or not begun:
                        begun = True
                        yield events
                watch = self._etcd.watch(lease.subnets_key(self._prefix), prefix=True, start=revision + 1)
                with stop.closing(watch):
                    for changes in watch:
                        delay = _BACKOFF[0]
                        events = self._events(changes, known)
                        revision = max(revision, changes.revision)
                        if events:
                            yield events
                self._unless_stopped(stop, "etcd closed the watch of subnet leases")
            except EtcdCompacted as error:
                self._warn(f"Watch of subnet leases failed because etcd index outside history window: {error}")
                revision = 0
            except EtcdError as error:
                self._unless_stopped(stop, f"Watch subnets: {error}")
            stop.wait(delay)
            delay = min(2 * delay, _BACKOFF[1])

    def _unless_stopped(self, stop: Stop, line: str) -> None:
        if not stop.requested:
            self._warn(line)

    def _events(self, changes: Changes, known: dict[IPv4Network, Lease]) -> tuple[LeaseEvent, ...]:
        """The events in one message of the watch; `known` follows them."""
        events: list[LeaseEvent] = []
        for change in changes.changes:
            if not change.deleted:
                came = self._lease(change.item)
                if came is not None:
                    known[came.subnet] = came
                    events.append(LeaseEvent("added", came))
                continue
            subnet = lease.parse_key(change.item.key)
            gone = known.pop(subnet, None) if subnet is not None else None
            if gone is not None:
                events.append(LeaseEvent("removed", replace(gone, mod_revision=change.item.mod_revision)))
        return tuple(events)

    def _lease(self, item: KeyValue) -> Lease | None:
        subnet, attrs = lease.parse_key(item.key), lease.decode(item.value)
        if subnet is None or attrs is None:
            self._warn(f"Ignoring bad subnet node: {item.key}")
            return None
        return Lease(subnet, attrs, item.lease, item.mod_revision)


class Closable(Protocol):
    """What ends when it is closed from another thread."""

    def close(self) -> None:
        """End it."""


class Stop:
    """Asks a watch in another thread to end, also while it waits for etcd or the apiserver."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._changing = threading.Lock()
        self._open: list[Closable] = []

    @property
    def requested(self) -> bool:
        """Whether `request` was called."""
        return self._event.is_set()

    def request(self) -> None:
        """End the watch now."""
        with self._changing:
            self._event.set()
            watches: Sequence[Closable] = tuple(self._open)
        for watch in watches:
            watch.close()

    def wait(self, seconds: float) -> None:
        """Sleep, unless asked to end."""
        self._event.wait(seconds)

    def closing(self, watch: Closable) -> _Closing:
        """A context in which `request` closes `watch`, and which closes it at its end."""
        return _Closing(self, watch)

    def _register(self, watch: Closable) -> None:
        with self._changing:
            self._open.append(watch)
            late = self._event.is_set()
        if late:
            watch.close()

    def _forget(self, watch: Closable) -> None:
        with self._changing:
            self._open.remove(watch)
        watch.close()


class _Closing:
    def __init__(self, stop: Stop, watch: Closable) -> None:
        self._stop = stop
        self._watch = watch

    def __enter__(self) -> None:
        self._stop._register(self._watch)

    def __exit__(self, *_: object) -> None:
        self._stop._forget(self._watch)
