"""Whether the lab was started in a container, and what that container has to be given. docs/how-to/use-in-ci.md tells how it was found out.

A container's engine takes away what the lab's sandbox needs: system calls by seccomp, mounts by AppArmor, parts of /proc by mounts over
them, devices. Which of these stands in the way can be seen from where a start stops.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

MARKS = {"Docker": "/.dockerenv", "Podman": "/run/.containerenv"}
"""The file that an engine puts into its containers."""

TUN_DEVICE = "give it to the container by `--device /dev/net/tun` (in Kubernetes `privileged: true`); on a host without it: `sudo modprobe tun`"
TUN_MODE = "let the host's root do `chmod 666 /dev/net/tun`, or run the container as root (`--user 0`)"
USER_NAMESPACES = "let the host's root do `sysctl user.max_user_namespaces=10000`"
BRIDGE_NETFILTER = "`sudo modprobe br_netfilter` on the host; a container cannot load it"
ROOT = (
    "root without capabilities cannot stand for itself in a user namespace: start the container as another user (`--user 1000:1000`), or give "
    "root back that one capability (`--cap-add SETFCAP`)."
)
MASKED = "Its /proc is masked, too: `--security-opt systempaths=unconfined` (Podman: `--security-opt unmask=ALL`)."
TELL_THE_ENGINE = "the container has to be started in another way"
NAMESPACES = (
    "The container's seccomp or AppArmor profile refuses namespaces: start it with `--security-opt seccomp=deploy/seccomp.json "
    "--security-opt apparmor=unconfined` (in Kubernetes `privileged: true`)."
)
MOUNTS = (
    "The container's /proc is masked, or its AppArmor profile refuses mounts: start it with `--security-opt systempaths=unconfined "
    "--security-opt apparmor=unconfined` (Podman: `--security-opt unmask=ALL`; in Kubernetes `privileged: true`)."
)


def detect(root: Path = Path("/"), environ: Mapping[str, str] | None = None) -> str:
    """Which engine's container this is: Docker, Podman, Kubernetes, or nothing on a machine of its own."""
    environ = os.environ if environ is None else environ
    if environ.get("KUBERNETES_SERVICE_HOST"):
        return "Kubernetes"
    return next((engine for engine, mark in MARKS.items() if (root / mark.lstrip("/")).exists()), "")


def proc_is_masked(mountinfo: str) -> bool:
    """Whether something is mounted over a part of /proc, from the text of /proc/self/mountinfo; proc_pid_mountinfo(5). Pure."""
    return any(fields[4].startswith("/proc/") for fields in map(str.split, mountinfo.splitlines()) if len(fields) > 4)
