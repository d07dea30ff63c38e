"""`lab up [WHAT]`: boot a topology, or a scenario's topology and manifests, and leave it running in the background."""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lab.cli import run as run_verb
from lab.cli import web
from lab.cluster.wanted import Wanted, wanted, with_backend
from lab.errors import LabError
from lab.fabric import exhaustion, logfiles, registry, requirements, sandbox
from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.model.topology import Topology

if TYPE_CHECKING:
    from lab.cluster import control


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("up", help="boot a lab and leave it running; `lab exec`, `lab shell` and `lab down` find it")
    parser.add_argument("what", nargs="?", default="zenlin", metavar="TOPOLOGY|SCENARIO", help="a name from `lab list`, or a path")
    run_verb.add_choices(parser)
    parser.add_argument("--name", help="what to call the lab (default: the name of what it is made from)")
    parser.add_argument("--web", action="store_true", help="serve its live page, and print the link, as `lab web` does")
    web.add_port(parser)
    run_verb.add_keep_logs(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Boot it, and say how to go on."""
    default, what = recipe(args.what, args.backend, args.proxy_mode)
    if args.web or args.web_port is not None:
        return web.up(args.name or default, args)
    entry = start(args.name or default, args.what, what, guided(args.what, args.backend, args.proxy_mode), args.keep_logs)
    print(f"{entry.name} is up: `lab shell {what.topology.master.name}`, `lab inspect`, `lab down {entry.name}`")
    return 0


Attend = Callable[[Any], "Mapping[str, control.Verb]"]
"""Called in the lab process with the cluster when it is up; returns what the lab can be asked besides the usual. May raise LabError."""


def start(name: str, source: str, what: Wanted, attend: Attend = lambda cluster: {}, keep_logs: str | None = None) -> registry.Entry:
    """Claim the name, start the sandbox, pass on what it tells until it is ready. Raises LabError; then nothing is left of it.

    source      what the lab is made from, as the user named it
    keep_logs   a directory in which its logs outlive it
    """
    requirements.check_machine()
    registry.require_name(name)
    logs = str(logfiles.kept_in(keep_logs, name)) if keep_logs else ""
    # From here on an interruption has something to take away.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    entry = registry.claim(name, source, logs)
    try:
        return _start(entry, what, attend)
    except BaseException:
        registry.discard(entry.name)
        raise


def recipe(what: str, backend: str | None = None, proxy_mode: str | None = None) -> tuple[str, Wanted]:
    """The lab's default name and what to boot, for the name or path of a topology or scenario. Raises UsageError or InputError."""
    name, parts = declared(what, backend, proxy_mode)
    return name, wanted(*parts)


def declared(what: str, backend: str | None = None, proxy_mode: str | None = None) -> tuple[str, tuple[Topology, Objects, Sequence[Pin]]]:
    """The same, whether or not this machine could run it. Raises as `recipe` does."""
    from lab.model import catalog, load
    from lab.scenario import loader

    if is_scenario(what):
        scenario = loader.load_scenario(catalog.find_scenario(what))
        return scenario.name, run_verb.declared(scenario, backend=backend, proxy_mode=proxy_mode)
    path = catalog.find_topology(what)
    topology = with_backend(load.read_topology(path), backend)
    return topology.name, (topology.with_proxy_mode(proxy_mode) if proxy_mode else topology, Objects(), ())


def is_scenario(what: str) -> bool:
    """Whether the word stands for a scenario, and not for a topology."""
    from lab.model import catalog

    return Path(what).name in {folder.name for folder in catalog.list_scenarios()} or catalog.has(Path(what), catalog.SCENARIO_SCRIPT)


def guided(what: str, backend: str | None, proxy_mode: str | None) -> Attend:
    """For a lab that is made from a scenario: its steps can be run one by one (`lab goto`)."""
    if not is_scenario(what):
        return lambda cluster: {}
    from lab.cli import goto

    return lambda cluster: goto.verbs(what, backend, proxy_mode, cluster)


def _start(entry: registry.Entry, what: Wanted, attend: Attend) -> registry.Entry:
    from lab.cluster import control

    server = control.listen(entry.socket)
    told, tell = os.pipe()
    wait, go = os.pipe()
    entry.log_folder.mkdir(mode=0o700, exist_ok=True)
    log = os.open(entry.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)

    def body() -> int:
        os.close(told)
        os.close(go)
        if not os.read(wait, 1):  # killed before it could write down which process this is: nobody would ever find this lab
            return 1
        with os.fdopen(tell, "w", encoding="utf-8", buffering=1) as channel:
            return _inside(what, server, channel, log, attend)

    farewell = functools.partial(_farewell, exhaustion.kills())
    init = sandbox.spawn(body, False, logfiles.shared(entry.log_folder), farewell, logfiles.chore(entry.logs))
    entry = registry.record(entry, init)
    os.write(go, b"!")
    os.close(go)
    os.close(wait)
    os.close(tell)
    server.close()
    with os.fdopen(told, encoding="utf-8") as channel:
        _follow(entry, channel)
    return entry


def _farewell(kills: int, status: int) -> None:
    """PID 1's part when the lab's process has ended by itself: say so in the lab's log, which is all that will be left.

    kills   what lab.fabric.exhaustion.kills was before
    """
    number = status - 128
    why = f"was killed by signal {number} ({signal.strsignal(number)})" if 0 < number < signal.NSIG else f"ended with status {status}"
    with contextlib.suppress(OSError), (logfiles.LOGS / "lab.log").open("a", encoding="utf-8") as log:
        log.write(f"the lab's process {why}\n" + (f"{words}\n" if status and (words := exhaustion.told(kills)) else ""))


def _follow(entry: registry.Entry, channel: TextIO) -> None:
    """Print the boot's progress until the lab says that it is ready. Raises LabError when it says otherwise, or nothing any more."""
    for line in channel:
        told = json.loads(line)
        if "error" in told:
            error = LabError(told["error"])
            error.status = told["status"]
            raise error
        if "ready" in told:
            return
        if told["seconds"] is not None:
            print(f"  {told['what']:34} {told['seconds'] * 1000:6.0f} ms", flush=True)
    raise LabError(f"the lab ended while it was booting:\n{entry.log.read_text(encoding='utf-8', errors='replace')[-2000:]}")


def _inside(what: Wanted, server: Any, channel: TextIO, log: int, attend: Attend) -> int:
    """The lab process: boot, say so, then answer requests until killed."""
    nothing = os.open("/dev/null", os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)
    from lab.cluster import control
    from lab.cluster.boot import boot

    def progress(what: str, seconds: float | None) -> None:
        channel.write(json.dumps({"what": what, "seconds": seconds}) + "\n")

    try:
        cluster = boot(what, progress)
        verbs = attend(cluster)
    except LabError as error:
        channel.write(json.dumps({"error": str(error), "status": error.status}) + "\n")
        return error.status
    except Exception:
        traceback.print_exc(file=sys.stderr)
        return 70
    channel.write(json.dumps({"ready": True}) + "\n")
    channel.close()
    control.serve(server, cluster, verbs)
    return 0
