"""Makes the machine this process runs in the cloud's network: its kernel's routes follow the cloud's table, and its firewall the checks."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from pyroute2 import IPRoute

from lab.cloud.routes import Instance, Row, Table, changes, guard, table
from lab.errors import CommandError
from lab.fabric.netlink import explain, refusals
from lab.fabric.process import environment
from lab.flannel.metadata import HOST

_LOOPBACK = 1
_TIMEOUT = 10.0


class Router:
    """The kernel of this network namespace. `chain` is the name of the iptables chain for the checks."""

    def __init__(self, chain: str, log: Callable[[str], None]) -> None:
        self._chain = chain
        self._log = log
        self._netlink = IPRoute()
        self._now: Table = {}
        self._guard = ""

    def set_up(self) -> None:
        """Take the metadata service's address, send no redirects, as no cloud does, and let all that is forwarded pass the checks.

        No machine has a route to that address but its default one, so it is the router that answers there.
        """
        try:
            with refusals():
                self._netlink.addr("add", index=_LOOPBACK, address=HOST, prefixlen=32)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        for switch in Path("/proc/sys/net/ipv4/conf").glob("*/send_redirects"):
            switch.write_text("0", encoding="ascii")
        self._restore(guard(self._chain, (), ()))
        jump = ("FORWARD", "-j", self._chain)
        if self._iptables("-C", *jump).returncode != 0:
            self._must(self._iptables("-I", *jump))

    def follow(self, rows: Sequence[Row], instances: Sequence[Instance]) -> None:
        """Bring routes and checks up to date with the cloud's. A row that the kernel cannot have is logged and left out."""
        text = guard(self._chain, instances, rows)
        if text != self._guard:
            self._restore(text)
        wanted = table(rows)
        todo = changes(self._now, wanted)
        for destination in todo.remove:
            self._remove(destination)
        for row in todo.put:
            self._put(row)
        self._now = wanted

    def _remove(self, destination: IPv4Network) -> None:
        try:
            with refusals():
                self._netlink.route("del", dst=str(destination), proto="boot")
        except OSError as error:  # somebody took it away by hand
            self._log(f"route to {destination} not removed: {explain(error)}")
        else:
            self._log(f"ip route del {destination}")

    def _put(self, row: Row) -> None:
        to, how = str(row.destination), {"gateway": str(row.via)} if row.via else {"type": "blackhole"}
        try:
            with refusals():
                self._netlink.route("replace", dst=to, proto="boot", **how)
        except OSError as error:
            self._log(f"no route to {to} via {row.via}: {explain(error)}")
        else:
            self._log(f"ip route replace {to} via {row.via}" if row.via else f"ip route replace blackhole {to}")

    def _restore(self, text: str) -> None:
        self._must(_run(["iptables-restore", "-w", "--noflush"], text))
        self._guard = text

    def _iptables(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return _run(["iptables", "-w", *arguments])

    def _must(self, done: subprocess.CompletedProcess[str]) -> None:
        if done.returncode != 0:
            raise CommandError(f"`{' '.join(done.args)}` ended with status {done.returncode}: {done.stderr.strip()}")


def _run(command: Sequence[str], stdin: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(list(command), input=stdin, capture_output=True, text=True, timeout=_TIMEOUT, check=False, env=environment())
    except FileNotFoundError as error:
        raise CommandError(f"{command[0]} is not installed; install the package iptables") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"`{' '.join(command)}` did not end within {_TIMEOUT:g} s") from error
