"""The faults that checks of all kinds find, in the apiserver's words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab.master.api import names
from lab.master.api.lenient import is_int
from lab.master.api.status import Fault

Object = dict[str, Any]
PORT = "must be between 1 and 65535, inclusive"
NEGATIVE = "must be greater than or equal to 0"


def required(field: str, detail: str = "") -> Fault:
    """Something is missing."""
    return Fault(field, "FieldValueRequired", detail, "")


def invalid(field: str, value: Any, detail: str) -> Fault:
    """Something is wrong."""
    return Fault(field, "FieldValueInvalid", detail, value)


def forbidden(field: str, detail: str) -> Fault:
    """Something may not be there."""
    return Fault(field, "FieldValueForbidden", detail)


def one_of(field: str, value: Any, allowed: Sequence[str], in_order: bool = True) -> list[Fault]:
    """A value has to be one of these. in_order: the real one names them sorted, but for fields whose values it has in a list of its own."""
    if value in allowed:
        return []
    shown = sorted(allowed) if in_order else allowed
    return [Fault(field, "FieldValueNotSupported", "supported values: " + ", ".join(f'"{one}"' for one in shown), value)]


def port_faults(field: str, value: Any) -> list[Fault]:
    """A port has to be a number of one."""
    return [] if is_int(value) and 1 <= value <= 65535 else [invalid(field, 0 if value is None else value, PORT)]


def label_faults(labels: Object, field: str) -> list[Fault]:
    """Labels have to look as labels do."""
    found = []
    for key, value in labels.items():
        found += [invalid(field, key, says) for says in names.label_key_faults(key)]
        bad = names.label_value_faults(value) if isinstance(value, str) else ["must be a string"]
        found += [invalid(field, value, says) for says in bad]
    return found
