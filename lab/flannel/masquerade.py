"""The nat rules of flannel's --ip-masq, v0.8: what leaves the pod network bears the node's address, what stays in it keeps its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import IPv4Network

from lab.errors import CommandError
from lab.fabric.process import environment

_TIMEOUT = 10.0
"""Seconds for one iptables command; another process may hold its lock for a while."""

_MULTICAST = "224.0.0.0/4"


def rules(network: IPv4Network, subnet: IPv4Network) -> tuple[tuple[str, ...], ...]:
    """The four rules of nat POSTROUTING, in order, each as iptables arguments in the order in which iptables prints them.

    network   all pods; subnet: this node's. The third is new in v0.8: whoever comes from outside to this node's pods keeps its address.
    """
    everywhere, here = str(network), str(subnet)
    return (
        ("-s", everywhere, "-d", everywhere, "-j", "RETURN"),
        ("-s", everywhere, "!", "-d", _MULTICAST, "-j", "MASQUERADE"),
        ("!", "-s", everywhere, "-d", here, "-j", "RETURN"),
        ("!", "-s", everywhere, "-d", everywhere, "-j", "MASQUERADE"),
    )


def missing(wanted: tuple[tuple[str, ...], ...], listing: str) -> tuple[tuple[str, ...], ...]:
    """Those of the rules that `iptables -S POSTROUTING` does not list."""
    present = {line.strip() for line in listing.splitlines()}
    return tuple(rule for rule in wanted if " ".join(("-A", "POSTROUTING", *rule)) not in present)


def ensure(network: IPv4Network, subnet: IPv4Network, log: Callable[[str], None]) -> None:
    """Append the rules that are not there yet. Raises CommandError when iptables fails."""
    lacking = missing(rules(network, subnet), _run("iptables", "-w", "-t", "nat", "-S", "POSTROUTING"))
    for rule in lacking:
        log(f"Adding iptables rule: {' '.join(rule)}")
    if lacking:
        lines = [" ".join(("-A", "POSTROUTING", *rule)) for rule in lacking]
        # Together: one process instead of four, and no moment at which some of them are there.
        _run("iptables-restore", "-w", "--noflush", stdin="\n".join(["*nat", *lines, "COMMIT", ""]))


def _run(*command: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=_TIMEOUT, check=False, env=environment())
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} is not installed; install the package iptables") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{' '.join(command)}` did not end within {_TIMEOUT:g} s") from error
    if done.returncode != 0:
        raise CommandError(f"`{' '.join(command)}` ended with status {done.returncode}: {done.stderr.strip()}")
    return done.stdout
