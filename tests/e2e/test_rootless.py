"""The lab as an ordinary user: no capability outside, all the same green."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.e2e.lab import ROOT, environment

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("the ordinary user's labs")]

UNPRIVILEGED = 54321

BECOME = """
    # In a mount namespace of its own: a /dev/net/tun that everybody may open, as many distributions have it, and directories that the user
    # may not enter made passable. Then become the user for good, and the command.
    import os, stat, sys
    from lab.fabric import kernel

    def passable(path):
        "The directories above a path that others may not enter, from the top."
        parts = [os.sep.join(path.split(os.sep)[:n]) for n in range(2, path.count(os.sep) + 2)]
        return [part for part in parts if not os.stat(part).st_mode & stat.S_IXOTH]

    uid, *command = sys.argv[1:]
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/mnt", "tmpfs", options="mode=755")
    os.mknod("/mnt/tun", 0o666 | stat.S_IFCHR, os.makedev(10, 200))
    os.chmod("/mnt/tun", 0o666)
    kernel.mount("/mnt/tun", "/dev/net/tun", flags=kernel.MS_BIND)
    for wanted in {os.path.realpath(sys.executable), sys.prefix, sys.base_prefix, os.environ["LAB_ROOT"]}:
        for closed in passable(wanted):
            shadow = "/mnt/shadow" + closed.replace("/", "-")
            os.mkdir(shadow)
            kernel.mount(closed, shadow, flags=kernel.MS_BIND | kernel.MS_REC)
            kernel.mount("tmpfs", closed, "tmpfs", options="mode=755")
            for name in os.listdir(shadow):
                target = os.path.join(closed, name)
                if os.path.isdir(os.path.join(shadow, name)):
                    os.mkdir(target)
                    kernel.mount(os.path.join(shadow, name), target, flags=kernel.MS_BIND | kernel.MS_REC)
    if os.environ.get("LAB_IN_CONTAINER"):
        kernel.mount("none", "/sys", flags=kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)
        kernel.mount("tmpfs", "/run", "tmpfs", options="mode=755")
        open("/run/.containerenv", "w").close()
        if os.environ["LAB_IN_CONTAINER"] == "masked":
            kernel.mount("/dev/null", next(filter(os.path.exists, ("/proc/keys", "/proc/timer_list", "/proc/kcore"))), flags=kernel.MS_BIND)
    os.setgroups([])
    os.setresgid(int(uid), int(uid), int(uid))
    os.setresuid(int(uid), int(uid), int(uid))
    os.chdir("/")
    os.execv(command[0], command)
"""


def _as_user(*command: str, timeout: float = 120.0, container: str = "") -> subprocess.CompletedProcess[str]:
    own = environment({"LAB_ROOT": str(ROOT), "HOME": "/", "XDG_RUNTIME_DIR": "", "LAB_IN_CONTAINER": container})
    argv = [sys.executable, "-c", textwrap.dedent(BECOME), str(UNPRIVILEGED), *command]
    return subprocess.run(argv, env=own, capture_output=True, text=True, timeout=timeout, check=False)


def test_the_user_is_really_unprivileged() -> None:
    ran = _as_user(sys.executable, "-c", "import os; print(os.getuid()); os.listdir('/root') if os.getuid() == 0 else None; os.setuid(0)")
    assert ran.stdout == f"{UNPRIVILEGED}\n" and "PermissionError" in ran.stderr


def test_in_a_container_the_doctor_says_what_its_engine_must_be_told() -> None:
    """As the kernel sees it, a container whose /proc is masked, as Docker does it, and one whose /proc is whole."""
    doctor = (sys.executable, "-m", "lab", "doctor", "--lang", "en")
    masked = _as_user(*doctor, container="masked")
    assert masked.returncode == 3 and "systempaths=unconfined" in masked.stdout and "sudo, or allow" not in masked.stdout, masked.stdout
    whole = _as_user(*doctor, container="whole")
    assert whole.returncode == 0 and "this is a container" in whole.stdout, whole.stdout + whole.stderr
    refused = _as_user(sys.executable, "-m", "lab", "run", "nginx-service", container="masked")
    assert refused.returncode == 3 and refused.stdout == "" and "systempaths=unconfined" in refused.stderr


def test_nginx_service_holds_without_root() -> None:
    ran = _as_user(sys.executable, "-m", "lab", "run", "nginx-service")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    assert "checks held" in ran.stdout


def test_a_containers_root_has_no_say_over_namespaces_and_needs_none() -> None:
    """uid 0 as an engine leaves it: without CAP_SYS_ADMIN. It runs the lab in a user namespace, or is told what keeps it from that."""

    def without(*capabilities: str) -> subprocess.CompletedProcess[str]:
        less = ",".join(f"-{one}" for one in capabilities)
        argv = ["setpriv", "--bounding-set", less, "--inh-caps", less, sys.executable, "-m", "lab", "run", "nginx-service"]
        return subprocess.run(argv, env=environment(), capture_output=True, text=True, timeout=120, check=False)

    ran = without("sys_admin")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr
    refused = without("sys_admin", "setfcap")
    assert (refused.returncode, refused.stdout) == (3, "") and "--user 1000:1000" in refused.stderr


@pytest.mark.parametrize("container", ["", "whole"])
def test_a_lab_in_the_background_without_root(container: str) -> None:
    name = f"user-{os.getpid()}"
    script = f"""
        set -e
        lab() {{ {sys.executable} -m lab "$@"; }}
        lab up zenlin --name {name} >&2
        trap 'lab down {name} >&2' EXIT
        lab exec -n {name} zenlinnode1 -- sh -c 'hostname; id -u; timeout 60 sh -c "until ping -c 1 -W 5 10.229.45.161; do sleep 0.1; done" >&2;
            ip route | grep -c flannel0; cat /sys/class/net/flannel0/mtu'
    """
    ran = _as_user("/bin/sh", "-c", textwrap.dedent(script), container=container)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == "zenlinnode1\n0\n1\n1472\n"
    assert not Path(f"/tmp/lab-{UNPRIVILEGED}").exists()
