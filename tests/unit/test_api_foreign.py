"""lab.master.api.foreign: what in etcd is an object, and what a stranger wrote."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.master.api import foreign

KEY = "/registry/pods/default/web"
METADATA = {"name": "web", "namespace": "default", "uid": "a-1"}
POD: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": METADATA, "spec": {"containers": [{"name": "c"}]}}
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner))


def _pod(**metadata: Any) -> dict[str, Any]:
    return {**POD, "metadata": METADATA | metadata}


def test_what_the_apiserver_writes_is_an_object() -> None:
    assert foreign.trouble(KEY, POD) == ""


@pytest.mark.parametrize(
    ("key", "item", "why"),
    [
        (KEY, None, "no object"),
        (KEY, {**POD, "kind": ["Pod"]}, "no object"),
        (KEY, {**POD, "kind": "Gizmo"}, "unknown kind"),
        ("/registry/pods/default/other", POD, "not what the key says"),
        ("/registry/services/specs/default/web", POD, "not what the key says"),
        ("/registry/pods/default/../../x", _pod(name="../../x"), "named '../../x'"),
        ("/registry/pods/default/", _pod(name=""), "named ''"),
        (KEY, _pod(uid="../../x"), "uid"),
        (KEY, _pod(uid=7), "uid"),
        (KEY, {**POD, "spec": {"containers": "many"}}, "cannot unmarshal"),
        (KEY, {**POD, "spec": []}, "cannot unmarshal"),
    ],
)
def test_what_a_stranger_writes_is_none(key: str, item: Any, why: str) -> None:
    assert why in foreign.trouble(key, item)


@given(st.one_of(JSON, st.dictionaries(st.sampled_from(["kind", "metadata", "apiVersion", "spec"]), JSON | st.just("Pod"))))
def test_anything_is_judged(item: Any) -> None:
    assert foreign.trouble(KEY, item)
