"""The lab's own servers in one argument of a command line, for pods of a cluster that has nothing of the lab but this. Pure, but for reading them.

A zip archive of the few modules that they need, all of them on nothing but Python's standard library. The pod's python3 keeps it in a
file in memory and imports from there, so nothing is written in the pod.
"""

from __future__ import annotations

import base64
import functools
import io
import zipfile
from pathlib import Path

import lab

MODULES = (
    "__init__",
    "errors",
    "model/__init__",
    "model/objects",
    "workloads/__init__",
    "workloads/__main__",
    "workloads/bookinfo",
    "workloads/bookpage",
    "workloads/echo",
    "workloads/images",
    "workloads/web",
)
"""What `lab.workloads.__main__` imports for bookinfo, echo and web, below the package `lab`."""

# A container's first process does not hear SIGTERM unless it has a handler.
_START = (
    "import base64, os, signal, sys; signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); "
    "f = os.memfd_create('lab'); os.write(f, base64.b64decode({archive!r})); "
    "sys.path.insert(0, f'/proc/self/fd/{{f}}'); from lab.workloads.__main__ import main; sys.exit(main(sys.argv[1:]))"
)


@functools.lru_cache(maxsize=1)
def archive() -> bytes:
    """The archive; the same bytes for the same sources."""
    packed = io.BytesIO()
    root = Path(lab.__file__).resolve().parent
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made:
        for module in MODULES:
            info = zipfile.ZipInfo(f"lab/{module}.py")
            info.compress_type = zipfile.ZIP_DEFLATED
            made.writestr(info, (root / f"{module}.py").read_bytes())
    return packed.getvalue()


def command(*arguments: str) -> list[str]:
    """A container's command that runs `lab.workloads` with these arguments in any image that has python3, 3.10 or newer."""
    return ["python3", "-c", _START.format(archive=base64.b64encode(archive()).decode()), *arguments]
