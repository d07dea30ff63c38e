"""`lab run SCENARIO...`: boot, walk through, check, take down."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from lab.cli import graduate, jobs, recording, shard, terminal, web
from lab.cluster import wanted
from lab.errors import LabError, UsageError
from lab.fabric import exhaustion, logfiles, requirements, sandbox
from lab.model import catalog, checks, load
from lab.model.manifests import Objects
from lab.model.pins import Pin
from lab.model.topology import BACKEND_OPTIONS, PROXY_MODES, Topology
from lab.report.words import Language
from lab.scenario import loader, runner
from lab.scenario.events import Emit, Pictured, StageChanged
from lab.scenario.model import Scenario

KILLED = "lab: the lab's process was killed (SIGKILL); everything it made is gone"

TOLD_TO_END = frozenset(128 + number for number in sandbox.PASSED_ON)
"""Statuses of a run that somebody has ended: no other one is begun after it."""


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("run", help="boot a scenario's cluster, walk through it, check every claim, take it down")
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="a name from `lab list`, or a folder")
    parser.add_argument("--all", action="store_true", help="run every scenario of `lab list`")
    parser.add_argument("--shard", metavar="K/N", help="run only the K-th of N shares of the scenarios, as one of several machines")
    parser.add_argument("--jobs", metavar="N", type=int, help="run up to N scenarios at a time (1)")
    parser.add_argument("--topology", metavar="T", help="boot this topology instead of the scenario's own")
    add_choices(parser)
    step = "show what every stage of the boot changes, and wait for a key after it and before every step"
    parser.add_argument("--step", action="store_true", help=step)
    parser.add_argument("--keep", "--cli", action="store_true", help="afterwards stay in Mininet's CLI with the lab up")
    parser.add_argument("--web", action="store_true", help="run the steps from the lab's live page: print the link, stay until Ctrl-C")
    web.add_port(parser)
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the texts")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json: one document on stdout, nothing else")
    parser.add_argument("--junit", metavar="FILE", help="write a JUnit XML report")
    parser.add_argument("--html", metavar="FILE", help="write a report for people: one HTML file that needs nothing else")
    add_keep_logs(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="show long outputs in full")
    graduate.add_options(parser)
    parser.set_defaults(run=run)


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add --backend and --proxy-mode, which `run` and `up` share."""
    parser.add_argument("--backend", choices=tuple(BACKEND_OPTIONS), help="let flannel use this backend instead of the one declared")
    parser.add_argument("--proxy-mode", choices=PROXY_MODES, help="let kube-proxy use this mode instead of the one declared")


def add_keep_logs(parser: argparse.ArgumentParser) -> None:
    """Add --keep-logs, which `run` and `up` share."""
    parser.add_argument("--keep-logs", metavar="DIR", help="let every daemon's log outlive the lab, in a folder of DIR named after it")


def run(args: argparse.Namespace) -> int:
    """Run the scenarios, one after the other or some at a time, each in a sandbox of its own. The worst of their statuses is the result."""
    graduate.require_sense(args)
    scenarios = [loader.load_scenario(path) for path in _folders(args)]
    if args.kubeconfig is not None:
        return graduate.run(scenarios, args)
    recipes = [recipe(scenario, args.topology, args.backend, args.proxy_mode) for scenario in scenarios]
    if (args.step or args.keep) and args.format != "text":
        raise UsageError("--step and --keep talk to a person on the terminal: they go with --format text only")
    most = 1 if args.jobs is None else args.jobs
    if most < 1 or (most > 1 and (args.step or args.keep)):
        raise UsageError(f"--jobs {most}: give a number from 1 up; --step and --keep talk to one lab and go without it")
    if args.keep and len(scenarios) > 1:
        raise UsageError("--keep stays in one lab: name one scenario")
    on_page = args.web or args.web_port is not None
    unfit = args.all or args.shard or args.jobs or args.topology or args.step or args.keep or args.junit or args.html
    if on_page and (unfit or len(scenarios) > 1 or args.format != "text"):
        raise UsageError("--web stays in one scenario's lab: name one, without --jobs, --topology, --step, --keep, --format, --junit and --html")
    requirements.check_machine()
    if on_page:
        return web.attend(scenarios[0].name, args.scenarios[0], args)
    statuses = []
    with recording.writers(args) as tell:
        if most > 1:
            return _several(scenarios, recipes, args, tell, most)
        for scenario, what in zip(scenarios, recipes, strict=True):
            statuses.append(_run_one(scenario, what, args, tell))
            if statuses[-1] in TOLD_TO_END:
                break
    return max(statuses)


def _folders(args: argparse.Namespace) -> list[Any]:
    if args.all == bool(args.scenarios):
        raise UsageError("name a scenario, or --all for every one; `lab list` shows them")
    folders = list(catalog.list_scenarios()) if args.all else [catalog.find_scenario(word) for word in args.scenarios]
    return shard.parse(args.shard).of(folders) if args.shard is not None else folders


def recipe(scenario: Scenario, topology: str | None = None, backend: str | None = None, proxy_mode: str | None = None) -> wanted.Wanted:
    """What a scenario wants to have booted; `topology`, `backend` and `proxy_mode` take the place of its own.

    Raises InputError for a wrong topology or manifest, all manifests' problems at once; UsageError for a backend or mode that it does not run with.
    """
    return wanted.wanted(*declared(scenario, topology, backend, proxy_mode))


