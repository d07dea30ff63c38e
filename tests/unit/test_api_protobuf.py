"""Kubernetes' protobuf: what kubectl 1.32 sends, byte for byte, and what nobody should send."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.master.api.protobuf import MAGIC, ProtobufError, decode

META = b'\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00'
"""The rest of an ObjectMeta that has only a name: Go writes empty fields as well."""

TAIL = b'\x1a\x00"\x00'


def envelope(version: str, kind: str, body: bytes) -> bytes:
    names = b"\n" + _sized(version.encode()) + b"\x12" + _sized(kind.encode())
    return MAGIC + b"\n" + _sized(names) + b"\x12" + _sized(body) + TAIL


def _sized(raw: bytes) -> bytes:
    size = len(raw)
    return (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + raw


def test_what_kubectl_sends() -> None:
    sent = envelope("v1", "ConfigMap", b"\n" + _sized(b"\n\x03cfg" + META) + b"\x12\x06\n\x01a\x12\x01b\x12\x06\n\x01c\x12\x01d")
    assert decode(sent) == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"a": "b", "c": "d"}}
    port = b'\n\x0780-http\x12\x03TCP\x18P"\n\x08\x01\x10\x00\x1a\x04http(\x80\xeb\x01'
    spec = b"\n" + _sized(port) + b"\x12\t\n\x03app\x12\x02s2\x1a\x00\"\x08NodePort:\x00B\x00R\x00Z\x00`\x00h\x00"
    made = decode(envelope("v1", "Service", b"\n" + _sized(b"\n\x02s2" + META) + b"\x12" + _sized(spec) + b"\x1a\x02\n\x00"))
    ports = [{"name": "80-http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080}]
    assert made["spec"] == {"ports": ports, "selector": {"app": "s2"}, "type": "NodePort"}


def test_an_empty_value_that_was_meant_stays() -> None:
    made = decode(envelope("apps/v1", "Deployment", b"\x12\x04\x08\x00(\x00"))
    assert made["spec"] == {"replicas": 0}


@pytest.mark.parametrize(("body", "foreign"), [(b"\x9a\x06\x00", True), (b"\n\x05x", False), (b"\x08\x01", False), (b"\x80" * 11, False)])
def test_more_than_the_tables_and_broken_bodies(body: bytes, foreign: bool) -> None:
    with pytest.raises(ProtobufError) as caught:
        decode(envelope("v1", "ConfigMap", body))
    assert caught.value.foreign is foreign and (not foreign or "kubectl apply" in str(caught.value))


def test_kinds_that_nobody_reads() -> None:
    with pytest.raises(ProtobufError, match="'Role'"):
        decode(envelope("v1", "Role", b""))
    with pytest.raises(ProtobufError):
        decode(b"{}")


KINDS = st.sampled_from(["ConfigMap", "Namespace", "ServiceAccount", "Service", "Deployment", "Eviction", "DeleteOptions", "Time"])


@given(KINDS, st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(kind: str, body: bytes) -> None:
    for raw in (body, MAGIC + body, envelope("v1", kind, body), envelope("v1", kind, b"\n" + _sized(b"B" + _sized(body)))):
        with contextlib.suppress(ProtobufError):
            assert isinstance(decode(raw), dict)
