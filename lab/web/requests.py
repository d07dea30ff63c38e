"""What a page may ask for, checked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import UsageError

LONGEST = 253
"""Characters of a name; a DNS name has no more."""
SIZE = 1 << 14
"""Bytes of a request."""


def word(data: Mapping[str, Any], key: str) -> str:
    """A short text. Raises UsageError."""
    value = data.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise UsageError(f"{key}: say a text of 1 to {LONGEST} characters")
    return value.strip()


def trace(data: Any) -> dict[str, Any]:
    """A packet to send: `source`, `target` (NAME or ADDRESS), and optionally `port` and `protocol`; as the lab's control socket asks for it."""
    if not isinstance(data, dict):
        raise UsageError("the request is no JSON object")
    target, port, protocol = word(data, "target"), data.get("port"), data.get("protocol")
    if port is not None and (isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536):
        raise UsageError("port: say a number from 1 to 65535")
    if protocol not in (None, "tcp", "udp", "icmp"):
        raise UsageError("protocol: say tcp, udp or icmp")
    target = f"{target}:{port}" if port is not None and protocol != "icmp" and ":" not in target else target
    return {"source": word(data, "source"), "target": target, "protocol": protocol}


def step(data: Any) -> tuple[str, bool]:
    """Which step to go to, or to run again by itself."""
    if not isinstance(data, dict):
        raise UsageError("the request is no JSON object")
    return word(data, "step"), data.get("again") is True


def size(columns: Any, rows: Any) -> tuple[int, int]:
    """A terminal's size, within reason."""
    if isinstance(columns, bool) or isinstance(rows, bool) or not isinstance(columns, int) or not isinstance(rows, int):
        raise UsageError("a terminal's size is two numbers")
    return min(max(columns, 2), 500), min(max(rows, 1), 300)
