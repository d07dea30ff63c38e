"""kube-controller-manager's command line, with the real one's names, as far as the lab has what they are about. Pure."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import NoReturn

from lab.errors import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Flags:
    """What kube-controller-manager was told; times in seconds. `pod_eviction_timeout` None: pods of silent nodes stay."""

    master: str
    allocate_node_cidrs: bool
    cluster_cidr: IPv4Network | None
    node_cidr_mask_size: int
    node_monitor_grace_period: float
    pod_eviction_timeout: float | None
    controllers: tuple[str, ...]


def duration(text: str, flag: str, program: str = "kube-controller-manager") -> float:
    """Seconds of Go's duration text, such as 1m30s. Raises UsageError."""
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"{program}: {flag} {text!r} is no duration; it looks like 40s or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


class Parser(argparse.ArgumentParser):
    """Errors as UsageError, which is one line for people."""

    def error(self, message: str) -> NoReturn:
        """What argparse calls for a wrong command line."""
        raise UsageError(f"{self.prog}: {message}; --help lists the flags")


def switch(text: str) -> bool:
    """A switch's value as Go reads it."""
    values = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return values[text.lower()]


def parse(arguments: Sequence[str], names: Sequence[str]) -> Flags:
    """Read the flags. names: the controllers there are. Raises UsageError, and SystemExit(0) after printing the help."""
    given = _parser(names).parse_args(list(arguments))
    network = None
    if given.cluster_cidr:
        try:
            network = IPv4Network(given.cluster_cidr)
        except ValueError as error:
            raise UsageError(f"kube-controller-manager: --cluster-cidr: {error}") from error
    if given.allocate_node_cidrs and network is None:
        raise UsageError("kube-controller-manager: --allocate-node-cidrs needs --cluster-cidr, such as 10.244.0.0/16")
    if network is not None and not network.prefixlen <= given.node_cidr_mask_size <= 30:
        size = given.node_cidr_mask_size
        raise UsageError(f"kube-controller-manager: --node-cidr-mask-size {size} must lie between {network.prefixlen}, of {network}, and 30")
    eviction = duration(given.pod_eviction_timeout, "--pod-eviction-timeout") if given.pod_eviction_timeout else 0.0
    return Flags(
        given.master,
        given.allocate_node_cidrs,
        network,
        given.node_cidr_mask_size,
        duration(given.node_monitor_grace_period, "--node-monitor-grace-period"),
        eviction or None,
        _chosen(given.controllers.split(","), names),
    )


def _chosen(words: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    for word in words:
        if word != "*" and word.removeprefix("-") not in names:
            raise UsageError(f"kube-controller-manager: --controllers: there is no {word!r}; there are {', '.join(names)}")
    return tuple(name for name in names if f"-{name}" not in words and ("*" in words or name in words))


def _parser(names: Sequence[str]) -> Parser:
    parser = Parser(
        prog="python -m lab.master.controllers",
        allow_abbrev=False,
        description="kube-controller-manager: the loops that make pods of deployments, endpoints of pods, and judge silent nodes.",
        epilog=f"Controllers: {', '.join(names)}.",
    )
    add = parser.add_argument
    add("--master", metavar="URL", default="http://127.0.0.1:8080", help="the apiserver (http://127.0.0.1:8080); also unix:/path")
    add("--cluster-cidr", metavar="CIDR", default="", help="the pod network")
    add("--allocate-node-cidrs", metavar="BOOL", nargs="?", const=True, default=False, type=switch, help="give nodes a podCIDR of it")
    add("--node-cidr-mask-size", metavar="BITS", default=24, type=int, help="prefix length of a node's podCIDR (24)")
    add(
        "--node-monitor-grace-period",
        metavar="TIME",
        default="4s",
        help="a node silent for so long becomes NotReady (4s, so that nobody waits in a lab; the real default is 40s)",
    )
    add(
        "--pod-eviction-timeout",
        metavar="TIME",
        default="",
        help="delete pods of a node that has been NotReady for so long (never; the real default is 5m)",
    )
    add("--controllers", metavar="LIST", default="*", help="which to run: * for all, NAME, -NAME for all but it (*)")
    return parser
