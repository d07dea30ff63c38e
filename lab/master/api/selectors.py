"""Label and field selectors: the text of a query parameter becomes a predicate over objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lab.errors import UsageError
from lab.master.api.names import label_key_faults, label_value_faults

Object = dict[str, Any]
Predicate = Callable[[Object], bool]
Requirement = Callable[[Mapping[str, str]], bool]


class SelectorError(UsageError):
    """A selector that cannot be understood; the message is the apiserver's."""


_TOKEN = re.compile(r"\s*(==|!=|=|!|<|>|,|\(|\)|[^\s=!<>,()]+)")

FIELDS = {
    "Pod": ("metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName")
    + ("spec.hostNetwork", "status.phase", "status.podIP", "status.nominatedNodeName"),
    "Node": ("metadata.name", "spec.unschedulable"),
    "Namespace": ("metadata.name", "status.phase"),
    "Service": ("metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"),
    "ReplicaSet": ("metadata.name", "metadata.namespace", "status.replicas"),
    "Event": ("metadata.name", "metadata.namespace", "involvedObject.kind", "involvedObject.namespace", "involvedObject.name")
    + ("involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason")
    + ("reportingComponent", "source", "type"),
}
"""What objects of a kind can be selected by, beyond metadata.name and metadata.namespace."""

_DEFAULTS = {"spec.unschedulable": "false", "spec.hostNetwork": "false", "status.replicas": "0"}


def parse_labels(text: str) -> Predicate:
    """`a=b,c in (d,e),!f` as a predicate over objects; an empty selector takes all. Raises SelectorError."""
    requirements = label_requirements(text)

    def matches(item: Object) -> bool:
        labels = _labels(item)
        return all(one(labels) for one in requirements)

    return matches


def label_requirements(text: str) -> list[Requirement]:
    """The parts of a label selector, each a predicate over labels. Raises SelectorError."""
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        found = _TOKEN.match(text, position)
        assert found, "every character is a token of some kind"
        tokens.append(found[1])
        position = found.end()
    made: list[Requirement] = []
    while tokens:
        made.append(_requirement(tokens))
        if tokens:
            if tokens[0] != ",":
                raise SelectorError(f"unable to parse requirement: found '{tokens[0]}', expected: ',' or 'end of string'")
            tokens.pop(0)
            if not tokens:
                raise SelectorError("unable to parse requirement: found '', expected: identifier after ','")
    return made


