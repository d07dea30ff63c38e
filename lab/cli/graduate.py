"""`lab run SCENARIO --kubeconfig FILE`: the scenario's steps on a cluster elsewhere, in place of a lab."""

from __future__ import annotations

import argparse
import contextlib
import functools
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lab.cli import recording, terminal
from lab.errors import ClusterError, LabError, UsageError
from lab.model.text import Text
from lab.report.words import pick
from lab.scenario import runner
from lab.scenario.events import Emit, Event, RunEnded
from lab.scenario.model import Scenario

if TYPE_CHECKING:
    from lab.remote.connect import Connection
    from lab.remote.start import Wanted

WAIT_SECONDS = 180.0
STATUS_NOTHING = 3
"""The exit status when every step was left out: this cluster cannot run the scenario."""

_SHELL = Text("This cluster is elsewhere: from another terminal, `{kubectl}`.", "这个集群在别处：请在另一个终端里用 `{kubectl}`。")
_LOCAL = {
    "--all": "all", "--jobs": "jobs", "--topology": "topology", "--backend": "backend", "--proxy-mode": "proxy_mode",
    "--web": "web", "--web-port": "web_port",
}  # fmt: skip
_REMOTE = {"--context": "context", "--namespace": "namespace", "--node-access": "node_access", "--image": "image", "--wait": "wait"}


class Ended(SystemExit):
    """A signal that asks the process to end: like Ctrl-C, it passes through the step that happens to be running."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"ended by {signal.Signals(self.number).name}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `lab run` that are about a cluster elsewhere."""
    group = parser.add_argument_group("on a Kubernetes cluster elsewhere", "nothing is booted; steps that only a lab can show are left out")
    group.add_argument("--kubeconfig", metavar="FILE", help="run the steps on the cluster of this file, in a namespace of their own")
    group.add_argument("--context", metavar="C", help="the file's context; by default its current one")
    group.add_argument("--namespace", metavar="NS", help="run in this namespace instead of a new one")
    group.add_argument("--node-access", action="store_true", help="run commands on nodes, from a privileged pod on each")
    group.add_argument("--image", action="append", metavar="NAME=IMAGE", help="the image to pull for an image name of the manifests")
    group.add_argument("--wait", type=float, metavar="SECONDS", help=f"how long the pods may take to be ready, {WAIT_SECONDS:g} by default")


def require_sense(args: argparse.Namespace) -> None:
    """Raises UsageError for options that do not go together."""
    remote = args.kubeconfig is not None
    wrong = [
        option for option, name in (_LOCAL if remote else _REMOTE).items() if getattr(args, name) is not None and getattr(args, name) is not False
    ]
    if wrong and remote:
        raise UsageError(f"{', '.join(wrong)} and --kubeconfig exclude each other: what a cluster elsewhere is built of is not the lab's to choose")
    if wrong:
        raise UsageError(f"{', '.join(wrong)}: only together with --kubeconfig FILE")
    if remote and args.step and args.format != "text":
        raise UsageError("--step talks to a person on the terminal: it goes with --format text only")
    if args.wait is not None and not 0 < args.wait <= 86400:
        raise UsageError(f"--wait {args.wait:g}: it is a number of seconds, more than 0 and at most 86400 (a day)")


def run(scenarios: Sequence[Scenario], args: argparse.Namespace) -> int:
    """Run the scenarios one after the other. The worst of their statuses is the result."""
    from lab.remote import connect

    wishes = [_wanted(scenario, args) for scenario in scenarios]
    _require_something(scenarios)
    statuses = []
    with _interruptible(), recording.writers(args) as tell:
        connection = connect.connect(args.kubeconfig, args.context)
        for scenario, want in zip(scenarios, wishes, strict=True):
            statuses.append(_run_one(scenario, want, connection, args, tell))
    return max(statuses)


def _require_something(scenarios: Sequence[Scenario]) -> None:
    """Raises ClusterError for a scenario of which nothing can be run: then nothing is made in vain."""
    for scenario in scenarios:
        why = [scenario.why_lab_only(step).en for step in scenario.steps]
        if all(why):
            reasons = "; ".join(dict.fromkeys(why))
            raise ClusterError(f"{scenario.name}: every step needs what only a lab has: {reasons}. Run it without --kubeconfig")


def _wanted(scenario: Scenario, args: argparse.Namespace) -> Wanted:
    from lab.model import catalog, load
    from lab.remote.start import Wanted, require_namespace

    if args.namespace is not None:
        require_namespace(args.namespace)
    topology = load.read_topology(catalog.find_topology(scenario.topology))
    return Wanted(
        scenario.name,
        load.read_manifests(scenario.manifest_paths),
        tuple(scenario.pins),
        tuple(node.name for node in topology.nodes),
        args.namespace or "",
        {**scenario.images, **_images(args.image or ())},
        WAIT_SECONDS if args.wait is None else args.wait,
        args.node_access,
        args.keep,
    )


def _images(words: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for word in words:
        name, equals, image = word.partition("=")
        if not (name and equals and image):
            raise UsageError(f"--image {word}: write NAME=IMAGE, such as ubuntu=registry.example/tools:1")
        found[name] = image
    return found


def _run_one(scenario: Scenario, want: Wanted, connection: Connection, args: argparse.Namespace, tell: Emit) -> int:
    from lab.remote import start

    screen = terminal.writer(args) if args.format == "text" else None
    ended: list[RunEnded] = []

    def emit(event: Event) -> None:
        tell(event)
        if isinstance(event, RunEnded):
            ended.append(event)
        if screen is not None:
            try:
                screen(event)
            except OSError as error:
                raise terminal.OutputGone(error) from error

    def shell(cluster: Any) -> None:
        kubectl = f"kubectl --kubeconfig {args.kubeconfig} --context {connection.context} -n {cluster.api.namespace} get all"
        print(pick(_SHELL, args.lang).format(kubectl=kubectl), flush=True)

    say: Callable[[str], None] = functools.partial(print, "lab:", file=sys.stderr, flush=True)
    shown = replace(scenario, topology=f"{connection.context} ({connection.server})")
    pause = terminal.pause(args.lang) if args.step else None
    try:
        runner.boot_and_run(shown, lambda progress: start.on(connection, want, progress, say), emit, pause, shell)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return error.status
    return _status(ended[-1])


def _status(ended: RunEnded) -> int:
    if ended.counts.left_out and not ended.counts.passed and ended.counts.left_out == _total(ended):
        print("lab: every step needs what only a lab has: nothing was checked on this cluster", file=sys.stderr)
        return STATUS_NOTHING
    return 0 if ended.ok else 1


def _total(ended: RunEnded) -> int:
    counts = ended.counts
    return counts.passed + counts.failed + counts.skipped + counts.error + counts.left_out


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Inside the block Ctrl-C, SIGTERM and SIGHUP end the run in order: what it made is taken away."""

    def end(number: int, frame: object) -> None:
        raise Ended(number)

    old = {signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler)}
    heard = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores SIGHUP
    old |= {number: signal.signal(number, end) for number in heard}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
