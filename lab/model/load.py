"""Files that people write -> what they declare, or an InputError with every problem in them. Pure but for `read_...`."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lab.errors import InputError, Problem
from lab.model import checks, manifests, yamlfile
from lab.model.names import did_you_mean, one_of, shown
from lab.model.topology import Topology

_SOLID = ("nodes", "clients", "networks", "name", "router")
"""Parts that others are judged by: with a wrong value in one of them, further checks would only guess."""

_TYPES = {
    "string_type": "must be text, in quotes if YAML takes it for something else",
    "int_type": "must be a whole number, without quotes",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "model_type": "must hold keys of its own, indented below it",
    "model_attributes_type": "must hold keys of its own, indented below it",
    "tuple_type": "must be a list, its items beginning with `- `",
}


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
            Problem(file, tree.line_of(finding.path), yamlfile.dotted(finding.path), finding.text)
            for finding in checks.of_topology(topology)
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
    data = tree.plain()
    try:
        return [], Topology.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        errors = error.errors(include_url=False)
    problems = []
    for one in errors:
        loc = one["loc"]
        problems.append(Problem(file, tree.line_of(loc), yamlfile.dotted(loc), _sentence(one)))
        _drop(data, loc, one["type"])
    try:
        return problems, Topology.model_validate(data, by_alias=True, by_name=False)
    except ValidationError:
        return problems, None


def _drop(data: Any, loc: Sequence[str | int], kind: str) -> None:
    """Take out the part at `loc` where the rest keeps its meaning without it."""
    if kind != "extra_forbidden" and (loc[0] in _SOLID or str(loc[-1]).startswith("subnet")):
        return
    for step in loc[:-1]:
        data = data[step]
    if isinstance(data, dict):
        data.pop(loc[-1], None)


def _sentence(error: Mapping[str, Any]) -> str:
    """pydantic's error in the lab's words: what is wrong and what to do."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "lab":
        return str(context["problem"])
    if kind == "extra_forbidden":
        known = keys_at(Topology, error["loc"][:-1])
        return f"unknown key{did_you_mean(str(error['loc'][-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return "is missing; add it"
    if kind == "literal_error":
        choices = [choice.strip("'") for choice in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"cannot be `{shown(error['input'])}`{did_you_mean(str(error['input']), choices)}; use {one_of(choices)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        bound = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return f"is {shown(error['input'])}; it must be {bound}"
    said = _TYPES.get(kind, "")
    return f"is {shown(error['input'])}; it {said}" if said else f"is wrong: {error['msg']}"


def keys_at(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """The keys, as YAML spells them, that the model takes at `path`."""
    for step in path:
        if isinstance(step, int):
            continue
        fields = {field.alias or name: field.annotation for name, field in model.model_fields.items()}
        model = _model_in(fields.get(step)) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, list, Union, types.UnionType):
        return next((model for model in map(_model_in, get_args(annotation)) if model), None)
    return None
