"""What a lab must not change on the host, and which processes come from one test; used by the suite and by bench/survival.py.

What is started with the mark in its environment passes it on to its children, so that a left-over process is known for certain, whatever
else this machine does meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MARK = "LAB_TEST_MARK"
SETTLING = 5.0
"""Seconds that the kernel gets to finish taking away what has ended."""
SETTINGS = (
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/bridge/bridge-nf-call-iptables",
    "kernel/hostname",
    "fs/file-max",
    "net/core/rmem_max",
)


def _rules() -> dict[str, str]:
    """The host's firewall, read by every variant of iptables there is."""
    found = {}
    for tool in ("iptables-nft-save", "iptables-legacy-save"):
        path = shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if path:
            text = subprocess.run([path], capture_output=True, text=True, timeout=30, check=False).stdout
            found[tool] = "\n".join(line.split(" [")[0] for line in text.splitlines() if not line.startswith("#"))
    return found


def host_state() -> dict[str, object]:
    """What a test must not change."""
    return {
        "links": sorted(os.listdir("/sys/class/net")),
        "mounts": sorted(line.split(" ", 4)[4].split(" ")[0] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "named namespaces": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
        "labs": sorted(os.listdir("/run/lab")) if os.path.isdir("/run/lab") else [],
        "rules": _rules(),
        "settings": {key: (Path("/proc/sys") / key).read_text() for key in SETTINGS if (Path("/proc/sys") / key).exists()},
    }


def marked_processes(mark: str) -> dict[int, str]:
    """Processes that carry the mark, this one and its ancestors apart."""
    own = {os.getpid()}
    found = {}
    needle = f"{MARK}={mark}".encode()
    for directory in Path("/proc").iterdir():
        if not directory.name.isdigit() or int(directory.name) in own:
            continue
        try:
            if needle in (directory / "environ").read_bytes():
                found[int(directory.name)] = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
    return found
