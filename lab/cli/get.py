"""`lab get KIND`: the tables that `kubectl get` prints, without a kubectl."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from lab.fabric import registry


def add_parser(subparsers: Any) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("get", help="nodes, pods, svc, endpoints … as kubectl prints them, where there is no kubectl")
    parser.add_argument("--name", "-n", help="which lab; needed when several are up")
    parser.add_argument("--namespace", default="default", metavar="NS", help="the objects' namespace (%(default)s)")
    parser.add_argument("--all-namespaces", "-A", action="store_true", help="of every namespace")
    parser.add_argument("--wide", action="store_true", help="all columns")
    parser.add_argument("kind", metavar="KIND", help="nodes, pods, svc, endpoints, or another one that kubectl knows")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Ask the lab for a table and print it."""
    from lab.cluster import control
    from lab.master import resources
    from lab.report import kubetable

    resource = resources.by_word(args.kind)
    namespace = "" if args.all_namespaces else args.namespace
    request = {"verb": "table", "path": resource.path("", namespace)}
    answer, _ = control.ask(registry.pick(args.name).socket, request)
    everywhere = args.all_namespaces and resource.namespaced
    width = kubetable.OLD_WIDTH if answer["old"] else kubetable.TODAY_WIDTH
    text = kubetable.text(answer["table"], args.wide, everywhere, width)
    if text:
        sys.stdout.write(text)
    else:
        where = f" in {namespace} namespace" if resource.namespaced and namespace else ""
        print(f"No resources found{where}.", file=sys.stderr)
    return 0
