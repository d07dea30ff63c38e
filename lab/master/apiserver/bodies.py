"""Bodies of requests: how much is read, and what is made of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from lab.master.api import openapi, protobuf, status
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.watchers import Object
from lab.master.resources import Resource

LIMIT = 3 * 1024 * 1024
"""Bytes of a body, as with the real one."""

PATIENCE = 30.0
"""Seconds that a client may take for its body."""

DEPTH = 200
"""Levels of a document: more than any object has, and few enough for everything that walks over it."""

APPLY = "application/apply-patch+yaml"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY)
_YAML = ("application/yaml", "application/x-yaml", "text/yaml", APPLY)


def media_of(request: web.BaseRequest) -> str:
    """The content type without its parameters; empty when the client names none."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def read(request: web.BaseRequest) -> bytes:
    """The body. Raises Refused for one that is too large or does not come."""
    if (request.content_length or 0) > LIMIT:
        raise Refused(status.too_large(LIMIT))
    try:
        if request.content.is_eof():  # most come with their header, and need no clock
            return await _limited(request)
        return await asyncio.wait_for(_limited(request), PATIENCE)
    except asyncio.TimeoutError:
        raise Refused(status.timeout()) from None
    except (web.RequestPayloadError, ConnectionError, asyncio.IncompleteReadError):
        raise Refused(status.bad_request("the body of the request broke off")) from None


async def _limited(request: web.BaseRequest) -> bytes:
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > LIMIT:
            raise Refused(status.too_large(LIMIT))
        pieces.append(piece)
    return b"".join(pieces)


def parse(raw: bytes, media: str) -> Any:
    """A document from a body in JSON, YAML or Kubernetes' protobuf. Raises Refused."""
    if media == protobuf.MEDIA:
        return _protobuf(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(status.bad_request("the body of the request is not UTF-8")) from None
    try:
        document = _yaml(text) if media in _YAML and not text.lstrip().startswith(("{", "[")) else _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise Refused(status.bad_request(f"the body of the request could not be read: {error or 'too deep'}")) from None
    if _too_deep(document):
        raise Refused(status.bad_request(f"the object provided is more than {DEPTH} levels deep"))
    return document


def _protobuf(raw: bytes) -> Object:
    try:
        return protobuf.decode(raw)
    except protobuf.ProtobufError as error:
        if error.foreign:
            raise Refused(status.status(415, "UnsupportedMediaType", str(error))) from None
        raise Refused(status.bad_request(f"the body of the request could not be read: {error}")) from None


def item_of(document: Any, resource: Resource, version: str) -> Object:
    """The object of a request. Raises Refused when it is none, or one of another kind."""
    if not isinstance(document, dict):
        raise Refused(status.bad_request(f"the object provided is unrecognized (must be of type {resource.kind})"))
    kind, said = document.get("kind", resource.kind), document.get("apiVersion", version)
    if kind != resource.kind:
        why = f"{kind!s:.100} in version {said!s:.100} cannot be handled as a {resource.kind}: converting ({said!s:.100}.{kind!s:.100})"
        raise Refused(status.bad_request(why))
    if said != version:
        why = f"the API version in the data ({said!s:.100}) does not match the expected API version ({version})"
        raise Refused(status.bad_request(why))
    for field in ("metadata", "spec", "status"):
        if document.get(field) is not None and not isinstance(document[field], dict):
            raise Refused(_mistyped(resource, field, "object"))
    metadata = document.get("metadata") or {}
    for field in ("name", "generateName", "namespace", "resourceVersion", "uid"):
        if metadata.get(field) is not None and not isinstance(metadata[field], str):
            raise Refused(_mistyped(resource, f"metadata.{field}", "string"))
    for field in ("labels", "annotations"):
        pairs = metadata.get(field)
        if pairs is not None and not (isinstance(pairs, dict) and all(isinstance(one, str) for one in pairs.values())):
            raise Refused(_mistyped(resource, f"metadata.{field}", "map of strings"))
    for field in ("finalizers", "ownerReferences"):
        if metadata.get(field) is not None and not isinstance(metadata[field], list):
            raise Refused(_mistyped(resource, f"metadata.{field}", "list"))
    return {key: value for key, value in document.items() if value is not None} | {"metadata": metadata}


def check(item: Object, kind: str, version: str, how: str, old: Object | None = None) -> None:
    """Refuse fields of a wrong type, and with `Strict` fields that the kind does not have. old: the object as it is stored. Raises Refused."""
    said = openapi.type_error(item, kind, version, old) or openapi.base64_error(item, kind, version) or openapi.quantity_error(item, kind, version)
    if not said and how == "Strict":
        said = openapi.strict_error(item, kind, version)
    if said:
        raise Refused(status.bad_request(said))


def _mistyped(resource: Resource, field: str, wanted: str) -> Object:
    return status.bad_request(f"{resource.kind} in version {resource.api_version!r} cannot be handled: {field} is no {wanted}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _yaml(text: str) -> Any:
    import yaml

    class Loader(yaml.SafeLoader):
        """Without aliases: a few lines of them can stand for gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise yaml.YAMLError("aliases are not accepted here")
            return super().compose_node(parent, index)

    # A time or a date without quotes stays the text that it is, as in JSON.
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in pairs if tag != "tag:yaml.org,2002:timestamp"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    try:
        return json.loads(json.dumps(yaml.load(text, Loader)))
    except (yaml.YAMLError, TypeError) as error:
        raise ValueError(str(error)) from None


def _too_deep(document: Any) -> bool:
    level = [document]
    for _ in range(DEPTH):
        level = [
            child for one in level if isinstance(one, (dict, list)) for child in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