def declared(
    scenario: Scenario, topology: str | None = None, backend: str | None = None, proxy_mode: str | None = None
) -> tuple[Topology, Objects, Sequence[Pin]]:
    """The same, whether or not this machine could run it. Raises as `recipe` does."""
    objects = load.read_manifests(scenario.manifest_paths)
    cluster = load.read_topology(catalog.find_topology(topology or scenario.topology))
    _require_backend(scenario, cluster, backend or scenario.backend or cluster.flannel.backend.type)
    mode = proxy_mode or scenario.proxy_mode or cluster.kube_proxy.mode
    if mode not in scenario.proxy_modes:
        known = ", ".join(scenario.proxy_modes)
        raise UsageError(f"the scenario {scenario.name} does not run with kube-proxy's mode {mode}, only with {known}")
    cluster = wanted.with_backend(cluster, backend or scenario.backend).with_proxy_mode(mode)
    return cluster, objects, scenario.pins


def _require_backend(scenario: Scenario, cluster: Topology, backend: str) -> None:
    if scenario.backends and backend not in scenario.backends:
        text = f"the scenario {scenario.name} does not run with flannel's backend {backend}, only with {', '.join(scenario.backends)}"
        reasons = [finding.text for finding in checks.backend_trouble(cluster.with_backend(backend))]
        raise UsageError("; ".join([text, *reasons]))


def _several(scenarios: Sequence[Scenario], recipes: Sequence[wanted.Wanted], args: argparse.Namespace, tell: Emit, most: int) -> int:
    """Run some at a time, at most so many. Each is told on the screen as a whole, when it and those before it have ended."""
    recordings = [recording.Recording() for _ in scenarios]

    def work(number: int) -> int:
        try:
            return _in_sandbox(scenarios[number], recipes[number], args, recordings[number], live=False)
        except LabError as error:
            print(f"lab: {error}", file=sys.stderr)
            return error.status

    def done(number: int) -> None:
        screen = terminal.writer(args) if args.format == "text" else None
        for event in recordings[number].replay(scenarios[number]):
            tell(event)
            if screen is not None:
                screen(event)

    all_of_them = jobs.Jobs([partial(work, number) for number in range(len(scenarios))], most)
    statuses = all_of_them.run(done)
    return max([*statuses, 128 + all_of_them.told_to_end if all_of_them.told_to_end else 0])


def _run_one(scenario: Scenario, what: wanted.Wanted, args: argparse.Namespace, tell: Emit) -> int:
    events = recording.Recording()
    status = _in_sandbox(scenario, what, args, events, live=True)
    for event in events.replay(scenario):
        tell(event)
    return status


def _in_sandbox(scenario: Scenario, what: wanted.Wanted, args: argparse.Namespace, events: recording.Recording, live: bool) -> int:
    """Run a scenario in a sandbox; returns its status. `live`: on the screen while it happens."""
    shared = logfiles.shared(logfiles.kept_in(args.keep_logs, scenario.name)) if args.keep_logs else {}
    before = exhaustion.kills()
    status = sandbox.run(lambda: _inside(scenario, what, args, events, live), shared, logfiles.chore(args.keep_logs))
    if status == 128 + signal.SIGKILL:
        print(KILLED, file=sys.stderr)
    if status and (words := exhaustion.told(before)):
        print(f"lab: {words}", file=sys.stderr)
    return status


def _watching(emit: Emit, lang: Language) -> Callable[[str, Any], None]:
    """Step mode during the boot: after each stage, tell what it changed and wait for a key."""
    from lab.cluster import look
    from lab.observe import snapshot

    before = snapshot.Snapshot()

    def after(stage: str, cluster: Any) -> None:
        nonlocal before
        now = look.at(cluster)
        emit(StageChanged(stage, snapshot.changes(before, now)))
        before = now
        terminal.pause_boot(lang, lambda: _mininet(cluster, terminal.BOOT_HINT[lang]))

    return after


def _mininet(cluster: Any, hint: str) -> None:
    from lab.fabric.mininet import interact

    print(hint, flush=True)
    interact(cluster.network)


def _inside(scenario: Scenario, what: wanted.Wanted, args: argparse.Namespace, events: recording.Recording, live: bool) -> int:
    """The lab process: everything here happens in the sandbox, and ends with it."""
    from lab.cluster.boot import boot
    from lab.cluster.state import graph_of
    from lab.observe import graph

    screen = terminal.writer(args) if live and args.format == "text" else None
    gone: list[terminal.OutputGone] = []

    def emit(event: Any) -> None:
        events(event)
        if screen is not None and not gone:
            try:
                screen(event)
            except OSError as error:
                gone.append(terminal.OutputGone(error))
                raise gone[0] from error

    @contextlib.contextmanager
    def booted(progress: Callable[[str, float | None], None]) -> Iterator[Any]:
        if args.html:
            events(Pictured(graph.to_data(graph.planned(what.topology, what.objects, what.pins))))
        cluster = boot(what, progress, _watching(emit, args.lang) if args.step else None)
        if args.html:
            events(Pictured(graph.to_data(graph_of(cluster))))
        yield cluster

    def mininet(cluster: Any) -> None:
        _mininet(cluster, terminal.CLI_HINT[args.lang])

    try:
        pause = terminal.pause(args.lang) if args.step else None
        ended = runner.boot_and_run(scenario, booted, emit, pause, mininet, mininet if args.keep else None)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130
    return 0 if ended.ok else 1
