"""Every end-to-end test leaves the host as it found it; this fixture says so, or the test fails.

What a test starts carries a mark in its environment, children of children included, so that a left-over process is known for certain,
whatever else this machine does meanwhile.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.fixture(autouse=True)
def host_unchanged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The host has the same links, mounts, namespaces, rules and settings afterwards, and no process of the test is left."""
    mark = uuid.uuid4().hex
    monkeypatch.setenv(MARK, mark)
    before = host_state()
    yield
    deadline = time.monotonic() + SETTLING
    while True:
        left, after = marked_processes(mark), host_state()
        if (not left and after == before) or time.monotonic() > deadline:
            break
    assert not left, f"processes left behind: {left}"
    assert after == before
