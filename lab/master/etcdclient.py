"""A client of etcd v3 over its JSON gateway: keys, transactions, leases and watches.

Debian's etcd 3.4 and 3.5 serve the gateway under /v3, Ubuntu 22.04's 3.3 under /v3beta; the client finds out by itself. Keys and values are
text here and base64 on the wire; bytes that are no UTF-8 survive a round trip as surrogate escapes. Every call has a timeout. Several
endpoints are tried in turn, beginning with the one that answered last.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from lab.errors import LabError, UsageError
from lab.master import connections
from lab.master.plainhttp import Answer, Connection

TIMEOUT = 5.0
"""Seconds that one endpoint may take to connect, and to answer."""

_OK, _NOT_FOUND, _SERVICE_UNAVAILABLE = 200, 404, 503
_API_VERSIONS = ("/v3", "/v3beta")
_GONE = 5
"""gRPC status NotFound: of a lease that etcd does not know."""


class EtcdError(LabError):
    """etcd refused a request; the message is etcd's own. `code` is the gRPC status, 0 when etcd named none."""

    def __init__(self, message: str, code: int = 0) -> None:
        self.code = code
        super().__init__(message)


class EtcdUnreachable(EtcdError):
    """No endpoint answered; the message names each and why. Trying again later can heal it."""


class EtcdCompacted(EtcdError):
    """A watch cannot start at the revision asked for: etcd has dropped it, or never had it. List again and watch from there."""


@dataclass(frozen=True)
class KeyValue:
    """One key as etcd holds it. `lease` is 0 when the key lives for ever; `version` counts the writes since its creation."""

    key: str
    value: str
    mod_revision: int
    create_revision: int = 0
    version: int = 0
    lease: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The keys of a range, in key order, as they were at `revision` of the store."""

    revision: int
    items: tuple[KeyValue, ...]


@dataclass(frozen=True)
class Change:
    """One event of a watch. `deleted` covers expiry too; then `item` has the key and revision but no value."""

    deleted: bool
    item: KeyValue


@dataclass(frozen=True)
class Changes:
    """What one message of a watch says: the store's revision and what happened up to it. May be empty: a sign of life."""

    revision: int
    changes: tuple[Change, ...]


