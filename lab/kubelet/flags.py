"""The kubelet's command line, with the names of the real one; what is the lab's own says so. Pure."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, NoReturn

from lab.errors import UsageError
from lab.kubelet import protocol


@dataclass(frozen=True)
class Flags:
    """What the kubelet was told. `heartbeat` in seconds; `gso` in bytes, 0 for the kernel's own limit."""

    name: str
    api_server: str
    node_ip: str
    bridge: str
    version: str
    pod_cidr: str
    port: int
    dns: tuple[str, ...]
    domain: str
    labels: tuple[tuple[str, str], ...]
    taints: tuple[tuple[str, str, str], ...]
    heartbeat: float
    max_pods: int
    routes: tuple[str, ...]
    gso: int
    runtime: str
    neighbours: bool


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"kubelet: {message}; `python -m lab.kubelet --help` lists the flags")


def parse(arguments: Sequence[str]) -> Flags:
    """Read the flags. Raises UsageError, and SystemExit(0) after printing the help that --help asks for."""
    given = vars(_parser().parse_args(list(arguments)))
    return _checked(given)


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m lab.kubelet", allow_abbrev=False, description="The kubelet: runs the pods that the apiserver has given to this node."
    )
    add = parser.add_argument
    add("--hostname-override", metavar="NAME", required=True, help="the node's name")
    add("--api-servers", metavar="URL", required=True, help="the apiserver, http://ADDRESS:8080")
    add("--node-ip", metavar="IP", required=True, help="the node's address")
    add("--pod-bridge", metavar="DEVICE", default="cni0", help="the lab's own: the bridge that pods hang on (cni0)")
    add("--kubelet-version", metavar="VERSION", default="v1.7.3", help="the lab's own: what `kubectl get nodes` shows (v1.7.3)")
    add("--pod-cidr", metavar="CIDR", default="", help="spec.podCIDR of the node, if it has none yet")
    add("--port", metavar="N", type=int, default=10250, help="of its own HTTP server (10250)")
    add("--cluster-dns", metavar="IPS", default="", help="the DNS servers of pods, comma-separated")
    add("--cluster-domain", metavar="NAME", default="cluster.local", help="cluster.local")
    add("--node-labels", metavar="K=V,..", default="", help="labels that the node is registered with")
    add("--register-with-taints", metavar="K=V:EFFECT,..", default="", help="taints that it is registered with")
    add("--node-status-update-frequency", metavar="SECONDS", default="3", help="how often it says that it lives (3; the real one 10)")
    add("--max-pods", metavar="N", type=int, default=110, help="110")
    add("--pod-route", metavar="CIDR", action="append", default=[], help="the lab's own: a route by way of the bridge in every pod; repeat")
    add("--pod-gso-max-size", metavar="BYTES", type=int, default=0, help="the lab's own: largest super-packet of a pod's card (0: the kernel's)")
    add("--pod-neighbours", action="store_true", help="the lab's own: tell pods and node each other's MACs; nobody asks by ARP")
    add("--container-runtime-endpoint", metavar="PATH", default=protocol.SOCKET, help=f"the runtime's socket ({protocol.SOCKET})")
    return parser


def _checked(given: dict[str, Any]) -> Flags:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", given["hostname_override"]):
        raise UsageError(f"kubelet: --hostname-override {given['hostname_override']!r} is no name for a node: lower case letters, digits, - and .")
    if not 0 < given["port"] < 65536:
        raise UsageError(f"kubelet: --port {given['port']} is not a port; give a number from 1 to 65535")
    return Flags(
        given["hostname_override"],
        given["api_servers"].split(",")[0],
        _address(given["node_ip"], "--node-ip"),
        given["pod_bridge"],
        given["kubelet_version"],
        _network(given["pod_cidr"], "--pod-cidr"),
        given["port"],
        tuple(_address(one, "--cluster-dns") for one in given["cluster_dns"].split(",") if one),
        given["cluster_domain"],
        tuple(_label(one) for one in given["node_labels"].split(",") if one),
        tuple(_taint(one) for one in given["register_with_taints"].split(",") if one),
        _seconds(given["node_status_update_frequency"]),
        given["max_pods"],
        tuple(_network(one, "--pod-route") for one in given["pod_route"]),
        max(0, given["pod_gso_max_size"]),
        given["container_runtime_endpoint"].removeprefix("unix://"),
        given["pod_neighbours"],
    )


def _address(text: str, flag: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError as error:
        raise UsageError(f"kubelet: {flag} {text!r} is not an IPv4 address") from error


def _network(text: str, flag: str) -> str:
    try:
        return str(IPv4Network(text)) if text else ""
    except ValueError as error:
        raise UsageError(f"kubelet: {flag} {text!r} is not a network such as 10.244.1.0/24") from error


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)?", text)
    seconds = float(found[1]) * {"ms": 0.001, "m": 60.0}.get(found[2] or "s", 1.0) if found else 0.0
    if not seconds:
        raise UsageError(f"kubelet: --node-status-update-frequency {text!r} is no time; give seconds above 0, or 500ms, 10s, 1m")
    return seconds


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise UsageError(f"kubelet: --node-labels: {text!r} is no label; one looks like key=value")
    return key, value


def _taint(text: str) -> tuple[str, str, str]:
    found = re.fullmatch(r"([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)", text)
    if not found:
        raise UsageError(f"kubelet: --register-with-taints: {text!r} is no taint; one looks like key=value:NoSchedule")
    return found[1], found[2] or "", found[3]
