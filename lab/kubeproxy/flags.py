"""kube-proxy's command line, with the names and defaults of v1.7, and --rules-version and --service-cidr, which are ours. Pure.

Today's kube-proxy has no flag for the service network either: it watches the apiserver's ServiceCIDR objects, which the lab's does not have.
"""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network
from typing import NoReturn

from lab.errors import UsageError
from lab.kubeproxy.modes import MODES, RULES_VERSIONS


@dataclass(frozen=True)
class Conntrack:
    """The flags --conntrack-*; 0 leaves a setting as it is.

    absolute      entries at most
    per_core      the same, for each core; `least`: but no fewer than this
    established   seconds after which a silent TCP connection is forgotten; `close_wait`: one that one side has closed
    """

    absolute: int = 0
    per_core: int = 32768
    least: int = 131072
    established: float = 86400.0
    close_wait: float = 3600.0

    def limit(self, cores: int) -> int:
        """How many entries there may be, on a machine with so many cores; 0: as many as there may be anyway."""
        if self.absolute:
            return self.absolute
        return max(self.per_core * cores, self.least) if self.per_core else 0


@dataclass(frozen=True)
class Flags:
    """What kube-proxy was told. Times in seconds; a port of 0 switches its server off."""

    master: str
    hostname_override: str
    cluster_cidr: IPv4Network | None
    proxy_mode: str
    rules_version: str
    min_sync_period: float
    sync_period: float
    quiet_period: float
    masquerade_all: bool
    masquerade_bit: int
    bind_address: IPv4Address
    healthz: tuple[str, int]
    metrics: tuple[str, int]
    udp_timeout: float
    port_range: tuple[int, int] | None
    service_cidr: IPv4Network | None
    conntrack: Conntrack
    cleanup: bool

    @property
    def modern(self) -> bool:
        """Whether today's kube-proxy (v1.33) is meant, not v1.7."""
        return self.rules_version != "1.7" or self.proxy_mode == "nftables"


def parse(arguments: Sequence[str]) -> Flags:
    """Read the flags. Raises UsageError, and SystemExit(0) after printing the help that --help asks for."""
    given = _parser().parse_args(list(arguments))
    if not given.master and not given.cleanup:
        raise _wrong("no apiserver; give --master http://ADDRESS:8080")
    if not 0 <= given.iptables_masquerade_bit <= 31:
        raise _wrong(f"--iptables-masquerade-bit {given.iptables_masquerade_bit} is no bit of a mark; give 0 to 31")
    least, most = _seconds(given.iptables_min_sync_period), _seconds(given.iptables_sync_period)
    if most <= 0 or least > most:
        raise _wrong(f"--iptables-sync-period {given.iptables_sync_period} must be above 0 and not below --iptables-min-sync-period")
    return Flags(
        given.master,
        given.hostname_override,
        _network(given.cluster_cidr, "--cluster-cidr"),
        given.proxy_mode or "iptables",
        given.rules_version,
        least,
        most,
        _seconds(given.quiet_period),
        given.masquerade_all,
        given.iptables_masquerade_bit,
        _address(given.bind_address, "--bind-address"),
        (str(_address(given.healthz_bind_address, "--healthz-bind-address")), _port(given.healthz_port)),
        _endpoint(given.metrics_bind_address),
        _seconds(given.udp_timeout),
        _range(given.proxy_port_range),
        _network(given.service_cidr, "--service-cidr"),
        _conntrack(given),
        given.cleanup,
    )