class EtcdClient:
    """Talks to one etcd cluster. Several threads may use one client: each call takes a connection for itself, and leaves it to the next.

    endpoints   URLs such as http://10.229.43.65:2379; UsageError when one is no http URL
    timeout     seconds for each endpoint and step of a call
    Every method raises EtcdUnreachable when no endpoint answers and EtcdError when etcd refuses.
    """

    def __init__(self, endpoints: Sequence[str], timeout: float = TIMEOUT) -> None:
        if not endpoints:
            raise UsageError("no etcd endpoint given; name at least one, such as http://127.0.0.1:2379")
        self.endpoints = tuple(endpoints)
        self.timeout = timeout
        self._addresses = [address_of(endpoint) for endpoint in endpoints]
        self._api = _API_VERSIONS[0]
        self._idle = connections.Idle()

    def range(self, key: str, prefix: bool = False) -> Snapshot:
        """One key, or with `prefix` all keys that begin with it, and the store's revision. A linearizable read."""
        answer = self._call("/kv/range", _span(key, prefix))
        return Snapshot(_revision(answer), tuple(_item(raw) for raw in answer.get("kvs", [])))

    def get(self, key: str) -> KeyValue | None:
        """One key, None when it is not there."""
        items = self.range(key).items
        return items[0] if items else None

    def put(self, key: str, value: str, lease: int = 0) -> int:
        """Write a key, whatever it held; it dies with `lease` unless that is 0. Returns the store's new revision."""
        return _revision(self._call("/kv/put", _put(key, value, lease)))

    def delete(self, key: str, prefix: bool = False) -> int:
        """Delete a key, or all keys under a prefix. Returns how many there were."""
        return int(self._call("/kv/deleterange", _span(key, prefix)).get("deleted", 0))

    def create(self, key: str, value: str, lease: int = 0) -> int:
        """Write a key only if it does not exist. Returns the new revision, 0 if the key was there already."""
        return self._conditionally([_absent(key)], [{"request_put": _put(key, value, lease)}])

    def replace(self, key: str, value: str, mod_revision: int, lease: int = 0) -> int:
        """Write a key only if its last change is `mod_revision`. Returns the new revision, 0 if somebody was faster."""
        return self._conditionally([_unchanged(key, mod_revision)], [{"request_put": _put(key, value, lease)}])

    def delete_unchanged(self, key: str, mod_revision: int) -> int:
        """Delete a key only if its last change is `mod_revision`. Returns the new revision, 0 if somebody was faster."""
        return self._conditionally([_unchanged(key, mod_revision)], [{"request_delete_range": _span(key, False)}])

    def grant(self, ttl: int) -> int:
        """A new lease of `ttl` seconds; returns its number. Keys put with it vanish when it runs out."""
        return int(self._call("/lease/grant", {"TTL": str(ttl)})["ID"])

    def keepalive(self, lease: int) -> int:
        """Set a lease back to its full time. Returns the seconds it now has, 0 when it no longer exists."""
        return max(0, int(self._call("/lease/keepalive", {"ID": str(lease)}).get("TTL", 0)))

    def remaining(self, lease: int) -> int:
        """Seconds until a lease runs out, 0 when it no longer exists."""
        return max(0, int(self._call("/kv/lease/timetolive", {"ID": str(lease)}).get("TTL", 0)))

    def revoke(self, lease: int) -> None:
        """End a lease and delete its keys; nothing happens when it no longer exists."""
        try:
            self._call("/kv/lease/revoke", {"ID": str(lease)})
        except EtcdError as error:
            if error.code != _GONE:
                raise

    def watch(self, key: str, prefix: bool = False, start: int = 0) -> Watch:
        """Follow a key or prefix from revision `start` on (0: from now). Returns once etcd has accepted the watch.

        Raises EtcdCompacted when `start` is older than what etcd still has, or lies beyond its next revision, as it does after its data
        was lost: such a watch would stay silent for ever.
        """
        request = _span(key, prefix) | {"start_revision": str(start), "progress_notify": True}
        connection, response = self._open("/watch", {"create_request": request})
        watch = Watch(connection, response)
        try:
            revision = next(watch).revision
        except StopIteration:
            raise EtcdUnreachable("etcd closed the watch before accepting it") from None
        if start > revision + 1:
            watch.close()
            raise EtcdCompacted(f"etcd is at revision {revision}, before {start}: its data is not what it was")
        watch.wait_for_ever()
        return watch

    def _conditionally(self, conditions: list[dict[str, Any]], then: list[dict[str, Any]]) -> int:
        answer = self._call("/kv/txn", {"compare": conditions, "success": then})
        return _revision(answer) if answer.get("succeeded") else 0

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        connection, response = self._open(path, body)
        try:
            text = response.read()
        except OSError as error:
            connection.close()
            raise EtcdUnreachable(f"etcd's answer to {path} broke off: {error or type(error).__name__}") from error
        self._idle.put(connection)
        return _message(text)

    def _open(self, path: str, body: dict[str, Any]) -> tuple[Connection, Answer]:
        """Post a request to the first endpoint that answers; the caller reads the body and closes the connection."""
        failures = []
        for number, address in enumerate(list(self._addresses)):
            try:
                opened = self._post(address, path, body)
            except OSError as error:
                failures.append(f"{address[0]}:{address[1]}: {error or type(error).__name__}")
                continue
            if number:
                self._addresses = self._addresses[number:] + self._addresses[:number]
            return opened
        raise EtcdUnreachable("etcd does not answer: " + "; ".join(failures))

    def _post(
        self, address: tuple[str, int], path: str, body: dict[str, Any]
    ) -> tuple[Connection, Answer]:
        connection = self._idle.take(*address) or Connection(*address, self.timeout)
        try:
            response = connection.ask("POST", self._api + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
            if response.status == _OK:
                return connection, response
            text = response.read()
        except BaseException:
            connection.close()
            raise
        connection.close()
        if response.status == _NOT_FOUND and not text.startswith(b"{") and self._api == _API_VERSIONS[0]:
            self._api = _API_VERSIONS[1]
            return self._post(address, path, body)
        if response.status == _SERVICE_UNAVAILABLE:
            raise ConnectionError(_trouble(text).args[0])
        raise _trouble(text)


class Watch(Iterator[Changes]):
    """A running watch: iterate to get Changes, in order. When etcd, the network or `close` ends it, it closes itself."""

    def __init__(self, connection: Connection, response: Answer) -> None:
        self._connection = connection
        self._lines = response.lines()
        assert connection.sock is not None
        self._socket = connection.sock

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Changes:
        """The next message. Raises EtcdCompacted when etcd cancels the watch for its age, EtcdUnreachable when the stream breaks."""
        try:
            return _changes(_message(self._line()))
        except BaseException:
            self.close()
            raise

    def _line(self) -> bytes:
        try:
            return next(self._lines)
        except OSError as error:
            raise EtcdUnreachable(f"the watch broke off: {error or type(error).__name__}") from error

    def wait_for_ever(self) -> None:
        """No timeout from here on: silence is normal for a watch. TCP's keepalive tells a dead etcd from a quiet one within 20 s."""
        self._socket.settimeout(None)
        keep_alive(self._socket)

    def close(self) -> None:
        """End the watch; another thread's iteration over it ends too."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def keep_alive(connection: socket.socket) -> None:
    """Have TCP find out within 20 s that the other end of a silent connection is dead."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 2)):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def address_of(endpoint: str) -> tuple[str, int]:
    """Host and port of an endpoint. Raises UsageError when it is no http URL."""
    try:
        url = urlsplit(endpoint.strip())
        host, port = url.hostname, url.port
    except ValueError:
        host, port = None, None
    if host is None or url.scheme != "http":
        raise UsageError(f"etcd endpoint {endpoint!r} is not an http URL; write it like http://127.0.0.1:2379")
    return host, 2379 if port is None else port


def _encode(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")


def _decode(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "surrogateescape")


def _span(key: str, prefix: bool) -> dict[str, Any]:
    return {"key": _encode(key), "range_end": _after(key)} if prefix else {"key": _encode(key)}


def _after(prefix: str) -> str:
    """The first key behind all that begin with `prefix`, encoded: its last byte below 255 raised by one."""
    raw = prefix.encode("utf-8", "surrogateescape").rstrip(b"\xff")
    end = raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0"
    return base64.b64encode(end).decode("ascii")


def _put(key: str, value: str, lease: int) -> dict[str, Any]:
    return {"key": _encode(key), "value": _encode(value), "lease": str(lease)}


def _absent(key: str) -> dict[str, Any]:
    return {"key": _encode(key), "target": "VERSION", "result": "EQUAL", "version": "0"}


def _unchanged(key: str, mod_revision: int) -> dict[str, Any]:
    return {"key": _encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(mod_revision)}


def _message(text: bytes) -> dict[str, Any]:
    """One JSON object of the gateway; streams wrap it in `result` or `error`."""
    try:
        message = json.loads(text)
    except ValueError as error:
        raise EtcdError(f"etcd's answer is not JSON: {text[:200]!r}") from error
    if not isinstance(message, dict):
        raise EtcdError(f"etcd's answer is not a JSON object: {text[:200]!r}")
    if "error" in message:
        raise _trouble(text)
    result = message.get("result", message)
    return result if isinstance(result, dict) else {}


def _trouble(text: bytes) -> EtcdError:
    try:
        message = json.loads(text)
        if isinstance(message.get("error"), dict):
            message = message["error"]
        said, code = message.get("message") or message.get("error"), message.get("code") or message.get("grpc_code") or 0
        return EtcdError(str(said), int(code))
    except (ValueError, AttributeError, TypeError):
        return EtcdError(f"etcd refused: {text[:200].decode('utf-8', 'replace').strip()}")


def _revision(answer: dict[str, Any]) -> int:
    return int(answer.get("header", {}).get("revision", 0))


def _item(raw: dict[str, Any]) -> KeyValue:
    return KeyValue(
        key=_decode(raw.get("key", "")),
        value=_decode(raw.get("value", "")),
        mod_revision=int(raw.get("mod_revision", 0)),
        create_revision=int(raw.get("create_revision", 0)),
        version=int(raw.get("version", 0)),
        lease=int(raw.get("lease", 0)),
    )


def _changes(message: dict[str, Any]) -> Changes:
    if message.get("canceled"):
        said = message.get("cancel_reason") or "no reason given"
        if "compact_revision" in message:
            raise EtcdCompacted(f"etcd has compacted its history up to revision {message['compact_revision']}")
        raise EtcdError(f"etcd cancelled the watch: {said}")
    events = message.get("events", [])
    return Changes(_revision(message), tuple(Change(event.get("type") == "DELETE", _item(event["kv"])) for event in events))
