"""What kube-proxy sets and asks in its node's kernel when it starts, and what it says where it may not."""

from __future__ import annotations

import logging
from pathlib import Path

from lab.kubeproxy.flags import Conntrack

NO_BRIDGE = "missing br-netfilter module or unset sysctl br-nf-call-iptables; proxy may not work as intended"
ROOT = Path("/proc/sys/net")


def route_localnet(log: logging.Logger, root: Path = ROOT) -> None:
    """Let 127.0.0.1 be routed, so that node ports answer there, and warn where rules do not see what crosses a bridge."""
    try:
        (root / "ipv4/conf/all/route_localnet").write_text("1", encoding="ascii")
    except OSError as error:
        log.error("can't set sysctl net/ipv4/conf/all/route_localnet: %s", error.strerror)
    if _read(root / "bridge/bridge-nf-call-iptables") != 1:
        log.warning(NO_BRIDGE)


def conntrack(wanted: Conntrack, cores: int, log: logging.Logger, modern: bool = False, root: Path = ROOT) -> None:
    """Set conntrack's limit and timeouts.

    modern: as today's kube-proxy does, which only raises values; v1.7 sets them. The size of the hash table, which both make a fourth of the
    limit, is one for the whole machine: only its first network namespace may set it, and this one leaves it alone.
    """
    for name, value in (
        ("nf_conntrack_max", wanted.limit(cores)),
        ("nf_conntrack_tcp_timeout_established", int(wanted.established)),
        ("nf_conntrack_tcp_timeout_close_wait", int(wanted.close_wait)),
    ):
        file = root / "netfilter" / name
        present = _read(file)
        if value <= 0 or value == present or (modern and present is not None and present > value):
            continue
        log.info("Setting %s to %d", name, value)
        try:
            file.write_text(str(value), encoding="ascii")
        except OSError as error:
            log.warning("can't set sysctl net/netfilter/%s: %s; it stays at %s", name, error.strerror, present)


def has_ipvs() -> bool:
    """Whether the kernel has ip_vs, and has it loaded."""
    return Path("/proc/net/ip_vs").exists()


def _read(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
