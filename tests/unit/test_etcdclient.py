"""The etcd client's own arithmetic: prefixes, encodings, messages of the gateway. What it says to a real etcd is an end-to-end test."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.master import etcdclient
from lab.master.etcdclient import Change, Changes, EtcdClient, EtcdCompacted, EtcdError, KeyValue

KEYS = st.binary(min_size=1, max_size=6)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("endpoint", ["", "127.0.0.1:2379", "https://127.0.0.1:2379", "http://", "http://x:99999", "http://[::1"])
def test_endpoints_that_are_none(endpoint: str) -> None:
    with pytest.raises(UsageError, match="write it like http://127.0.0.1:2379"):
        EtcdClient([endpoint])


def test_no_endpoint_at_all() -> None:
    with pytest.raises(UsageError, match="no etcd endpoint given"):
        EtcdClient([])


@given(KEYS, KEYS)
@example(b"/a", b"/b")
@example(b"/a", b"/a\xff\xff")
@example(b"\xff", b"\xff\xff")
@example(b"a\xff", b"b")
def test_a_prefix_covers_exactly_what_begins_with_it(prefix: bytes, key: bytes) -> None:
    end = base64.b64decode(etcdclient._after(prefix.decode("utf-8", "surrogateescape")))
    inside = key >= prefix and (end == b"\0" or key < end)
    assert inside == key.startswith(prefix)


@given(st.binary())
def test_any_bytes_survive_as_text(raw: bytes) -> None:
    text = raw.decode("utf-8", "surrogateescape")
    assert etcdclient._decode(etcdclient._encode(text)) == text
    assert base64.b64decode(etcdclient._encode(text)) == raw


def test_a_message_of_a_watch() -> None:
    header = {"revision": "9"}
    put = {
        "kv": {"key": b64("/a"), "value": b64("v"), "create_revision": "7", "mod_revision": "8", "version": "2", "lease": "77"}
    }
    delete = {"type": "DELETE", "kv": {"key": b64("/b"), "mod_revision": "9"}}
    text = json.dumps({"result": {"header": header, "events": [put, delete]}}).encode()
    assert etcdclient._changes(etcdclient._message(text)) == Changes(
        9, (Change(False, KeyValue("/a", "v", 8, 7, 2, 77)), Change(True, KeyValue("/b", "", 9)))
    )


def test_a_cancelled_watch() -> None:
    with pytest.raises(EtcdCompacted, match="up to revision 5"):
        etcdclient._changes({"canceled": True, "compact_revision": "5"})
    with pytest.raises(EtcdError, match="no leader"):
        etcdclient._changes({"canceled": True, "cancel_reason": "no leader"})


@pytest.mark.parametrize(
    ("text", "said", "code"),
    [
        (
            b'{"error":"etcdserver: requested lease not found","message":"etcdserver: requested lease not found","code":5}',
            "lease not found",
            5,
        ),
        (b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}}', "no leader", 14),
        (b"<html>Bad Gateway</html>", "Bad Gateway", 0),
        (b"[1]", r"\[1\]", 0),
    ],
)
def test_refusals(text: bytes, said: str, code: int) -> None:
    trouble = etcdclient._trouble(text)
    assert trouble.code == code
    with pytest.raises(EtcdError, match=said):
        raise trouble


@given(st.binary())
def test_no_answer_breaks_the_reader(text: bytes) -> None:
    etcdclient._trouble(text)
    try:
        etcdclient._message(text)
    except EtcdError as error:
        assert str(error)
