"""Texts that come from other nodes and stand for addresses. Pure."""

from __future__ import annotations

import re

_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}\Z")


def mac_in(value: object) -> str:
    """A unicast MAC address in lower case, empty when `value` is none: the kernel would refuse it."""
    if not isinstance(value, str) or not _MAC.match(value):
        return ""
    mac = value.lower()
    return "" if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00" else mac
