"""The apiserver's pure functions: patches, selectors, tables, validation, apply."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.master.api import ages, apply, convert, defaults, discovery, openapi, patch, selectors, status, tables, validate
from lab.master.resources import RESOURCES, served
from lab.model import apifields

KINDS = [one.kind for one in RESOURCES]
WORDS = st.sampled_from(["metadata", "spec", "status", "name", "labels", "ports", "port", "template", "containers", "selector", "type", "$patch"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=5),
    max_leaves=15,
)
OBJECTS = st.dictionaries(WORDS, JSON, max_size=5)


@pytest.mark.parametrize(
    ("item", "change", "wanted"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_as_rfc_7396_has_it(item: Any, change: Any, wanted: Any) -> None:
    assert patch.merge_patch(item, change) == wanted


@pytest.mark.parametrize(
    ("item", "operations", "wanted"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": [1, 3]}, [{"op": "add", "path": "/foo/1", "value": 2}], {"foo": [1, 2, 3]}),
        ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
        ({"f": {"x": 1}, "q": {}}, [{"op": "move", "from": "/f/x", "path": "/q/y"}], {"f": {}, "q": {"y": 1}}),
        ({"f": [1, 2, 3]}, [{"op": "move", "from": "/f/0", "path": "/f/2"}], {"f": [2, 3, 1]}),
        ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
        ({"f": [1]}, [{"op": "add", "path": "/f/-", "value": [2]}], {"f": [1, [2]]}),
    ],
)
def test_json_patch_as_rfc_6902_has_it(item: Any, operations: Any, wanted: Any) -> None:
    before = copy.deepcopy(item)
    assert patch.json_patch(item, operations) == wanted
    assert item == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": "1"},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "remove", "path": "/x"},
        {"op": "add", "path": "/l/2", "value": 1},
        {"op": "add", "path": "a", "value": 1},
        {"op": "move", "from": "/o", "path": "/o/p"},
        {"op": "fly", "path": "/a"},
        {"op": "add", "path": "/a"},
    ],
)
def test_json_patch_refuses(operation: Any) -> None:
    with pytest.raises(patch.PatchError):
        patch.json_patch({"a": 1, "l": [1], "o": {"p": 1}}, [operation])


def test_strategic_patch_merges_by_name_deletes_and_orders() -> None:
    pod = {"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b"}], "tolerations": [1]}}
    change = {
        "spec": {
            "containers": [{"name": "a", "image": "y"}, {"name": "c"}, {"name": "b", "$patch": "delete"}],
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "tolerations": [2],
        }
    }
    assert patch.strategic_merge_patch(pod, change, "Pod") == {
        "spec": {"containers": [{"name": "c"}, {"name": "a", "image": "y"}], "tolerations": [2]}
    }
    kept = patch.strategic_merge_patch(
        {"spec": {"strategy": {"type": "A", "rollingUpdate": {}}}}, {"spec": {"strategy": {"$retainKeys": ["type"]}}}, "Deployment"
    )
    assert kept == {"spec": {"strategy": {"type": "A"}}}
    with pytest.raises(patch.PatchError):
        patch.strategic_merge_patch(pod, {"spec": {"containers": [{"image": "z"}]}}, "Pod")


@pytest.mark.parametrize(
    ("text", "labels", "fits"),
    [
        ("", {}, True),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e"}, True),
        ("a=b,c in (d,e),!f", {"a": "b", "c": "e", "f": ""}, False),
        ("a!=b", {}, True),
        ("a notin (b)", {"a": "b"}, False),
        ("a>3", {"a": "4"}, True),
        ("a", {"a": ""}, True),
    ],
)
def test_label_selectors(text: str, labels: dict[str, str], fits: bool) -> None:
    assert selectors.parse_labels(text)({"metadata": {"labels": labels}}) is fits


def test_field_selectors() -> None:
    pod = {"metadata": {"name": "x"}, "status": {"phase": "Failed"}}
    assert selectors.parse_fields("metadata.name=x,status.phase!=Running", "Pod")(pod)
    assert not selectors.parse_fields("status.phase==Running", "Pod")(pod)
    with pytest.raises(selectors.SelectorError, match="field label not supported: spec.image"):
        selectors.parse_fields("spec.image=x", "Pod")


def test_a_service_with_port_0_is_refused_in_the_real_words() -> None:
    service = defaults.with_defaults({"metadata": {"name": "x"}, "spec": {"ports": [{"port": 0, "targetPort": 1}]}}, "Service")
    said = status.invalid("Service", "x", validate.faults(service, "Service"))
    assert said["message"] == 'Service "x" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive'
    assert (said["code"], said["details"]["causes"][0]["field"]) == (422, "spec.ports[0].port")


def test_an_old_deployment_gets_its_selector_from_its_labels() -> None:
    template = {"metadata": {"labels": {"app": "nginx"}}, "spec": {"containers": [{"name": "nginx", "image": "nginx:1.8"}]}}
    made = convert.stored({"kind": "Deployment", "metadata": {"name": "n"}, "spec": {"template": template}}, "extensions/v1beta1", "apps/v1")
    made = defaults.with_defaults(made, "Deployment")
    assert made["spec"]["selector"] == {"matchLabels": {"app": "nginx"}} and made["spec"]["replicas"] == 1
    assert validate.faults(made, "Deployment") == []
    other = made | {"spec": made["spec"] | {"selector": {"matchLabels": {"app": "x"}}}}
    assert {one.field for one in validate.faults(other, "Deployment", made)} == {"spec.selector", "spec.template.metadata.labels"}


def test_the_articles_service_table() -> None:
    spec = {"type": "NodePort", "clusterIP": "10.105.183.37", "ports": [{"port": 9411, "nodePort": 30305, "protocol": "TCP"}]}
    service = {"metadata": {"name": "zipkin", "annotations": {"lab.network/age": "3d"}}, "spec": spec}
    old = tables.table("Service", [service], tables.OLD)
    assert [one["name"] for one in old["columnDefinitions"] if not one["priority"]] == ["Name", "Cluster-IP", "External-IP", "Port(s)", "Age"]
    assert old["rows"][0]["cells"][:5] == ["zipkin", "10.105.183.37", "<nodes>", "9411:30305/TCP", "3d"]


def test_a_pod_that_crashes() -> None:
    ended = {"terminated": {"finishedAt": "2020-01-01T00:00:00Z"}}
    container = {"restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{}]}, "status": {"phase": "Running", "containerStatuses": [container]}}
    now = (ages.seconds_of("2020-01-01T00:00:05Z")) or 0
    assert tables.table("Pod", [pod], tables.TODAY, now)["rows"][0]["cells"][1:4] == ["0/1", "CrashLoopBackOff", "2 (5s ago)"]
    gone = pod | {"metadata": {"name": "p", "deletionTimestamp": "2020-01-01T00:00:00Z"}}
    assert tables.table("Pod", [gone], tables.OLD, now)["rows"][0]["cells"][1:4] == ["0/1", "Terminating", 2]


@pytest.mark.parametrize(("seconds", "old", "today"), [(5, "5s", "5s"), (150, "2m", "2m30s"), (3 * 3600, "3h", "3h"), (19 * 86400, "19d", "19d")])
def test_ages(seconds: int, old: str, today: str) -> None:
    assert (ages.short(seconds), ages.human(seconds)) == (old, today)


def test_discovery_and_openapi_cover_all_that_is_served() -> None:
    for version in {version for one in RESOURCES for version in one.api_versions}:
        assert discovery.resource_list(version)
        place = ("apis/" if "/" in version else "api/") + version
        assert place in openapi.v3_root()["paths"] and openapi.v3(place)
    bad = {"kind": "Service", "spec": {"ports": [{"prt": 1}]}}
    assert openapi.strict_error(bad, "Service", "v1").endswith('strict decoding error: unknown field "spec.ports[0].prt"')


def test_a_short_name_means_one_resource() -> None:
    lists = [discovery.resource_list(version) or {} for version, _ in served()]
    plain = [(name, one["name"]) for listed in lists for one in listed["resources"] for name in one.get("shortNames", [])]
    documents = [discovery.aggregated(core, version) for core in (True, False) for version in discovery.AGGREGATED[:1]]
    rows = [row for document in documents for item in document["items"] for version in item["versions"] for row in version["resources"]]
    joined = [(name, row["resource"]) for row in rows for name in row.get("shortNames", [])]
    assert len(joined) == len({name for name, _ in joined}) and set(joined) == set(plain)
    assert ("deploy", "deployments") in joined


def test_a_field_of_the_wrong_type_is_refused() -> None:
    said = openapi.type_error({"spec": {"replicas": "2"}}, "Deployment", "apps/v1")
    assert said == (
        'Deployment in version "v1" cannot be handled as a Deployment: '
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    )
    good = {"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"ports": [{"port": 80, "targetPort": "http"}]}, "status": {"loadBalancer": {}}}
    assert openapi.type_error(good, "Service", "v1") == ""
    assert "of type []" not in openapi.type_error({"spec": {"ports": [1]}}, "Service", "v1") != ""


def test_apply_owns_conflicts_and_removes() -> None:
    item = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "x"}, "spec": {"replicas": 2, "paused": True}}
    first = apply.apply(None, item, "m", False, "t")
    with pytest.raises(apply.ApplyConflict) as caught:
        apply.apply(first, item | {"spec": {"replicas": 3}}, "n", False, "t")
    assert caught.value.causes == [(".spec.replicas", 'conflict with "m"')]
    forced = apply.apply(first, item | {"spec": {"replicas": 3}}, "n", True, "t")
    assert apply.apply(forced, item | {"spec": {}}, "m", False, "t")["spec"] == {"replicas": 3}
    pod = {"kind": "Pod", "metadata": {}, "spec": {"containers": [{"name": "a"}, {"name": "b"}]}}
    fewer = pod | {"spec": {"containers": [{"name": "b"}]}}
    assert apply.apply(apply.apply(None, pod, "m", False, "t"), fewer, "m", False, "t")["spec"] == fewer["spec"]


@given(OBJECTS, JSON)
def test_a_merge_patch_applied_twice_is_applied_once(item: Any, change: Any) -> None:
    once = patch.merge_patch(item, change)
    assert patch.merge_patch(once, change) == once


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), OBJECTS, JSON)
def test_any_json_gives_an_answer_or_a_declared_error(kind: str, item: Any, other: Any) -> None:
    before = copy.deepcopy(item)
    made = defaults.with_defaults(item, kind)
    status.invalid(kind, "x", validate.faults(made, kind, item))
    for columns in (tables.OLD, tables.TODAY):
        tables.table(kind, [item], columns, 0.0)
    openapi.unknown_fields(item, kind)
    openapi.type_error(item, kind, "v1")
    convert.served(convert.stored(item, "extensions/v1beta1", "apps/v1"), "extensions/v1beta1")
    with contextlib.suppress(patch.PatchError):
        patch.json_patch(item, other)
    with contextlib.suppress(patch.PatchError):
        patch.strategic_merge_patch(item, other, kind)
    with contextlib.suppress(apply.ApplyConflict):
        apply.apply(item, made, "m", False, "t")
    assert item == before


@given(st.text(max_size=20))
def test_any_selector_gives_an_answer_or_a_declared_error(text: str) -> None:
    with contextlib.suppress(selectors.SelectorError):
        selectors.parse_labels(text)({})
    with contextlib.suppress(selectors.SelectorError):
        selectors.parse_fields(text, "Pod")({})


def managed(item: dict[str, Any]) -> dict[str, Any]:
    return {one["manager"]: one["fieldsV1"] for one in item["metadata"].get("managedFields", ())}


def test_updates_are_noted_and_take_fields_from_others() -> None:
    first = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c", "uid": "u"}, "data": {"a": "1", "b": "2"}}
    made = apply.recorded(None, first, "kubectl-create", "t0")
    assert managed(made) == {"kubectl-create": {"f:data": {"f:a": {}, "f:b": {}}}}
    assert made["metadata"]["managedFields"][0]["operation"] == "Update"
    edited = apply.recorded(made, made | {"data": {"a": "9", "c": "3"}}, "kubectl-edit", "t1")
    assert managed(edited) == {"kubectl-edit": {"f:data": {"f:a": {}, "f:c": {}}}}, "what has gone is nobody's"
    assert apply.recorded(edited, edited, "x", "t2") is edited
    again = apply.recorded(edited, edited | {"data": {"a": "9", "c": "4", "d": "5"}}, "kubectl-edit", "t3")
    assert managed(again) == {"kubectl-edit": {"f:data": {"f:a": {}, "f:c": {}, "f:d": {}}}}
    with pytest.raises(apply.ApplyConflict) as caught:
        apply.apply(again, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "0"}}, "me", False, "t4")
    assert caught.value.causes == [(".data.a", 'conflict with "kubectl-edit" using v1')]
    scaled = apply.recorded(again, again | {"data": {"a": "7", "c": "4", "d": "5"}}, "kubectl", "t5", "scale")
    assert managed(scaled)["kubectl"] == {"f:data": {"f:a": {}}} and scaled["metadata"]["managedFields"][1]["subresource"] == "scale"
    with pytest.raises(apply.ApplyConflict, match="1 conflict"):
        apply.apply(scaled, {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"a": "0"}}, "me", False, "t6")


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3), min_size=1, max_size=6), st.randoms())
def test_every_field_that_is_noted_is_there_and_has_one_owner_after_updates(states: list[dict[str, str]], dice: Any) -> None:
    item: dict[str, Any] | None = None
    for data in states:
        new = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": dict(item["metadata"]) if item else {"name": "c"}, "data": data}
        item = apply.recorded(item, new, dice.choice(["one", "two"]), "t")
    assert item is not None
    owned = [field for fields in managed(item).values() for field in fields.get("f:data", {})]
    assert len(owned) == len(set(owned)) and {field[2:] for field in owned} == set(item["data"])


def test_every_kind_s_fields_are_written_down() -> None:
    assert set(KINDS) == apifields.KINDS <= set(apifields.TYPES)
