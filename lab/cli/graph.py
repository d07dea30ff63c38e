"""`lab graph [WHAT]`: the picture of a topology or scenario before it runs, or of a lab that is up."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.cli import run as run_verb
from lab.cli import terminal, up
from lab.errors import UsageError
from lab.fabric import registry

if TYPE_CHECKING:
    from lab.observe.drawing.picture import Picture
    from lab.observe.graph import Graph, Service

FORMATS = ("svg", "dot", "text", "json")
DEFAULT = "zenlin"
SCHEMA = 1


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("graph", help="the picture of a topology, a scenario, or a lab that is up: SVG, DOT, text, JSON")
    help_what = "a name from `lab list`, or a path; without it the lab that is up, else zenlin"
    parser.add_argument("what", nargs="?", metavar="TOPOLOGY|SCENARIO", help=help_what)
    parser.add_argument("--name", "-n", help="the lab that is up of this name")
    parser.add_argument("--view", choices=("cluster", "service", "flannel"), help="the whole; a service's rules; a packet's way between two nodes")
    parser.add_argument(
        "--service", metavar="NAME", help="which service --view service shows, as NAME or NAMESPACE/NAME; needed when there are several"
    )
    parser.add_argument("--journey", metavar="FILE", help="draw a packet's journey, as JSON, onto the cluster; SVG only")
    run_verb.add_choices(parser)
    parser.add_argument("--format", choices=FORMATS, help="by default that of FILE's ending, else text")
    parser.add_argument("--output", "-o", metavar="FILE", help="write there instead of to standard output")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the words in it")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw, and print or write."""
    text = drawn(graph_of(args), args)
    if args.output is None:
        print(text, end="")
        return 0
    from lab.report import files

    files.replace(Path(args.output), text, "the picture")
    return 0


def graph_of(args: argparse.Namespace) -> Graph:
    """What is to be drawn. Raises UsageError and InputError for what cannot be found or read."""
    from lab.observe import graph

    if args.name is not None and args.what is not None:
        raise UsageError("--name means a lab that is up, and a word a topology or scenario: give one of the two")
    up_now = args.name is not None or (args.what is None and any(entry.running for entry in registry.entries()))
    if up_now:
        from lab.cluster import control

        if args.backend or args.proxy_mode:
            raise UsageError("--backend and --proxy-mode are for a topology or scenario; a lab that is up has its own")
        return graph.from_data(control.ask_graph(registry.pick(args.name).socket))
    _, (topology, objects, pins) = up.declared(args.what or DEFAULT, args.backend, args.proxy_mode)
    return graph.planned(topology, objects, pins)


def drawn(what: Graph, args: argparse.Namespace) -> str:
    """The picture's text in the format that is asked for. Raises UsageError for a view that there is nothing to show in."""
    kind = args.format or ("svg" if args.journey else _by_ending(args.output))
    if args.journey:
        return _journey(what, kind, args)
    service = _service(what, args)
    if kind == "text":
        return _text(what, service, args)
    picture = _picture(what, service, args)
    if kind == "json":
        from lab.observe.graph import to_data

        return json.dumps({"schema": SCHEMA, "graph": to_data(what), "picture": asdict(picture)}, ensure_ascii=False, indent=2) + "\n"
    from lab.observe.drawing import dot, svg

    return dot.render(picture) if kind == "dot" else svg.render(picture)


def _journey(what: Graph, kind: str, args: argparse.Namespace) -> str:
    """A journey on the picture of its cluster. Raises UsageError for a file that is none."""
    if kind != "svg" or args.view not in (None, "cluster") or args.service:
        raise UsageError("--journey is drawn onto the whole cluster, as SVG only")
    from lab.observe.drawing import journey

    try:
        data = json.loads(Path(args.journey).read_text(encoding="utf-8"))
        return journey.render(what, data, args.lang)
    except OSError as error:
        raise UsageError(f"cannot read the journey {args.journey}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"{args.journey} holds no journey as JSON ({type(error).__name__}: {error})"
        raise UsageError(text) from error


def _by_ending(path: str | None) -> str:
    ending = Path(path).suffix[1:] if path else ""
    return {"gv": "dot"}.get(ending, ending if ending in FORMATS else "text")


def _service(what: Graph, args: argparse.Namespace) -> Service | None:
    """The service to show, None for the other views."""
    if args.view in ("cluster", "flannel") and args.service:
        raise UsageError("--service goes with --view service")
    if args.view != "service" and not args.service:
        return None
    if args.service:
        return what.service(args.service)
    if len(what.services) != 1:
        names = ", ".join(sorted(one.name for one in what.services))
        raise UsageError(f"say which service with --service: {names}" if names else "there is no service here; draw a scenario or a lab that is up")
    return what.services[0]


def _text(what: Graph, service: Service | None, args: argparse.Namespace) -> str:
    from lab.report import graphtext

    if service is not None:
        return graphtext.service(what, service, args.lang)
    if args.view == "flannel":
        return graphtext.flannel(what, args.lang)
    columns = shutil.get_terminal_size((120, 24)).columns if args.output is None else 120
    return graphtext.cluster(what, args.lang, columns)


def _picture(what: Graph, service: Service | None, args: argparse.Namespace) -> Picture:
    from lab.observe.drawing import cluster, flannel
    from lab.observe.drawing import service as service_view

    if service is not None:
        return service_view.picture(what, service, args.lang)
    return flannel.picture(what, args.lang) if args.view == "flannel" else cluster.picture(what, args.lang)
