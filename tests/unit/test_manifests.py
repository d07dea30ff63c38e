"""lab.model.manifests and lab.model.fit: defaults, and nothing but InputError from a wrong file. Messages: tests/golden."""

from __future__ import annotations

import copy
import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import InputError, UsageError
from lab.model.catalog import find_topology
from lab.model.fit import require_fit
from lab.model.load import read_topology
from lab.model.manifests import Objects, load_files, load_manifests
from lab.model.objects import Pod, Service, ServicePort
from lab.model.pins import Pin

TEMPLATE = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "nginx", "ports": [{"containerPort": 80}]}]},
}
DEPLOYMENT = {
    "apiVersion": "extensions/v1beta1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {"template": TEMPLATE},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web"},
    "spec": {"ports": [{"port": 80}], "selector": {"app": "web"}},
}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "one"},
    "spec": {"containers": [{"name": "a", "image": "busybox"}]},
}


def load(*objects: object) -> Objects:
    return load_manifests("\n---\n".join(map(json.dumps, objects)), "f")


def test_defaults_of_a_deployment() -> None:
    [deployment] = load(DEPLOYMENT).deployments
    assert (deployment.namespace, deployment.replicas, deployment.selector) == ("default", 1, (("app", "web"),))
    assert deployment.containers[0].ports[0].protocol == "TCP"


def test_defaults_of_a_service() -> None:
    [service] = load(SERVICE).services
    assert service == Service("web", "default", (ServicePort(80, target_port=80),), None, (("app", "web"),))


def test_no_address_yet_and_no_address_at_all_are_told_apart() -> None:
    headless = copy.deepcopy(SERVICE) | {"spec": {"clusterIP": "None", "selector": {"app": "web"}}}
    assert [service.headless for service in load(SERVICE).services] == [False]
    assert [(service.headless, service.cluster_ip) for service in load(headless).services] == [(True, None)]


def test_the_same_name_may_stand_in_two_kinds_and_two_namespaces() -> None:
    other = copy.deepcopy(POD) | {"metadata": {"name": "one", "namespace": "shop"}}
    objects = load(DEPLOYMENT, SERVICE, POD, other)
    assert [pod.namespace for pod in objects.pods] == ["default", "shop"]


def test_a_name_is_taken_across_files() -> None:
    text = json.dumps(POD)
    with pytest.raises(InputError, match=r"b:1: metadata.name: the pod default/one is there already, in a:1"):
        load_files([(text, "a"), (text, "b")])


def test_a_tcp_and_a_udp_node_port_may_have_one_number() -> None:
    spec = {
        "type": "NodePort",
        "ports": [{"port": 53, "name": p.lower(), "protocol": p, "nodePort": 30053} for p in ("TCP", "UDP")],
    }
    [service] = load(SERVICE | {"spec": spec}).services
    assert [port.node_port for port in service.ports] == [30053, 30053]


JUNK: st.SearchStrategy[object] = st.sampled_from(
    [None, True, 0, -1, 70000, 1.5, "", "a", "None", "10.96.0.1", "NOT", [], ["a"], {}, {"a": 1}, [[]], 10**30]
)


@given(st.sampled_from([DEPLOYMENT, SERVICE, POD]), st.data())
def test_a_damaged_manifest_is_accepted_or_explained(whole: dict[str, object], data: st.DataObject) -> None:
    """Puts any value, or nothing, at any place of a valid object."""
    damaged = copy.deepcopy(whole)
    place: object = damaged
    while isinstance(place, (dict, list)) and place:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        child = place[key]
        if not isinstance(child, (dict, list)) or not child or data.draw(st.booleans()):
            if data.draw(st.booleans()):
                place[key] = data.draw(JUNK)
            else:
                del place[key]
            break
        place = child
    try:
        load(damaged)
    except InputError as error:
        assert error.problems
        assert all(problem.line == 1 for problem in error.problems)


@given(
    st.text()
    | st.lists(
        st.sampled_from(["kind: Pod\n", "kind: List\n", "items:\n", "- ", "spec: {", "}", "---\n", "metadata:\n", "  name: a\n"])
    ).map("".join)
)
def test_any_text_is_accepted_or_explained(text: str) -> None:
    try:
        load_manifests(text, "f")
    except InputError as error:
        assert error.problems


def fit(objects: Objects, pins: tuple[Pin, ...] = ()) -> str:
    with pytest.raises(UsageError) as caught:
        require_fit(read_topology(find_topology("flat")), objects, pins)
    return str(caught.value)


def test_objects_that_fit() -> None:
    service = Service("web", "default", (), IPv4Address("10.96.0.10"))
    pods = (Pod("one", "default", (), node_name="node2"),)
    require_fit(read_topology(find_topology("flat")), Objects(pods, services=(service,)), (Pin("one", address="10.244.1.9"),))


def test_objects_that_do_not_fit() -> None:
    service = Service("web", "default", (), IPv4Address("10.11.0.10"))
    pods = (Pod("router", "default", (), node_name="nod2"), Pod("one", "a", ()), Pod("one", "b", ()))
    said = fit(Objects(pods, services=(service,)), (Pin("node1", owner="web"), Pin("x", owner="web", node="node9")))
    assert said.splitlines() == [
        "pod router wants the node nod2 (did you mean node2?); topology flat has node1, node2, node3",
        "pin x wants the node node9 (did you mean node3?); topology flat has node1, node2, node3",
        "pod default/router has the name of a machine of topology flat; in the lab every machine and pod has its own",
        "pod b/one has the name of pod a/one; in the lab every machine and pod has its own",
        "pin node1 has the name of a machine of topology flat; in the lab every machine and pod has its own",
        "service default/web wants the cluster IP 10.11.0.10, which is no address of 10.96.0.0/12; use one, or none",
    ]
