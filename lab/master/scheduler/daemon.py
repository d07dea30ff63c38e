"""kube-scheduler as a process."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lab.errors import LabError
from lab.master.client import ApiClient
from lab.master.controllers.daemon import run, say
from lab.master.controllers.flags import Parser
from lab.master.controllers.loop import Loop
from lab.master.scheduler.choose import NAME, scheduler


def main(arguments: Sequence[str]) -> int:
    """Run until SIGTERM. Returns the exit status: 0, or 2 for a wrong command line."""
    parser = Parser(prog="python -m lab.master.scheduler", allow_abbrev=False, description="kube-scheduler: a node for every pod without.")
    parser.add_argument("--master", metavar="URL", default="http://127.0.0.1:8080", help="the apiserver (http://127.0.0.1:8080)")
    parser.add_argument("--scheduler-name", metavar="NAME", default=NAME, help=f"pods with this schedulerName are its own ({NAME})")
    try:
        given = parser.parse_args(list(arguments))
        client = ApiClient(given.master, agent="kube-scheduler")
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    return run(Loop(client, [scheduler(given.scheduler_name)], log=say))
