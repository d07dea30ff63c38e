"""The apiserver's command line: kube-apiserver v1.7's names, and a few of the lab's own."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

HISTORY = 10_000
"""Changes that a watch may have missed and still go on from."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The flags. Ends the process with status 2 for wrong ones, as argparse does."""
    parser = argparse.ArgumentParser(prog="python -m lab.master.apiserver", description="The lab's apiserver.")
    flag = parser.add_argument
    flag("--etcd-servers", default="http://127.0.0.1:2379", help="comma separated (%(default)s)")
    flag("--insecure-bind-address", type=_address, default=IPv4Address("127.0.0.1"), help="where plain HTTP listens (%(default)s)")
    flag("--insecure-port", type=_port, default=8080, help="0: no plain HTTP (%(default)s)")
    flag("--bind-address", type=_address, default=IPv4Address("0.0.0.0"), help="where HTTPS listens (%(default)s)")
    flag("--secure-port", type=_port, default=6443, help="0: no HTTPS (%(default)s)")
    flag("--cert-dir", default="/var/run/kubernetes", help="where certificates and keys are kept; empty: nowhere (%(default)s)")
    flag("--advertise-address", type=_address, default=None, help="the back end of the service `kubernetes`; none: no such endpoints")
    flag("--service-cluster-ip-range", type=_network, default=IPv4Network("10.96.0.0/12"), help="(%(default)s)")
    flag("--service-node-port-range", type=_ports, default=range(30000, 32768), help="FIRST-LAST (30000-32767)")
    flag("--kubelet-port", type=_port, default=10250, help="where the kubelets serve logs and commands (%(default)s)")
    flag("--watch-cache-size", type=int, default=HISTORY, help="changes that a watch may go back (%(default)s)")
    flag("--kubernetes-version", default="v1.7.3", help="the lab's own: what /version says (%(default)s)")
    flag("--table-columns", choices=("1.7", "today"), default="today", help="the lab's own: which columns kubectl prints (%(default)s)")
    flag("--unix-socket-fd", type=int, default=None, help="the lab's own: a listening unix socket to serve as well")
    flag("--unix-socket", default="", help="the lab's own: a path to listen on as well, for this user alone")
    return parser.parse_args(argv)


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 address") from None


def _network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise argparse.ArgumentTypeError(f"{text!r} is no IPv4 network such as 10.96.0.0/12") from None


def _port(text: str) -> int:
    if text.isdecimal() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port")


def _ports(text: str) -> range:
    first, dash, last = text.partition("-")
    if dash and first.isdecimal() and last.isdecimal() and 0 < int(first) <= int(last) <= 65535:
        return range(int(first), int(last) + 1)
    raise argparse.ArgumentTypeError(f"{text!r} is no range of ports such as 30000-32767")
