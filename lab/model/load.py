"""Files that people write -> what they declare, or an InputError with every problem in them. Pure but for `read_...`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab.errors import InputError, Problem
from lab.model import checks, manifests, schema, yamlfile
from lab.model.topology import Topology

_SOLID = ("nodes", "clients", "networks", "name", "router")
"""Parts that others are judged by: with a wrong value in one of them, further checks would only guess."""


def read_topology(path: Path, file: str = "") -> Topology:
    """The topology in the file at `path`. `file`: what to call it in messages, by default the path.

    Raises UsageError when the file cannot be read, InputError with all problems when it is wrong.
    """
    shown = file or str(path)
    return load_topology(yamlfile.read_text(path, shown), shown)


def load_topology(text: str, file: str) -> Topology:
    """The topology that `text` declares. `file` is for messages only. Raises InputError with all problems, in file order."""
    tree = _only_document(text, file)
    problems, topology = _validated(tree, file)
    if topology is not None:
        problems += [
            Problem(file, tree.line_of(finding.path), yamlfile.dotted(finding.path), finding.text) for finding in checks.of_topology(topology)
        ]
    if problems or topology is None:
        raise InputError(sorted(problems, key=lambda problem: problem.line))
    return topology


def read_manifests(paths: Iterable[Path]) -> manifests.Objects:
    """The Kubernetes objects of several files together.

    Raises UsageError when a file cannot be read, InputError with all problems of all files.
    """
    return manifests.load_files((yamlfile.read_text(path, str(path)), str(path)) for path in paths)


def _only_document(text: str, file: str) -> yamlfile.Part:
    documents = yamlfile.load_documents(text, file)
    if not documents:
        raise InputError([Problem(file, 0, "", "is empty; topologies/zenlin.yaml shows what belongs in a topology")])
    if len(documents) > 1:
        raise InputError([Problem(file, documents[1].line, "", "a second document begins here; a topology file holds one")])
    if not isinstance(documents[0].value, dict):
        raise InputError([Problem(file, documents[0].line, "", "must be keys and values, such as `name: zenlin`")])
    return documents[0]


def _validated(tree: yamlfile.Part, file: str) -> tuple[list[Problem], Topology | None]:
    """The schema's problems, and what can still be checked: the topology without unknown keys and wrong optional settings."""
    found: list[schema.Found] = []
    topology = schema.read(Topology, tree, (), found.append)
    problems = [Problem(file, tree.line_of(one.path), yamlfile.dotted(one.path), one.text) for one in found]
    return problems, None if any(_is_solid(one) for one in found) else topology


def _is_solid(found: schema.Found) -> bool:
    """Whether something wrong leaves nothing to judge the rest by."""
    return not found.unknown_key and (found.path[0] in _SOLID or str(found.path[-1]).startswith("subnet"))
