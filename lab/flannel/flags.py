"""flanneld's command line and environment, with the names and defaults of flannel v0.8; --datapath and --route-check are ours. Pure."""

from __future__ import annotations

import argparse
import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any, NoReturn

from lab.errors import UsageError

_DAY = 24 * 60
"""Minutes that a lease lives."""


@dataclass(frozen=True)
class Flags:
    """What flanneld was told. Times in minutes, as flannel's flags have them; `healthz_port` 0 switches the health check off.

    Two are the lab's own: `route_check` in seconds, see lab.flannel.backends.hostgw, and `datapath`, fast or plain, see
    lab.flannel.backends.udp. `net_config_path` is flannel's, though younger than v0.8.
    """

    etcd_endpoints: tuple[str, ...]
    etcd_prefix: str
    iface: tuple[str, ...]
    iface_regex: tuple[str, ...]
    public_ip: IPv4Address | None
    subnet_file: Path
    subnet_lease_renew_margin: int
    ip_masq: bool
    kube_subnet_mgr: bool
    kube_api_url: str
    net_config_path: Path
    healthz_ip: str
    healthz_port: int
    route_check: float
    version: bool
    datapath: str
    verbosity: int


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Flags:
    """Read the flags; like Go's flag package it takes one dash or two. FLANNELD_ variables stand in for flags that are not given.

    Raises UsageError, and SystemExit(0) after printing the help that --help asks for.
    """
    given = vars(_parser().parse_args(list(arguments)))
    values: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        variable = "FLANNELD_" + name.upper()
        if given.get(name) is not None:
            values[name] = given[name]
        elif environ.get(variable):
            values[name] = _from_environment(name, environ[variable], variable)
        else:
            values[name] = default
    return _checked(values, verbosity=given["v"] or 0)


_DEFAULTS: dict[str, Any] = {
    "etcd_endpoints": "http://127.0.0.1:4001,http://127.0.0.1:2379",
    "etcd_prefix": "/coreos.com/network",
    "iface": [],
    "iface_regex": [],
    "public_ip": "",
    "subnet_file": "/run/flannel/subnet.env",
    "subnet_lease_renew_margin": 60,
    "ip_masq": False,
    "kube_subnet_mgr": False,
    "kube_api_url": "",
    "net_config_path": "/etc/kube-flannel/net-conf.json",
    "healthz_ip": "0.0.0.0",
    "healthz_port": 0,
    "route_check": 10.0,
    "version": False,
    "datapath": "fast",
}

_DATAPATHS = ("fast", "plain")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"flanneld: {message}; `python -m lab.flannel --help` lists the flags")


@functools.cache
def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m lab.flannel",
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="flanneld, the daemon that gives a node its subnet and carries packets to the other nodes.",
        epilog="Each flag can also be given as a variable: FLANNELD_IP_MASQ=true. Subnets come from etcd, or with\n"
        "--kube-subnet-mgr from the Node objects of an apiserver; then NODE_NAME, or POD_NAME and POD_NAMESPACE, say which node this is.\n"
        "TLS and passwords for etcd, and --kubeconfig-file, are not part of the lab. SIGUSR1 makes it log its packet counters.",
    )
    parser.add_argument("-etcd-endpoints", "--etcd-endpoints", metavar="URLS", help="a comma-delimited list of etcd endpoints")
    parser.add_argument("-etcd-prefix", "--etcd-prefix", metavar="KEY", help="where flannel's keys are (/coreos.com/network)")
    parser.add_argument(
        "-iface", "--iface", metavar="NAME|IP", action="append", help="interface to the other nodes; repeat: first match"
    )
    parser.add_argument(
        "-iface-regex", "--iface-regex", metavar="REGEX", action="append", help="the same by pattern, after --iface"
    )
    parser.add_argument("-public-ip", "--public-ip", metavar="IP", help="address that other nodes send to (the interface's)")
    parser.add_argument(
        "-subnet-file", "--subnet-file", metavar="FILE", help="where to write the subnet (/run/flannel/subnet.env)"
    )
    parser.add_argument(
        "-subnet-lease-renew-margin",
        "--subnet-lease-renew-margin",
        metavar="MINUTES",
        type=int,
        help="renew this long before expiry (60)",
    )
    _switch(parser, "ip-masq", "masquerade what leaves the pod network")
    _switch(parser, "kube-subnet-mgr", "take the subnet from this node's spec.podCIDR, and the network config from a file")
    parser.add_argument("-kube-api-url", "--kube-api-url", metavar="URL", help="the apiserver, plain HTTP: http://10.229.43.65:8080")
    parser.add_argument(
        "-net-config-path", "--net-config-path", metavar="FILE", help="that network config (/etc/kube-flannel/net-conf.json)"
    )
    parser.add_argument("-healthz-ip", "--healthz-ip", metavar="IP", help="address of the health check (0.0.0.0)")
    parser.add_argument("-healthz-port", "--healthz-port", metavar="PORT", type=int, help="its port, 0 for none (0)")
    parser.add_argument(
        "-route-check", "--route-check", metavar="SECONDS", type=float, help="host-gw: look for deleted routes this often; the lab's own (10)"
    )
    _switch(parser, "version", "print the version and exit")
    parser.add_argument(
        "-datapath",
        "--datapath",
        metavar="fast|plain",
        help="the lab's own: the udp backend moves many packets at a time (fast), or one as flannel's C code does (plain)",
    )
    parser.add_argument("-v", "--v", metavar="N", type=int, help="how much to log: 0 what flannel logs, 1 more")
    return parser