def _conntrack(given: argparse.Namespace) -> Conntrack:
    counts = (given.conntrack_max, given.conntrack_max_per_core, given.conntrack_min)
    if min(counts) < 0:
        raise _wrong("--conntrack-max, --conntrack-max-per-core and --conntrack-min are numbers from 0 up")
    if given.conntrack_max and given.conntrack_max_per_core:
        raise _wrong("--conntrack-max and --conntrack-max-per-core exclude each other; give --conntrack-max-per-core 0 with the first")
    return Conntrack(*counts, _seconds(given.conntrack_tcp_timeout_established), _seconds(given.conntrack_tcp_timeout_close_wait))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _wrong(f"{message}; `python -m lab.kubeproxy --help` lists the flags")


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m lab.kubeproxy", allow_abbrev=False, description="kube-proxy, which leads a node's packets to services.")
    add = parser.add_argument
    add("--master", default="", metavar="URL", help="the apiserver: http://ADDRESS:8080")
    add("--hostname-override", default="", metavar="NAME", help="the node's name (the host's)")
    add("--cluster-cidr", default="", metavar="CIDR", help="the pod network; without it nothing is masqueraded for coming from outside")
    add("--proxy-mode", default="iptables", choices=("", *MODES), help="how to do it (iptables)")
    add("--rules-version", default="1.7", choices=RULES_VERSIONS, help="the lab's own: iptables rules of which kube-proxy (1.7)")
    add("--iptables-min-sync-period", default="0s", metavar="TIME", help="at least this between two syncs (0s)")
    add("--iptables-sync-period", default="30s", metavar="TIME", help="a full sync at least this often (30s)")
    add("--quiet-period", default="0s", metavar="TIME", help="the lab's own: a sync waits until nothing changed for so long (0s)")
    add("--masquerade-all", nargs="?", const=True, default=False, type=_boolean, help="masquerade everything sent to cluster IPs")
    add("--iptables-masquerade-bit", default=14, type=int, metavar="BIT", help="the bit of the mark for it (14)")
    add("--bind-address", default="0.0.0.0", metavar="IP", help="userspace: where to listen (0.0.0.0)")
    add("--healthz-bind-address", default="0.0.0.0", metavar="IP", help="address of the health check (0.0.0.0)")
    add("--healthz-port", default=10256, type=int, metavar="PORT", help="its port, 0 for none (10256)")
    add("--metrics-bind-address", default="127.0.0.1:10249", metavar="IP:PORT", help="/metrics and /proxyMode (127.0.0.1:10249)")
    add("--udp-timeout", default="250ms", metavar="TIME", help="userspace: how long an idle UDP client is remembered (250ms)")
    add("--proxy-port-range", default="", metavar="A-B", help="userspace: ports to listen on (any)")
    add("--conntrack-max", default=0, type=int, metavar="N", help="connections tracked at most (by cores); with --conntrack-max-per-core 0")
    add("--conntrack-max-per-core", default=32768, type=int, metavar="N", help="the same, for each core (32768); 0 leaves the kernel's")
    add("--conntrack-min", default=131072, type=int, metavar="N", help="but no fewer than this (131072)")
    add("--conntrack-tcp-timeout-established", default="24h", metavar="TIME", help="how long silent connections are remembered (24h)")
    add("--conntrack-tcp-timeout-close-wait", default="1h", metavar="TIME", help="those that one side has closed (1h)")
    add("--service-cidr", default="", metavar="CIDR", help="the lab's own: the service network; nftables drops what goes to nobody there")
    cleanup = "remove kube-proxy's rules, of every mode and version, and exit"
    add("--cleanup-iptables", "--cleanup", dest="cleanup", nargs="?", const=True, default=False, type=_boolean, help=cleanup)
    return parser


def _wrong(text: str) -> UsageError:
    return UsageError(f"kube-proxy: {text}")


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _seconds(text: str) -> float:
    """A time as Go writes it: 30s, 1m30s, 250ms."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)", text)
    if text == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise _wrong(f"{text!r} is no time; write it as 30s, 1m30s or 250ms")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _network(text: str, flag: str) -> IPv4Network | None:
    try:
        return IPv4Network(text) if text else None
    except ValueError as error:
        raise _wrong(f"{flag} {text!r} is no IPv4 network; write it as 10.244.0.0/16") from error


def _address(text: str, flag: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise _wrong(f"{flag} {text!r} is no IPv4 address") from error


def _port(number: int) -> int:
    if not 0 <= number <= 65535:
        raise _wrong(f"{number} is no port; give a number up to 65535")
    return number


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    if not port.isdecimal():
        raise _wrong(f"--metrics-bind-address {text!r} has no port; write it as 127.0.0.1:10249")
    return str(_address(host, "--metrics-bind-address")), _port(int(port))


def _range(text: str) -> tuple[int, int] | None:
    if text in ("", "0", "0-0"):
        return None
    first, _, last = text.partition("-")
    if not (first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535):
        raise _wrong(f"--proxy-port-range {text!r} is no range of ports; write it as 40000-41000")
    return int(first), int(last)