def _requirement(tokens: list[str]) -> Requirement:
    if tokens[0] == "!":
        tokens.pop(0)
        key = _key(tokens)
        return lambda labels: key not in labels
    key = _key(tokens)
    if not tokens or tokens[0] == ",":
        return lambda labels: key in labels
    operator = tokens.pop(0)
    if operator in ("=", "=="):
        value = _value(tokens, key)
        return lambda labels: labels.get(key) == value
    if operator == "!=":
        value = _value(tokens, key)
        return lambda labels: labels.get(key) != value
    if operator in ("<", ">"):
        return _compared(key, operator, _value(tokens, key))
    if operator in ("in", "notin"):
        values = _values(tokens, key)
        return (lambda labels: key in labels and labels[key] in values) if operator == "in" else (lambda labels: labels.get(key) not in values)
    raise SelectorError(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")


def _compared(key: str, operator: str, bound: str) -> Requirement:
    try:
        limit = int(bound)
    except ValueError:
        raise SelectorError(f"values[0][{key}]: Invalid value: \"{bound}\": for 'Gt', 'Lt' operators, the value must be an integer") from None

    def holds(labels: Mapping[str, str]) -> bool:
        try:
            value = int(labels[key])
        except (KeyError, ValueError):
            return False
        return value > limit if operator == ">" else value < limit

    return holds


def _key(tokens: list[str]) -> str:
    key = tokens.pop(0) if tokens else ""
    if key in ("", "=", "==", "!=", "!", "<", ">", ",", "(", ")"):
        raise SelectorError(f"unable to parse requirement: found '{key}', expected: identifier")
    for fault in label_key_faults(key):
        raise SelectorError(f'unable to parse requirement: <nil>: Invalid value: "{key}": {fault}')
    return key


def _value(tokens: list[str], key: str) -> str:
    if not tokens or tokens[0] == ",":
        return ""
    value = tokens.pop(0)
    if value in ("=", "==", "!=", "!", "<", ">", "(", ")"):
        raise SelectorError(f"unable to parse requirement: found '{value}', expected: identifier")
    _check_value(value, key)
    return value


def _values(tokens: list[str], key: str) -> frozenset[str]:
    if not tokens or tokens.pop(0) != "(":
        raise SelectorError("unable to parse requirement: found '', expected: '('")
    values, word = [], ""
    while tokens:
        token = tokens.pop(0)
        if token in (",", ")"):
            _check_value(word, key)
            values.append(word)
            word = ""
            if token == ")":
                return frozenset(values)
        elif word or token in ("=", "==", "!=", "!", "<", ">", "("):
            raise SelectorError(f"unable to parse requirement: found '{token}', expected: ',', or ')'")
        else:
            word = token
    raise SelectorError("unable to parse requirement: found '', expected: ',', or ')'")


def _check_value(value: str, key: str) -> None:
    for fault in label_value_faults(value):
        raise SelectorError(f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {fault}')


def parse_fields(text: str, kind: str) -> Predicate:
    """`metadata.name=x,status.phase!=Running` as a predicate over objects of a kind. Raises SelectorError."""
    known = FIELDS.get(kind, ()) + ("metadata.name", "metadata.namespace")
    terms: list[tuple[str, bool, str]] = []
    for part in _parts(text):
        path, operator, value = _field_term(part)
        if path not in known:
            raise SelectorError(f"field label not supported: {path}" if kind != "Node" else f'field label "{path}" not supported for Node')
        terms.append((path, operator != "!=", value))

    def matches(item: Object) -> bool:
        return all((field_value(item, path) == value) == wanted for path, wanted, value in terms)

    return matches


def field_of(text: str, path: str) -> str | None:
    """The value that a field selector demands for a path (`metadata.name`), None when it does not; for quick look-ups."""
    for part in _parts(text):
        name, operator, value = _field_term(part)
        if name == path and operator != "!=":
            return value
    return None


def _parts(text: str) -> list[str]:
    return [part for part in (re.sub(r"\\([,=\\])", lambda found: chr(0xE000 + ord(found[1])), text)).split(",") if part.strip()]


def _field_term(part: str) -> tuple[str, str, str]:
    found = re.match(r"\s*([^=!]+?)(==|!=|=)(.*)", part, re.DOTALL)
    if not found:
        raise SelectorError(f"invalid selector: '{_unescaped(part)}'; can't understand '{_unescaped(part)}'")
    return found[1], found[2], _unescaped(found[3].strip())


def _unescaped(text: str) -> str:
    return re.sub("[\ue02c\ue03d\ue05c]", lambda found: chr(ord(found[0]) - 0xE000), text)


def field_value(item: Object, path: str) -> str:
    """What a field selector compares with: the field's text, empty where it is unset."""
    value: Any = item
    if path == "source":
        path = "source.component"
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    if value is None:
        return _DEFAULTS.get(path, "")
    return str(value).lower() if isinstance(value, bool) else str(value)


def matches_selector(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether labels fit a LabelSelector (`matchLabels`, `matchExpressions`). An empty one fits all, None and a broken one fit nothing."""
    if not isinstance(selector, dict):
        return False
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    if not isinstance(wanted, dict) or not isinstance(expressions, list):
        return False
    return all(labels.get(key) == value for key, value in wanted.items()) and all(_expression(one, labels) for one in expressions)


def _expression(one: Any, labels: Mapping[str, str]) -> bool:
    if not isinstance(one, dict) or not isinstance(one.get("key"), str):
        return False
    key, values = one["key"], one.get("values")
    values = values if isinstance(values, list) else []
    operator = one.get("operator")
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) if operator == "Exists" else (key not in labels) if operator == "DoesNotExist" else False


def _labels(item: Object) -> Mapping[str, str]:
    metadata = item.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return labels if isinstance(labels, dict) else {}
