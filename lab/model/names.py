"""Names: what Kubernetes and Linux allow, and what a mistyped one may have meant. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from lab.errors import UsageError

Thing = TypeVar("Thing")

MAX_LABEL = 63
MAX_SUBDOMAIN = 253
MAX_PORT_NAME = 15
MAX_INTERFACE = 15
"""IFNAMSIZ of the kernel, without the final zero byte."""

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z")
_INTERFACE = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9_.]*\Z")
_LABEL_CHARACTERS = f"up to {MAX_LABEL} letters, digits, `-`, `_` and `.`"
_LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?\Z")


def label_trouble(name: str) -> str:
    """Why `name` is no DNS label (RFC 1123), as the end of a sentence; empty when it is one."""
    if len(name) > MAX_LABEL:
        return f"has {len(name)} characters; a name is a hostname and has at most {MAX_LABEL}"
    if not _LABEL.match(name):
        return f"`{name}` is not a DNS label; use lower-case letters, digits and `-`, with a letter or digit at both ends"
    return ""


def subdomain_trouble(name: str) -> str:
    """Why `name` is no DNS subdomain (labels joined by dots), as the end of a sentence; empty when it is one."""
    if len(name) > MAX_SUBDOMAIN:
        return f"has {len(name)} characters; a name has at most {MAX_SUBDOMAIN}"
    if not all(_LABEL.match(part) for part in name.split(".")):
        return f"`{name}` is not a DNS name; use lower-case letters, digits, `-` and `.`, with a letter or digit at both ends"
    return ""


def interface_trouble(name: str) -> str:
    """Why `name` cannot be a network interface of a machine, as the end of a sentence; empty when it can."""
    if len(name) > MAX_INTERFACE:
        return f"`{name}` has {len(name)} characters; the kernel takes at most {MAX_INTERFACE} for an interface"
    if not _INTERFACE.match(name):
        return f"`{name}` is no interface name; use letters, digits, `-`, `_` and `.`"
    return ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` when a known word is close to this one, else nothing."""
    known = list(known)
    lower = {one.lower().replace("_", "").replace("-", ""): one for one in known}
    found = lower.get(word.lower().replace("_", "").replace("-", ""))
    if not found:
        close = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
        found = close[0] if close else None
    return f" (did you mean {found}?)" if found else ""


def pick(what: str, things: Mapping[str, Thing], name: str) -> Thing:
    """The thing of that name; UsageError with a near name, or with those there are. what: the sort of thing, for the message."""
    if name in things:
        return things[name]
    near = difflib.get_close_matches(name, things, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(things)) or 'none'}"
    raise UsageError(f"no {what} is named {name!r}; {hint}")


def one_of(words: Sequence[str]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def shown(value: Any) -> str:
    """A value as it stands in YAML, shortened."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def service_trouble(name: str) -> str:
    """Why a service cannot have this name (RFC 1035 label, v1.7), as the end of a sentence; empty when it can."""
    if not (trouble := label_trouble(name)) and name[0].isdigit():
        return f"`{name}` begins with a digit; a service's name begins with a letter"
    return trouble


def port_name_trouble(name: str) -> str:
    """Why a container port cannot have this name (RFC 6335 service name), as the end of a sentence; empty when it can."""
    if len(name) > MAX_PORT_NAME:
        return f"`{name}` has {len(name)} characters; a port's name has at most {MAX_PORT_NAME}"
    if not _LABEL.match(name) or "--" in name or not re.search("[a-z]", name):
        return f"`{name}` is no port name; use lower-case letters, digits and single `-`, with at least one letter"
    return ""


def label_pair_trouble(key: str, value: str) -> str:
    """Why this is no label of a Kubernetes object, as the end of a sentence; empty when it is one."""
    prefix, slash, name = key.rpartition("/")
    if (slash and subdomain_trouble(prefix)) or not name or not _LABEL_VALUE.match(name):
        return f"`{shown(key)}` is no label key; use {_LABEL_CHARACTERS}, after a DNS name and `/` if you like"
    if not _LABEL_VALUE.match(value):
        return f"`{shown(value)}` is no label value; use {_LABEL_CHARACTERS}"
    return ""
