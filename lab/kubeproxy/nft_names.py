"""Names of chains and sets in kube-proxy's nftables mode. Pure.

Unlike iptables' 28 characters, nftables has room for what a chain is about: the hash is there to tell names apart at a glance, and to keep
a name unique that had to be cut.
"""

from __future__ import annotations

import base64
import functools
import hashlib

from lab.kubeproxy.backends import Backend, ServicePortView

SERVICE = "service-"
LOCAL = "local-"
EXTERNAL = "external-"
FIREWALL = "firewall-"
ENDPOINT = "endpoint-"
AFFINITY = "affinity-"

LONGEST = 240
"""nftables' 256 characters less 16 for the prefix."""


@functools.lru_cache(maxsize=1 << 16)
def hashed(name: str) -> str:
    """`ULMVA6XW-ns1/svc1/tcp/p80` for `ns1/svc1/tcp/p80`: the first 8 characters of base32(sha256(name)), and the name, cut at 240."""
    whole = f"{base64.b32encode(hashlib.sha256(name.encode()).digest()[:5]).decode()}-{name}"
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 3]}..."


def _plain(one: ServicePortView) -> str:
    return f"{one.service.namespace}/{one.service.name}/{one.protocol}/{one.port.name}"


def of_service(prefix: str, one: ServicePortView) -> str:
    """A chain of a service port; of a port without name it ends in a slash."""
    return prefix + hashed(_plain(one))


def of_endpoint(prefix: str, one: ServicePortView, backend: Backend) -> str:
    """The chain, or the affinity set, of one back end of a service port: `endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80`."""
    return prefix + hashed(f"{_plain(one)}__{backend.ip}/{backend.port}")


def shown(one: ServicePortView) -> str:
    """What comments call a service port today: `ns/svc:port`, without port name `ns/svc`."""
    return one.name.removesuffix(":")


def is_of_service(chain: str) -> bool:
    """Whether a chain belongs to some service: only those have a slash in their name."""
    return "/" in chain
