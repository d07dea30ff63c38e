"""etcd's messages (etcdserverpb, mvccpb) as protobuf's bytes. Pure.

Only what the lab says and reads. The numbers of the fields are those of etcd's rpc.proto and kv.proto; they are the same since 3.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.master.etcdclient import Change, Changes, EtcdCompacted, EtcdError, KeyValue, Snapshot

RANGE, TXN, WATCH = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn", "/etcdserverpb.Watch/Watch"

_VERSION, _MOD = 1 - 1, 2
_VARINT, _BYTES = 0, 2
_CHANGED = 1
"""Event's type of a deletion."""


def varint(number: int) -> bytes:
    """A number in protobuf's form; a negative one as 64 bits."""
    number &= (1 << 64) - 1
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def number(place: int, value: int) -> bytes:
    """A field with a number; nothing for 0, which is what a missing one means."""
    return varint(place << 3 | _VARINT) + varint(value) if value else b""


def piece(place: int, value: bytes) -> bytes:
    """A field with bytes, a text or a message."""
    return varint(place << 3 | _BYTES) + varint(len(value)) + value


def fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message, with their numbers. Raises EtcdError for what is no message."""
    place, end = 0, len(raw)
    try:
        while place < end:
            tag, place = _varint(raw, place)
            if tag & 7 == _VARINT:
                value, place = _varint(raw, place)
                yield tag >> 3, value
            elif tag & 7 == _BYTES:
                length, place = _varint(raw, place)
                if length > end - place:
                    raise IndexError
                yield tag >> 3, raw[place : place + length]
                place += length
            else:
                place += {1: 8, 5: 4}[tag & 7]
    except (IndexError, KeyError):
        raise EtcdError(f"etcd's answer makes no sense: {raw[:100]!r}") from None


def _varint(raw: bytes, place: int) -> tuple[int, int]:
    found = raw[place]
    place += 1
    if found < 0x80:
        return found, place
    found &= 0x7F
    shift = 7
    while True:
        byte = raw[place]
        place += 1
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return found, place
        shift += 7


def text(raw: str) -> bytes:
    """Text as etcd has it: bytes that were no UTF-8 are what they were."""
    return raw.encode("utf-8", "surrogateescape")


def after(prefix: bytes) -> bytes:
    """The first key behind all that begin with a prefix: its last byte below 255 raised by one."""
    raw = prefix.rstrip(b"\xff")
    return raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0"


def range_below(prefix: str) -> bytes:
    """RangeRequest: everything below a prefix."""
    return piece(1, text(prefix)) + piece(2, after(text(prefix)))


def create(pairs: Sequence[tuple[str, str]]) -> bytes:
    """TxnRequest: write these keys if none of them is there."""
    compared = b"".join(piece(1, number(2, _VERSION) + piece(3, text(key)) + _zero(4)) for key, _ in pairs)
    return compared + b"".join(piece(2, _put(key, value)) for key, value in pairs)


def replace(key: str, value: str, revision: int) -> bytes:
    """TxnRequest: write a key if its last change is of that revision."""
    return _unchanged(key, revision) + piece(2, _put(key, value))


def delete(key: str, revision: int) -> bytes:
    """TxnRequest: delete a key if its last change is of that revision."""
    return _unchanged(key, revision) + piece(2, piece(3, piece(1, text(key))))


def watch_below(prefix: str, start: int) -> bytes:
    """WatchRequest: what changes below a prefix from a revision on, and a word now and then when nothing does."""
    return piece(1, range_below(prefix) + number(3, start) + number(4, 1))


def _zero(place: int) -> bytes:
    """A 0 that has to be said, because it chooses one of several fields."""
    return varint(place << 3 | _VARINT) + b"\0"


def _put(key: str, value: str) -> bytes:
    return piece(2, piece(1, text(key)) + piece(2, text(value)))


def _unchanged(key: str, revision: int) -> bytes:
    return piece(1, number(2, _MOD) + piece(3, text(key)) + number(6, revision))


def snapshot(raw: bytes) -> Snapshot:
    """RangeResponse."""
    revision, items = 0, []
    for place, value in fields(raw):
        if place == 1:
            revision = _revision(value)
        elif place == 2:
            items.append(_key_value(value))
    return Snapshot(revision, tuple(items))


def written(raw: bytes) -> int:
    """TxnResponse: the revision that it made, 0 when its conditions did not hold."""
    revision, succeeded = 0, 0
    for place, value in fields(raw):
        if place == 1:
            revision = _revision(value)
        elif place == 2:
            succeeded = _number(value)
    return revision if succeeded else 0


def changes(raw: bytes) -> Changes:
    """WatchResponse. Raises EtcdCompacted when etcd no longer has what was asked for, EtcdError when it ends the watch otherwise."""
    revision = cancelled = compacted = 0
    reason, found = "", []
    for place, value in fields(raw):
        if place == 1:
            revision = _revision(value)
        elif place == 4:
            cancelled = _number(value)
        elif place == 5:
            compacted = _number(value)
        elif place == 6 and isinstance(value, bytes):
            reason = value.decode("utf-8", "replace")
        elif place == 11 and isinstance(value, bytes):
            found.append(_change(value))
    if compacted:
        raise EtcdCompacted(f"etcd has dropped what was before revision {compacted}")
    if cancelled:
        raise EtcdError(f"etcd cancelled the watch: {reason or 'it gives no reason'}")
    return Changes(revision, tuple(found))


def _change(raw: bytes) -> Change:
    kind, item = 0, KeyValue("", "", 0)
    for place, value in fields(raw):
        if place == 1:
            kind = _number(value)
        elif place == 2:
            item = _key_value(value)
    return Change(kind == _CHANGED, item)


def _key_value(raw: int | bytes) -> KeyValue:
    key, value = b"", b""
    numbers = [0, 0, 0, 0, 0, 0, 0]
    for place, said in fields(_bytes(raw)):
        if place == 1:
            key = _bytes(said)
        elif place == 5:
            value = _bytes(said)
        elif place in (2, 3, 4, 6):
            numbers[place] = _number(said)
    return KeyValue(
        key.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"),
        mod_revision=numbers[3], create_revision=numbers[2], version=numbers[4], lease=numbers[6],
    )  # fmt: skip


def _revision(header: int | bytes) -> int:
    return next((_number(value) for place, value in fields(_bytes(header)) if place == 3), 0)


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise EtcdError("etcd's answer makes no sense: bytes where a number belongs")
    return value


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise EtcdError("etcd's answer makes no sense: a number where a message belongs")
    return value
