"""What the images run that the lab has written itself: `python lab/workloads/__main__.py dns|bookinfo|echo|web …`, in a pod.

It is started by its path, because in a pod neither the working directory nor an installed package leads to the lab.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[2])


def main(argv: list[str]) -> int:
    """Run one of the programs; returns its exit status."""
    program, arguments = argv[0] if argv else "", argv[1:]
    if program == "dns":
        from lab.workloads import dns

        return dns.main(arguments)
    if program == "bookinfo":
        from lab.workloads import bookinfo

        return bookinfo.main(arguments)
    if program == "echo":
        from lab.workloads import echo

        return echo.main(arguments)
    if program == "web":
        from lab.workloads import web

        return web.main(arguments)
    print(f"there is no program {program!r}; there are dns, bookinfo, echo and web", file=sys.stderr)  # noqa: T201 (the container's log)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
