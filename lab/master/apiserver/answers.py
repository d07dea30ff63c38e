"""What an answer looks like: which form the client accepts, and the JSON of objects, lists and tables in that form. Pure."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.master.api import convert, status, tables
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.watchers import Object

JSON = "application/json"
_AS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
BROWSERS = ("curl", "Wget", "Mozilla/5.0")
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_MEDIA = (JSON, "application/*", "*/*")


@dataclass(frozen=True)
class Form:
    """How a client wants its answer.

    kind      empty for plain objects, else `Table` or `PartialObjectMetadata`
    group     the API version of that form: `meta.k8s.io/v1`
    columns   for tables, `1.7` or `today`; include: what their rows hold of the objects
    pretty    for eyes
    """

    kind: str = ""
    group: str = ""
    columns: str = "today"
    include: str = "Metadata"
    pretty: bool = False


@functools.lru_cache(maxsize=256)
def accepted(header: str) -> Sequence[tuple[str, Mapping[str, str]]]:
    """The media types of an Accept header with their parameters, in the client's order."""
    found = []
    for part in header.split(","):
        media, *parameters = [one.strip() for one in part.split(";")]
        pairs = dict(one.split("=", 1) for one in parameters if "=" in one)
        if media and pairs.get("q") not in ("0", "0.0"):
            found.append((media.lower(), pairs))
    return found


def form_of(accept: str, query: dict[str, str], agent: str, columns: str) -> Form:
    """The form of an answer. Raises Refused when the client accepts none of ours."""
    pretty = query["pretty"] not in ("false", "0") if "pretty" in query else agent.startswith(BROWSERS)
    include = query.get("includeObject") or "Metadata"
    wanted = accepted(accept) or [("*/*", {})]
    for media, parameters in wanted:
        if media not in _MEDIA:
            continue
        kind, group = parameters.get("as", ""), f"{parameters.get('g', '')}/{parameters.get('v', '')}"
        if not kind:
            return Form(pretty=pretty)
        if kind in _AS and group in ("meta.k8s.io/v1", "meta.k8s.io/v1beta1"):
            return Form(kind.removesuffix("List"), group, columns, include, pretty)
    raise Refused(status.not_acceptable([JSON]))


def document(item: Any, pretty: bool = False) -> bytes:
    """An object as JSON text."""
    if pretty:
        return (json.dumps(item, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    return _ENCODER.encode(item).encode("utf-8", "replace")


def one(item: Object, target: Target, form: Form) -> Object:
    """An object as the answer to a request for `target`."""
    shown = convert.served(item, target.version) if item.get("kind") == target.resource.kind else item
    if not form.kind or item.get("kind") != target.resource.kind:
        return shown
    if form.kind == "Table":
        version = item["metadata"].get("resourceVersion", "")
        return _table(target, [shown], form, {"resourceVersion": version})
    return tables.partial(shown, form.group)


def many(items: Sequence[Object], metadata: Object, target: Target, form: Form) -> Object:
    """A list as the answer to a request for `target`."""
    shown = [convert.served(item, target.version) for item in items]
    if form.kind == "Table":
        return _table(target, shown, form, metadata)
    if form.kind:
        return tables.partial_list(shown, metadata, form.group)
    return {"kind": f"{target.resource.kind}List", "apiVersion": target.version, "metadata": metadata, "items": shown}


def event(kind: str, item: Object, target: Target, form: Form, headers: bool) -> bytes:
    """A line of a watch."""
    shown = convert.served(item, target.version)
    if form.kind == "Table":
        rows = [] if kind == "BOOKMARK" else [shown]
        shown = _table(target, rows, form, {"resourceVersion": item["metadata"].get("resourceVersion", "")}, headers)
    elif form.kind:
        shown = tables.partial(shown, form.group)
    return document({"type": kind, "object": shown}) + b"\n"


def _table(target: Target, items: Sequence[Object], form: Form, metadata: Object, headers: bool = True) -> Object:
    return tables.table(target.resource.kind, items, form.columns, time.time(), form.include, form.group, metadata, headers)
