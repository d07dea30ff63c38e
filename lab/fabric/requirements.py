"""What the lab needs of a machine: programs, kernel features, privileges. Says what is missing and how to get it.

`check_machine` is the quick look that `lab run` takes every time; `lab doctor` also tries the kernel's features out (lab.fabric.probes).
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.errors import MachineError
from lab.fabric import container, host, kernel
from lab.fabric.process import SYSTEM_PATH
from lab.model.text import Text

PACKAGES = "packages.txt"
NEEDS = ("setup", "run", "extra", "optional", "test", "bench")
TUN = "/dev/net/tun"
DESCRIPTORS = 256
"""Files that the lab's process must be able to open."""

OPEN_FILES = 65536
"""Files that it may open where the user's hard limit lets it."""

ELSEWHERE = {"kubectl": "it is one program without dependencies, which https://kubernetes.io/docs/tasks/tools/ tells how to put on the PATH"}
"""What to do where a distribution has no package, as Ubuntu for kubectl."""

PYTHON_PACKAGES = {
    "aiohttp": Text("the HTTP servers of the apiserver and the kubelets", "apiserver 和 kubelet 的 HTTP 服务器"),
    "cryptography": Text("the certificate of the apiserver's HTTPS", "apiserver 的 HTTPS 证书"),
    "dnspython": Text("the cluster's DNS server", "集群的 DNS 服务器"),
    "h2": Text("the apiserver's connection to etcd", "apiserver 与 etcd 之间的连接"),
    "httptools": Text("reads the answers of the apiserver and of etcd", "读取 apiserver 和 etcd 的应答"),
    "mininet": Text("nodes, links and a command line", "节点、链路和命令行"),
    "pyroute2": Text("talks to the kernel", "与内核通信"),
    "PyYAML": Text("reads what people write", "读取用户编写的文件"),
}
"""Distribution -> what for. The ranges are in setup.py."""

PYTHON_EXTRAS = {
    "numpy": Text("the fast data path of flannel's udp backend", "flannel udp 后端的快速数据通路"),
    "boto3": Text("flannel's aws-vpc backend", "flannel 的 aws-vpc 后端"),
    "moto": Text("the cloud of flannel's aws-vpc backend", "flannel aws-vpc 后端所用的云"),
    "kubernetes": Text("`lab run --kubeconfig`, on a cluster elsewhere", "`lab run --kubeconfig`，在别处的集群上运行"),
}
"""The same for what the lab runs without, though not in full."""

_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Program:
    """A program, and who brings it.

    need       run: the lab does not start without it; setup, extra, optional, test or bench: only lab.sh, a convenience, some scenarios, the
               tests, a benchmark
    packages   (family, package), in the order Debian, Fedora, Arch
    """

    name: str
    need: str
    why: Text
    packages: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Missing:
    """Something that is not there, and how to get it."""

    what: str
    how: str

    def __str__(self) -> str:
        return f"{self.what}: {self.how}"


def parse_packages(text: str) -> tuple[Program, ...]:
    """The programs of the list file, in its order. Pure. Raises ValueError for a line that is not as the file's head says."""
    programs = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        need, debian, fedora, arch, names, english, chinese = (field.strip() for field in line.split("|"))
        if need not in NEEDS:
            raise ValueError(f"unknown need {need!r}, want one of {', '.join(NEEDS)}: {line}")
        families = (("Debian", debian), ("Fedora", fedora), ("Arch", arch))
        programs += [Program(name, need, Text(english, chinese), families) for name in names.split()]
    return tuple(programs)


def programs() -> tuple[Program, ...]:
    """The list file's programs: of the checkout, or of the installed package."""
    shipped = _PACKAGE / "_data" / PACKAGES
    return parse_packages((shipped if shipped.exists() else _PACKAGE.parent / PACKAGES).read_text(encoding="utf-8"))


def find(name: str) -> str | None:
    """Where a program is, looking in the caller's PATH and the system's directories, as the lab does."""
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")


def how_to_get(program: Program) -> str:
    """The packages that bring a program, and where to get it if a distribution has none."""
    packages = "install " + ", ".join(f"{package} ({family})" for family, package in program.packages)
    return packages + (f"; elsewhere {ELSEWHERE[program.name]}" if program.name in ELSEWHERE else "")


def missing_programs(need: str = "run") -> list[Missing]:
    """The programs of that need that are not there."""
    absent = [one for one in programs() if one.need == need and find(one.name) is None]
    return [Missing(f"program {one.name} ({one.why.en})", how_to_get(one)) for one in absent]


def missing_privileges() -> list[Missing]:
    """What this user may not do on this machine, as far as a look tells."""
    found, contained = [], bool(container.detect())
    if not os.path.exists(TUN):
        how = container.TUN_DEVICE if contained else "`sudo modprobe tun` as root"
        found.append(Missing(TUN, f"flannel's udp backend makes its device through it: {how}"))
    elif not os.access(TUN, os.R_OK | os.W_OK):
        how = container.TUN_MODE if contained else "run the lab with sudo, or let root do `chmod 666 /dev/net/tun`"
        found.append(Missing(f"permission to open {TUN}", how))
    if not kernel.may_administer() and _limit("user/max_user_namespaces") == 0:
        how = container.USER_NAMESPACES if contained else "run the lab with sudo, or let root do `sysctl user.max_user_namespaces=10000`"
        found.append(Missing("user namespaces", how))
    if (hard := _hard_limit()) < DESCRIPTORS:
        how = f"a process may open {hard} files here (`ulimit -Hn`); the lab holds some for each machine and needs {DESCRIPTORS}"
        found.append(Missing("file descriptors", how))
    return found


def _use_descriptors() -> None:
    """Let this process, and so the lab's, open as many files as it may, up to what a node's daemons usually have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_hard_limit(), OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _hard_limit() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard


def missing_kernel_features() -> list[Missing]:
    """What the kernel cannot do, as far as a look tells."""
    if host.BRIDGE_SETTINGS.is_dir():
        return []
    how = container.BRIDGE_NETFILTER if container.detect() else "`sudo modprobe br_netfilter`"
    return [Missing("bridge netfilter (br_netfilter)", f"{how}; without it pods of one node cannot reach each other through a service")]


def _limit(name: str) -> int:
    try:
        return int((Path("/proc/sys") / name).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1  # a kernel without the setting sets no limit


def check_machine() -> None:
    """Refuse at once on a machine that cannot run the lab. Raises MachineError that names all that is missing."""
    host.load_modules()
    _use_descriptors()
    missing = [*missing_programs(), *missing_kernel_features(), *missing_privileges()]
    if missing:
        lines = "\n".join(f"  - {one}" for one in missing)
        raise MachineError(f"this machine lacks something the lab needs:\n{lines}\n`lab doctor` shows everything; `./lab.sh setup` installs packages")
