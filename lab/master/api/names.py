"""Names, labels and annotations: what Kubernetes lets them look like, and what it says when they do not. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_ENV = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_KEY = "[-._a-zA-Z0-9]+"

_SAYS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
)
_SAYS_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character"
)
_SAYS_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
    "and must start and end with an alphanumeric character"
)
_SAYS_QUALIFIED = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
_SAYS_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character"
)
_SAYS_KEY = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"


def label_faults(text: str) -> list[str]:
    """What is wrong with an RFC 1123 label, such as a namespace's name."""
    return _long(text, 63) + _shape(text, _LABEL, _SAYS_LABEL, "my-name", "123-abc")


def dns1035_faults(text: str) -> list[str]:
    """What is wrong with an RFC 1035 label, such as a service's name."""
    return _long(text, 63) + _shape(text, _LABEL_1035, _SAYS_1035, "my-name", "abc-123")


def subdomain_faults(text: str) -> list[str]:
    """What is wrong with an RFC 1123 subdomain, such as a pod's name."""
    return _long(text, 253) + _shape(text, _SUBDOMAIN, _SAYS_SUBDOMAIN, "example.com")


def label_key_faults(text: str) -> list[str]:
    """What is wrong with the key of a label or annotation: `app`, `kubernetes.io/hostname`."""
    parts = text.split("/")
    if len(parts) > 2:
        examples = f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
        return [f"a qualified name {_SAYS_QUALIFIED} {examples} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    faults: list[str] = []
    if len(parts) == 2:
        faults += ["prefix part must be non-empty"] if not parts[0] else [f"prefix part {fault}" for fault in subdomain_faults(parts[0])]
    name = parts[-1]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 characters")
    return faults + [f"name part {fault}" for fault in _shape(name, _QUALIFIED, _SAYS_QUALIFIED, "MyName", "my.name", "123-abc")]


def label_value_faults(text: str) -> list[str]:
    """What is wrong with a label's value."""
    return _long(text, 63) + _shape(text, _VALUE, _SAYS_VALUE, "MyValue", "my_value", "12345")


def config_key_faults(text: str) -> list[str]:
    """What is wrong with a key of a ConfigMap."""
    faults = _long(text, 253) + _shape(text, _KEY, _SAYS_KEY, "key.name", "KEY_NAME", "key-name")
    if text in (".", ".."):
        return [*faults, f"must not be '{text}'"]
    return [*faults, "must not start with '..'"] if text.startswith("..") else faults


def env_faults(text: str) -> list[str]:
    """What is wrong with the name of an environment variable."""
    says = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit"
    return _shape(text, _ENV, says, "my.env-name", "MY_ENV.NAME", "MyEnvName1")


def port_name_faults(text: str) -> list[str]:
    """What is wrong with the name of a container's port."""
    faults = ["must be no more than 15 characters"] if len(text) > 15 else []
    if not re.fullmatch("[-a-z0-9]+", text):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", text):
        faults.append("must contain at least one letter (a-z)")
    if "--" in text:
        faults.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults


NAME_RULES: dict[str, Callable[[str], list[str]]] = {"Namespace": label_faults, "Service": dns1035_faults}
"""Kinds whose names are held to more than an RFC 1123 subdomain."""


def _long(text: str, most: int) -> list[str]:
    return [f"must be no more than {most} characters"] if len(text) > most else []


def _shape(text: str, pattern: str, says: str, *examples: str) -> list[str]:
    if re.fullmatch(pattern, text, re.ASCII):
        return []
    quoted = [f"'{example}'" for example in examples]
    shown = quoted[0] + "".join(f",  or {example}" for example in quoted[1:])
    return [f"{says} (e.g. {shown}, regex used for validation is '{pattern}')"]
