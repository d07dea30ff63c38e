"""Names that kube-proxy gives to service ports and chains (v1.7). Pure."""

from __future__ import annotations

import base64
import hashlib

SERVICE = "KUBE-SVC-"
ENDPOINT = "KUBE-SEP-"
FIREWALL = "KUBE-FW-"
LOCAL = "KUBE-XLB-"
OWN_PREFIXES = (SERVICE, ENDPOINT, FIREWALL, LOCAL)
"""Chains of these names belong to kube-proxy alone: one that no service needs any more is stale."""


def port_name(namespace: str, service: str, port: str) -> str:
    """What comments and hashes call a service's port: `ns/svc:port`; of a port without name the colon stays, `ns/svc:`."""
    return f"{namespace}/{service}:{port}"


def chain(prefix: str, name: str, protocol: str, endpoint: str = "") -> str:
    """A chain's name: the prefix and the first 16 characters of base32(sha256(name + protocol + endpoint)).

    name       as `port_name` gives it
    protocol   tcp or udp, lower case
    endpoint   `IP:PORT` for KUBE-SEP, else empty
    """
    digest = hashlib.sha256(f"{name}{protocol}{endpoint}".encode()).digest()
    return prefix + base64.b32encode(digest[:10]).decode()
