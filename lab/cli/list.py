"""`lab list`: scenarios and topologies, one line each."""

from __future__ import annotations

import argparse
from typing import Any

from lab.cli import terminal
from lab.errors import LabError


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("list", help="scenarios and topologies, one line each")
    parser.add_argument("--lang", choices=("en", "zh"), default=terminal.language(), help="language of the titles")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print both lists. A scenario that cannot be loaded is listed with what is wrong."""
    from lab.model import catalog, load
    from lab.report.words import pick
    from lab.scenario import loader

    rows = []
    for folder in catalog.list_scenarios():
        try:
            scenario = loader.load_scenario(folder)
            rows.append(("scenario", scenario.name, pick(scenario.title, args.lang)))
        except LabError as error:
            rows.append(("scenario", folder.name, f"broken: {error}"))
    for path in catalog.list_topologies():
        try:
            topology = load.read_topology(path)
            pods = f"flannel {topology.flannel.backend.type}" if topology.has_flannel else "docker alone"
            text = f"{len(topology.nodes)} nodes, {pods}, kube-proxy {topology.kube_proxy.mode}"
            rows.append(("topology", path.stem, text))
        except LabError as error:
            rows.append(("topology", path.stem, f"broken: {error}"))
    for kind, name, text in rows:
        print(f"{kind}  {name:20} {text}")
    return 0
