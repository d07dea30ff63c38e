"""Status objects: how an apiserver says no (and, for a deletion, yes), in the words of the real one. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError
from lab.master.resources import by_kind

Object = dict[str, Any]

REASONS = {
    "FieldValueRequired": "Required value",
    "FieldValueInvalid": "Invalid value",
    "FieldValueNotSupported": "Unsupported value",
    "FieldValueDuplicate": "Duplicate value",
    "FieldValueForbidden": "Forbidden",
    "FieldValueNotFound": "Not found",
    "FieldValueTooLong": "Too long",
    "FieldValueTooMany": "Too many",
    "FieldValueTypeInvalid": "Invalid value",
}
"""What may be wrong with a field, and how messages put it."""

_SHOWN = {"FieldValueInvalid", "FieldValueNotSupported", "FieldValueDuplicate", "FieldValueNotFound", "FieldValueTypeInvalid"}


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in an object: `spec.ports[0].port`, one of REASONS, the sentence, and the value that is wrong."""

    field: str
    reason: str
    detail: str = ""
    bad_value: Any = None

    @property
    def body(self) -> str:
        """The fault without its field: `Invalid value: 0: must be between 1 and 65535, inclusive`."""
        words = REASONS.get(self.reason, self.reason)
        if self.reason in _SHOWN:
            words += f": {_quoted(self.bad_value)}"
        return f"{words}: {self.detail}" if self.detail else words

    def __str__(self) -> str:
        return f"{self.field}: {self.body}"


def status(code: int, reason: str, message: str, details: Object | None = None) -> Object:
    """A Status object of a failure."""
    made: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason}
    if details:
        made["details"] = details
    return made | {"code": code}


failure = status


def success(plural: str, name: str, uid: str = "", group: str = "") -> Object:
    """What a deletion answers when nothing of the object is left."""
    details = _details(plural, name, group) | ({"uid": uid} if uid else {})
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def not_found(plural: str, name: str, group: str = "") -> Object:
    """404: there is no such object."""
    return status(404, "NotFound", f"{_qualified(plural, group)} {_quoted(name)} not found", _details(plural, name, group))


def path_not_found() -> Object:
    """404: the apiserver serves nothing at this path."""
    return status(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(plural: str, name: str, group: str = "") -> Object:
    """409: an object of that name is there."""
    return status(409, "AlreadyExists", f"{_qualified(plural, group)} {_quoted(name)} already exists", _details(plural, name, group))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, name: str, group: str = "", why: str = MODIFIED) -> Object:
    """409: somebody else was faster."""
    message = f"Operation cannot be fulfilled on {_qualified(plural, group)} {_quoted(name)}: {why}"
    return status(409, "Conflict", message, _details(plural, name, group))


def invalid(kind: str, name: str, faults: Sequence[Fault], group: str | None = None) -> Object:
    """422: the object is understood, and wrong. All that is wrong is said at once."""
    group = _group(kind) if group is None else group
    texts = list(dict.fromkeys(str(fault) for fault in faults))
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    message = f"{_qualified(kind, group)} {_quoted(name)} is invalid: {said}"
    causes = [{"reason": fault.reason, "message": fault.body, "field": fault.field} for fault in faults]
    return status(422, "Invalid", message, _details(kind, name, group) | {"causes": causes})


def bad_request(message: str) -> Object:
    """400: the request cannot be understood."""
    return status(400, "BadRequest", message)


def forbidden(plural: str, name: str, why: str, group: str = "") -> Object:
    """403: understood, and not allowed."""
    return status(403, "Forbidden", f"{_qualified(plural, group)} {_quoted(name)} is forbidden: {why}", _details(plural, name, group))


def unauthorized() -> Object:
    """401: the apiserver wants to know who asks."""
    return status(401, "Unauthorized", "Unauthorized")


def method_not_allowed(verb: str = "") -> Object:
    """405: the resource is there but cannot be used so."""
    return status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def gone(message: str = "The resourceVersion for the provided watch is too old.") -> Object:
    """410: what was asked for is no longer kept; list again."""
    return status(410, "Expired", message)


def expired_continue() -> Object:
    """410: a list's continue token is too old."""
    return gone(
        "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter."
    )


def too_large(limit: int) -> Object:
    """413: the body is larger than `limit` bytes."""
    return status(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def unsupported_media(given: str, accepted: Iterable[str]) -> Object:
    """415: the body's content type is none that is understood here."""
    wanted = ", ".join(accepted)
    if not given:
        return status(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - accepted media types include: {wanted}")
    message = f"the body of the request was in an unknown format - accepted media types include: {wanted}"
    return status(415, "UnsupportedMediaType", message)


def not_acceptable(accepted: Iterable[str]) -> Object:
    """406: the answer cannot be given in a form that the client accepts."""
    return status(406, "NotAcceptable", f"only the following media types are accepted: {', '.join(accepted)}")


def apply_conflict(causes: Sequence[tuple[str, str]]) -> Object:
    """409: server-side apply would take fields away from other managers; causes are (`.spec.replicas`, `conflict with "kubectl"`)."""
    by_manager: dict[str, list[str]] = {}
    for field, message in causes:
        by_manager.setdefault(message.removeprefix("conflict with "), []).append(field)
    parts = [
        f"conflict with {manager}: {fields[0]}" if len(fields) == 1 else f"conflicts with {manager}:\n" + "\n".join(f"- {one}" for one in fields)
        for manager, fields in sorted(by_manager.items())
    ]
    plural = "conflict" if len(causes) == 1 else "conflicts"
    message = f"Apply failed with {len(causes)} {plural}: " + ("\n" if len(parts) > 1 and len(causes) > 1 else "").join(parts)
    listed = [{"reason": "FieldManagerConflict", "message": text, "field": field} for field, text in causes]
    return status(409, "Conflict", message, {"causes": listed})


def timeout(message: str = "Timeout: request did not complete within the allotted timeout") -> Object:
    """504: it took too long."""
    return status(504, "Timeout", message)


def unavailable(message: str) -> Object:
    """503: the apiserver, or what it needs, cannot serve now."""
    return status(503, "ServiceUnavailable", message)


def internal_error(message: str) -> Object:
    """500: something behind the apiserver failed."""
    return status(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})


def _qualified(what: str, group: str) -> str:
    return f"{what}.{group}" if group else what


def _details(kind: str, name: str, group: str) -> Object:
    return ({"name": name} if name else {}) | ({"group": group} if group else {}) | {"kind": kind}


def _group(kind: str) -> str:
    try:
        return by_kind(kind).group
    except UsageError:
        return ""


def _quoted(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
