"""Which of the operator's commands are run on somebody's cluster, and how. Pure.

A step types kubectl as it would in the lab. Elsewhere only commands pass that read, or that change objects of the run's own namespace:
anything else in that cluster is not the lab's to touch.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lab.errors import NotHere

READING = frozenset({"get", "describe", "logs", "explain", "version", "api-resources", "api-versions", "top"})
CHANGING = frozenset({"scale", "patch", "set", "expose", "delete", "annotate", "label", "create", "autoscale", "rollout"})
NAMESPACED = frozenset(
    {"pod", "pods", "po", "service", "services", "svc", "deployment", "deployments", "deploy", "replicaset", "replicasets", "rs"}
    | {"endpoints", "ep", "endpointslice", "endpointslices", "configmap", "configmaps", "cm"}
)
"""What may be changed."""

_WITH_VALUE = frozenset({"-n", "--namespace", "-l", "--selector", "-o", "--output", "-p", "--patch", "--type", "--port", "--name", "--replicas"})
_OTHER_CLUSTER = ("--kubeconfig", "--context", "--cluster", "--server", "-s", "--user", "--token", "--as")
_OTHER_NAMESPACE = ("-n", "--namespace", "-A", "--all-namespaces", "-f", "--filename", "-k", "--kustomize", "--raw")


def words(command: str | Sequence[str]) -> list[str]:
    """The command's words, without `kubectl`, if it may be run; NotHere says why not."""
    split = shlex.split(command) if isinstance(command, str) else list(command)
    if split[:1] != ["kubectl"]:
        raise NotHere(f"only kubectl is run for the operator, not `{split[0] if split else ''}`", "这里只替操作者运行 kubectl")
    given = split[1:]
    plain = _plain(given)
    verb = plain[0] if plain else ""
    if _has(given, _OTHER_CLUSTER) or any(word in ("|", ";", "&&", "||", ">") for word in given):
        raise NotHere("it names another cluster, or needs a shell", "命令指向别的集群，或者需要 shell")
    if verb in READING:
        return given
    if verb in CHANGING and not _has(given, _OTHER_NAMESPACE) and set(_kinds(plain)) <= NAMESPACED:
        return given
    raise NotHere(f"`kubectl {verb}` would change what is not this run's own", f"`kubectl {verb}` 会改动不属于这次运行的东西")


def _has(given: Sequence[str], options: Sequence[str]) -> bool:
    short = tuple(option for option in options if not option.startswith("--"))
    return any(word.partition("=")[0] in options or (not word.startswith("--") and word.startswith(short)) for word in given)


def _kinds(plain: Sequence[str]) -> list[str]:
    """The kinds that a command is about, "" where it names none: KIND NAME, KIND/NAME, KIND,KIND; after `set` and `rollout` comes one word more."""
    place = 2 if plain[0] in ("set", "rollout") else 1
    named = [*plain[place : place + 1], *(word for word in plain[place + 1 :] if "/" in word and "=" not in word)]
    return [kind for word in named or [""] for kind in word.partition("/")[0].lower().split(",")]


def _plain(given: Sequence[str]) -> list[str]:
    """The words that are no options, nor their values."""
    found, skip = [], False
    for word in given:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in _WITH_VALUE
        else:
            found.append(word)
    return found