def _switch(parser: argparse.ArgumentParser, name: str, text: str) -> None:
    parser.add_argument(f"-{name}", f"--{name}", nargs="?", const=True, type=_boolean, metavar="true|false", help=text)


def _boolean(text: str) -> bool:
    """A truth value as Go's strconv.ParseBool reads it."""
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _from_environment(name: str, text: str, variable: str) -> Any:
    default = _DEFAULTS[name]
    try:
        if isinstance(default, bool):
            return _boolean(text)
        if isinstance(default, int):
            return int(text)
        if isinstance(default, float):
            return float(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"flanneld: {variable}: {error}") from error
    return [text] if isinstance(default, list) else text


def _checked(values: dict[str, Any], verbosity: int) -> Flags:
    margin = values["subnet_lease_renew_margin"]
    if not 0 < margin < _DAY:
        text = f"Invalid subnet-lease-renew-margin option, out of acceptable range: {margin}; a lease lives {_DAY} minutes"
        raise UsageError(f"flanneld: {text}")
    if not 0 <= values["healthz_port"] <= 65535:
        raise UsageError(f"flanneld: --healthz-port {values['healthz_port']} is not a port; give a number up to 65535")
    if not 0 < values["route_check"] < math.inf:
        raise UsageError(f"flanneld: --route-check {values['route_check']} is no time between two looks; give seconds above 0")
    if values["datapath"] not in _DATAPATHS:
        raise UsageError(f"flanneld: there is no data path {values['datapath']!r}; --datapath takes {' or '.join(_DATAPATHS)}")
    for pattern in values["iface_regex"]:
        try:
            re.compile(pattern)
        except re.error as error:
            raise UsageError(f"flanneld: --iface-regex {pattern!r} is no regular expression: {error}") from error
    endpoints = tuple(each.strip() for each in values["etcd_endpoints"].split(",") if each.strip())
    return _flags(values, endpoints, verbosity)


def _flags(values: dict[str, Any], endpoints: tuple[str, ...], verbosity: int) -> Flags:
    return Flags(
        etcd_endpoints=endpoints,
        etcd_prefix=values["etcd_prefix"],
        iface=tuple(values["iface"]),
        iface_regex=tuple(values["iface_regex"]),
        public_ip=_address(values["public_ip"]),
        subnet_file=Path(values["subnet_file"]),
        subnet_lease_renew_margin=values["subnet_lease_renew_margin"],
        ip_masq=values["ip_masq"],
        kube_subnet_mgr=values["kube_subnet_mgr"],
        kube_api_url=values["kube_api_url"],
        net_config_path=Path(values["net_config_path"]),
        healthz_ip=values["healthz_ip"],
        healthz_port=values["healthz_port"],
        route_check=values["route_check"],
        version=values["version"],
        datapath=values["datapath"],
        verbosity=verbosity,
    )


def _address(text: str) -> IPv4Address | None:
    if not text:
        return None
    try:
        return IPv4Address(text)
    except AddressValueError as error:
        raise UsageError(f"flanneld: invalid public IP address: {text}; give an IPv4 address") from error
