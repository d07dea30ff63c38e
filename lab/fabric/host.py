"""The one thing outside the sandbox that a lab may need: kernel modules, which no namespace can load for itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from lab.fabric.process import SYSTEM_PATH

BRIDGE_SETTINGS = Path("/proc/sys/net/bridge")


def load_modules() -> None:
    """As root, load br_netfilter where the kernel has it as a module that nobody has loaded yet.

    Loading it makes every bridge of the host pass its frames to iptables, because bridge-nf-call-iptables begins as 1 in every network
    namespace: in the host's it is set back to 0 at once, so that the host's bridges go on as before. The sandbox's namespaces are new and
    have their own setting. All other modules that a lab needs come by themselves when something in it asks for them.
    """
    if os.geteuid() != 0 or BRIDGE_SETTINGS.is_dir():
        return
    modprobe = shutil.which("modprobe", path=SYSTEM_PATH)
    if modprobe is None:
        return
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([modprobe, "br_netfilter"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
        for name in ("iptables", "ip6tables", "arptables"):
            (BRIDGE_SETTINGS / f"bridge-nf-call-{name}").write_text("0", encoding="ascii")
