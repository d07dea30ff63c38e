"""Lists: at a resourceVersion, through selectors, in pages."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

from lab.master.api import selectors, status
from lab.master.apiserver.cache import Cache, TooOld
from lab.master.apiserver.errors import Refused
from lab.master.apiserver.paths import Target
from lab.master.apiserver.watchers import Accepts, Object

PATIENCE = 3.0
"""Seconds to wait for a revision that the copy has not seen yet."""


def accepts(target: Target, query: dict[str, str]) -> Accepts:
    """The selectors of a request as one predicate. Raises Refused for one that cannot be understood."""
    tests: list[Callable[[Object], bool]] = []
    try:
        if query.get("labelSelector"):
            tests.append(selectors.parse_labels(query["labelSelector"]))
        if query.get("fieldSelector"):
            tests.append(selectors.parse_fields(query["fieldSelector"], target.resource.kind))
    except selectors.SelectorError as error:
        raise Refused(status.bad_request(str(error))) from None
    return lambda item: all(test(item) for test in tests)


def revision_of(query: dict[str, str]) -> int | None:
    """The query's resourceVersion, None where there is none. Raises Refused."""
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        why = f'resourceVersion: Invalid value: "{text[:100]}": strconv.ParseUint: parsing "{text[:100]}": invalid syntax'
        raise Refused(status.bad_request(why))
    return int(text)


def count_of(query: dict[str, str], name: str) -> int:
    """A number of the query that is not negative, 0 where there is none. Raises Refused."""
    text = query.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) < 12):
        raise Refused(status.bad_request(f'strconv.ParseInt: parsing "{text[:100]}": invalid syntax'))
    return int(text or 0)


async def reach(cache: Cache, revision: int) -> None:
    """Wait for a revision. Raises Refused when it does not come."""
    try:
        await cache.reach(revision, PATIENCE)
    except asyncio.TimeoutError:
        cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        message = f"Too large resource version: {revision}, current: {cache.revision}"
        raise Refused(status.status(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})) from None


async def listed(cache: Cache, target: Target, query: dict[str, str]) -> tuple[list[Object], Object]:
    """The objects that a request asks for, and the metadata of its list. Raises Refused."""
    wanted, limit = accepts(target, query), count_of(query, "limit")
    after, revision = "", revision_of(query)
    token = query.get("continue", "")
    exact = query.get("resourceVersionMatch") == "Exact"
    if token:
        if revision:
            raise Refused(status.bad_request("specifying resource version is not allowed when using continue"))
        revision, after = _read_token(token)
        exact = True
    if revision:
        await reach(cache, revision)
    prefix = target.resource.key("", target.namespace)
    try:
        found = cache.at(prefix, revision) if exact and revision else list(cache.below(prefix))
    except TooOld:
        old = status.gone(f"The resourceVersion for the provided list is too old: {revision}")
        raise Refused(status.expired_continue() if token else old) from None
    at = revision if exact and revision else cache.revision
    items = [(key, item) for key, item in found if key > after and wanted(item)]
    metadata: Object = {"resourceVersion": str(at)}
    if limit and len(items) > limit:
        metadata["continue"] = _token(at, items[limit - 1][0])
        if not query.get("labelSelector") and not query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(items) - limit
        items = items[:limit]
    return [item for _, item in items], metadata


def _token(revision: int, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps({"v": "lab", "rv": revision, "start": key}).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        read = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True))
        revision, start = read["rv"], read["start"]
        if type(revision) is int and 0 < revision < 1 << 62 and isinstance(start, str):
            return revision, start
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise Refused(status.bad_request("continue key is not valid: it is none that a list gave out"))
