"""The apiserver with the real etcd, in plain HTTP: what a client sees that is no kubectl."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count

import pytest

from tests.e2e.flannel_sandbox import Sandbox
from tests.e2e.master_sandbox import Master
from tests.e2e.rest import Object, Rest
from tests.unit.small_cluster import a_deployment, a_service
from tests.waiting import until

pytestmark = pytest.mark.e2e

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
HISTORY = 300
_NUMBERS = count()


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Sandbox(tmp_path_factory.mktemp("rest")) as sandbox:
        sandbox.start_etcd()
        made = Master(sandbox)
        made.start_apiserver("--watch-cache-size", str(HISTORY), "--table-columns", "1.7")
        yield made
        log = made.daemons["apiserver"].log.read_text()
        assert "Traceback" not in log and "Error:" not in log, log


@pytest.fixture
def rest(master: Master) -> Rest:
    return Rest(master.socket)


@pytest.fixture
def space(rest: Rest) -> str:
    """The path of a fresh namespace, without the ConfigMap that it begins with."""
    name = f"t{next(_NUMBERS)}"
    rest.fine("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    until(lambda: rest("DELETE", f"/api/v1/namespaces/{name}/configmaps/kube-root-ca.crt")[0] == 200, "the authority's certificate")
    return f"/api/v1/namespaces/{name}"


def apps(space: str, more: str = "deployments") -> str:
    return f"{space.replace('/api/v1', '/apis/apps/v1')}/{more}"


def a_configmap(name: str = "", **data: str) -> Object:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name} if name else {"generateName": "made-"}, "data": data}


def deployment() -> Object:
    made = a_deployment()
    made["metadata"].pop("namespace", None)
    return made


def a_pod(name: str) -> Object:
    return {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}


def test_create_update_and_every_refusal(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    first = rest.fine("POST", maps, a_configmap("a", x="1"))
    assert first["metadata"]["uid"] and first["metadata"]["creationTimestamp"]
    code, said = rest("POST", maps, a_configmap("a"))
    assert (code, said["reason"], said["message"]) == (409, "AlreadyExists", 'configmaps "a" already exists')
    names = {rest.fine("POST", maps, a_configmap())["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3 and all(name.startswith("made-") and len(name) == 10 for name in names)
    second = rest.fine("PUT", f"{maps}/a", first | {"data": {"x": "2"}})
    code, said = rest("PUT", f"{maps}/a", first | {"data": {"x": "3"}})
    assert (code, said["reason"]) == (409, "Conflict") and "the object has been modified; please apply your changes to the latest" in said["message"]
    assert rest.fine("GET", f"{maps}/a") == second
    code, said = rest("GET", f"{maps}/none")
    assert (code, said["reason"], said["message"]) == (404, "NotFound", 'configmaps "none" not found')
    code, said = rest("POST", maps, a_configmap("Not_Good"))
    assert (code, said["reason"]) == (422, "Invalid") and said["details"]["causes"][0]["field"] == "metadata.name"
    assert "a lowercase RFC 1123 subdomain must consist of" in said["message"]
    bad = deployment()
    bad["spec"]["template"]["metadata"]["labels"] = {"other": "x"}
    code, said = rest("POST", apps(space), bad)
    assert code == 422 and "`selector` does not match template `labels`" in said["message"]
    code, said = rest("POST", "/api/v1/namespaces/nowhere/configmaps", a_configmap("a"))
    assert (code, said["message"]) == (404, 'namespaces "nowhere" not found')


def test_a_large_object_goes_to_etcd_and_back(rest: Rest, space: str) -> None:
    """Larger than what HTTP/2 lets anybody send without having been told that there is room, in both directions, and several at a time."""
    maps = f"{space}/configmaps"
    names = [f"large-{number}" for number in range(4)]
    with ThreadPoolExecutor(len(names)) as pool:
        made = list(pool.map(lambda name: rest.fine("POST", maps, a_configmap(name, x=name * 100_000)), names))
    assert [one["data"]["x"] for one in made] == [name * 100_000 for name in names]
    assert rest.fine("GET", f"{maps}/large-2") == made[2]
    code, said = rest("POST", maps, a_configmap("too-large", x="y" * 2_000_000))
    assert code >= 400 and said["kind"] == "Status", "etcd takes no more than 1.5 MB"
    assert rest.fine("PUT", f"{maps}/large-3", made[3] | {"data": {"x": "2"}})["data"] == {"x": "2"}, "and the connection is as good as before"


def test_pages_to_the_end_and_an_exact_version(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    for number in range(7):
        rest.fine("POST", maps, a_configmap(f"m{number}"))
    at = rest.fine("GET", maps)["metadata"]["resourceVersion"]
    page, names, sizes = rest.fine("GET", maps, limit="3"), list[str](), list[int]()
    assert page["metadata"]["remainingItemCount"] == 4
    rest.fine("POST", maps, a_configmap("m5a"))
    while True:
        names += [item["metadata"]["name"] for item in page["items"]]
        sizes.append(len(page["items"]))
        if "continue" not in page["metadata"]:
            break
        page = rest.fine("GET", maps, limit="3", **{"continue": page["metadata"]["continue"]})
    assert names == [f"m{number}" for number in range(7)] and sizes == [3, 3, 1], "pages are of one moment"
    rest.fine("DELETE", f"{maps}/m0")
    exact = rest.fine("GET", maps, resourceVersion=at, resourceVersionMatch="Exact")
    assert [item["metadata"]["name"] for item in exact["items"]] == names and exact["metadata"]["resourceVersion"] == at
    assert rest("GET", maps, limit="1", **{"continue": "nonsense"})[0] == 400
    assert rest("GET", maps, resourceVersion="x")[0] == 400


def test_watches_bookmarks_slow_ones_and_old_versions(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    made = rest.fine("POST", maps, a_configmap("a", x="0"))
    with rest.watch(maps, sendInitialEvents="true", allowWatchBookmarks="true", resourceVersionMatch="NotOlderThan") as watch:
        assert watch.next() == ("ADDED", made)
        kind, mark = watch.next()
        assert kind == "BOOKMARK" and mark["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        rest.fine("PATCH", f"{maps}/a", {"data": {"x": "1"}}, MERGE)
        kind, changed = watch.next()
        assert (kind, changed["data"]) == ("MODIFIED", {"x": "1"})
    with rest.watch(maps, resourceVersion=made["metadata"]["resourceVersion"], timeoutSeconds="1", allowWatchBookmarks="true") as watch:
        assert watch.next() == ("MODIFIED", changed)
        assert watch.next()[0] == "BOOKMARK" and watch.answer.readline() == b"", "the last thing before its end"
    slow, long = rest.watch(maps, resourceVersion=changed["metadata"]["resourceVersion"]), "x" * 4000
    seen = 0
    for number in range(1300):
        rest.fine("PATCH", f"{maps}/a", {"data": {"x": f"{number}{long}"}}, MERGE)
    with slow, pytest.raises((http.client.HTTPException, OSError, ValueError)):
        while slow.next():
            seen += 1
    assert 0 < seen < 1300, "cut off in the middle"
    with rest.watch(maps, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        kind, said = watch.next()
        assert (kind, said["code"], said["reason"]) == ("ERROR", 410, "Expired") and "too old resource version" in said["message"]
    old = made["metadata"]["resourceVersion"]
    assert rest("GET", maps, resourceVersion=old, resourceVersionMatch="Exact")[0] == 410


def test_a_thousand_watches_are_all_told(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    at = rest.fine("GET", maps)["metadata"]["resourceVersion"]
    with ExitStack() as stack:
        watches = [stack.enter_context(rest.watch(maps, resourceVersion=at)) for _ in range(1000)]
        made = rest.fine("POST", maps, a_configmap("a"))
        assert all(watch.next() == ("ADDED", made) for watch in watches)


def test_the_four_patches_and_a_conflict(rest: Rest, space: str) -> None:
    path = f"{apps(space)}/web"
    rest.fine("POST", apps(space), deployment())
    made = rest.fine("PATCH", path, [{"op": "replace", "path": "/spec/replicas", "value": 5}], "application/json-patch+json")
    assert made["spec"]["replicas"] == 5 and made["metadata"]["generation"] == 2
    assert rest("PATCH", path, [{"op": "test", "path": "/spec/replicas", "value": 4}], "application/json-patch+json")[0] == 422
    made = rest.fine("PATCH", path, {"metadata": {"annotations": {"a": "b"}}, "spec": {"replicas": 1}}, MERGE)
    assert made["metadata"]["annotations"] == {"a": "b"}
    more = {"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "busybox"}]}}}}
    made = rest.fine("PATCH", path, more, "application/strategic-merge-patch+json")
    assert sorted(one["name"] for one in made["spec"]["template"]["spec"]["containers"]) == ["c", "side"]
    assert rest("PATCH", path, {}, "application/json")[0] == 415
    applied = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}, "data": {"x": "1"}}
    there = f"{space}/configmaps/c"
    code, made = rest("PATCH", there, applied, APPLY, fieldManager="one")
    assert code == 201 and made["metadata"]["managedFields"][0]["manager"] == "one"
    code, said = rest("PATCH", there, applied | {"data": {"x": "2"}}, APPLY, fieldManager="two")
    assert code == 409 and 'conflict with "one"' in said["message"] and said["details"]["causes"][0]["field"] == ".data.x"
    assert rest.fine("PATCH", there, applied | {"data": {"x": "2"}}, APPLY, fieldManager="two", force="true")["data"] == {"x": "2"}
    assert rest("PATCH", there, applied, APPLY)[0] == 422, "who is it?"
    rest.fine("POST", f"{space}/configmaps", a_configmap("made", x="1"), fieldManager="kubectl-create")
    mine = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "made"}, "data": {"x": "2"}}
    code, said = rest("PATCH", f"{space}/configmaps/made", mine, APPLY, fieldManager="kubectl")
    assert (code, said["message"]) == (409, 'Apply failed with 1 conflict: conflict with "kubectl-create" using v1: .data.x')
    rest.fine("PATCH", f"{path}/scale", {"spec": {"replicas": 7}}, MERGE, fieldManager="kubectl")
    web = {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web"}, "spec": {"replicas": 2}}
    code, said = rest("PATCH", path, web, APPLY, fieldManager="me")
    assert 'conflict with "kubectl" with subresource "scale" using apps/v1: .spec.replicas' in said["message"]
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {day: '2026-01-01'}\n"
    assert rest.fine("PATCH", f"{space}/configmaps/y", text, APPLY, fieldManager="one")["data"] == {"day": "2026-01-01"}


def test_dry_runs_change_nothing(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    assert rest("POST", maps, a_configmap("a"), dryRun="All")[0] == 201
    assert rest("GET", f"{maps}/a")[0] == 404
    made = rest.fine("POST", maps, a_configmap("a", x="1"))
    assert rest.fine("PATCH", f"{maps}/a", {"data": {"x": "2"}}, MERGE, dryRun="All")["data"] == {"x": "2"}
    assert rest("DELETE", f"{maps}/a", dryRun="All")[0] == 200
    assert rest.fine("GET", f"{maps}/a") == made
    assert rest("POST", maps, a_configmap("b"), dryRun="Some")[0] == 400


def test_status_scale_binding_and_eviction(rest: Rest, space: str) -> None:
    path = f"{apps(space)}/web"
    made = rest.fine("POST", apps(space), deployment() | {"status": {"replicas": 9}})
    assert "replicas" not in (made.get("status") or {})
    changed = rest.fine("PUT", f"{path}/status", made | {"spec": made["spec"] | {"replicas": 77}, "status": {"replicas": 2}})
    assert changed["status"]["replicas"] == 2 and changed["spec"] == made["spec"]
    scale = rest.fine("GET", f"{path}/scale")
    assert scale["kind"] == "Scale" and scale["status"]["replicas"] == 2 and scale["status"]["selector"] == "app=web"
    assert rest.fine("PUT", f"{path}/scale", scale | {"spec": {"replicas": 6}})["spec"] == {"replicas": 6}
    assert rest("PUT", f"{path}/scale", scale | {"spec": {"replicas": 7}})[0] == 409
    assert rest.fine("GET", path)["spec"]["replicas"] == 6
    assert rest("PUT", f"{path}/scale", {"spec": {"replicas": -1}})[0] == 422
    pods = f"{space}/pods"
    rest.fine("POST", pods, a_pod("p"))
    binding = {"kind": "Binding", "apiVersion": "v1", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    assert rest("POST", f"{pods}/p/binding", binding)[0] == 201
    assert rest.fine("GET", f"{pods}/p")["spec"]["nodeName"] == "n1"
    code, said = rest("POST", f"{pods}/p/binding", binding)
    assert code == 409 and 'is already assigned to node "n1"' in said["message"]
    eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}}
    assert rest("POST", f"{pods}/p/eviction", eviction)[0] == 201
    assert "deletionTimestamp" in rest.fine("GET", f"{pods}/p")["metadata"], "its kubelet has to end it"
    rest.fine("DELETE", f"{pods}/p", {"gracePeriodSeconds": 0})
    assert rest("GET", f"{pods}/p")[0] == 404


def test_deletecollection_old_groups_tables_and_the_end_of_a_namespace(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    for name in "abc":
        rest.fine("POST", maps, a_configmap(name) | {"metadata": {"name": name, "labels": {"keep": str(name == "b").lower()}}})
    rest.fine("DELETE", maps, labelSelector="keep=false")
    assert [item["metadata"]["name"] for item in rest.fine("GET", maps)["items"]] == ["b"]
    old = space.replace("/api/v1", "/apis/extensions/v1beta1") + "/deployments"
    sent = deployment() | {"apiVersion": "extensions/v1beta1"}
    del sent["spec"]["selector"]
    made = rest.fine("POST", old, sent)
    assert made["apiVersion"] == "extensions/v1beta1" and made["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    new = rest.fine("GET", f"{apps(space)}/web")
    assert new["apiVersion"] == "apps/v1" and new["metadata"]["uid"] == made["metadata"]["uid"]
    table = rest.fine("GET", apps(space), accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    shown = [column["name"] for column in table["columnDefinitions"] if not column["priority"]]
    assert shown == ["Name", "Desired", "Current", "Up-to-date", "Available", "Age"]
    service = a_service(clusterIP=None)
    service["metadata"].pop("namespace", None)
    assert rest.fine("POST", f"{space}/services", service)["spec"]["clusterIP"].startswith("10.")


def test_a_namespace_ends_when_its_finalizer_is_taken_away(rest: Rest, space: str) -> None:
    maps, name = f"{space}/configmaps", space.rpartition("/")[2]
    rest.fine("POST", maps, a_configmap("a"))
    patched = rest.fine("PATCH", space, {"spec": {"finalizers": []}}, MERGE)
    assert patched["spec"]["finalizers"] == ["kubernetes"], "only by its subresource"
    dying = rest.fine("DELETE", space)
    assert dying["status"]["phase"] == "Terminating" and dying["metadata"]["deletionTimestamp"]
    assert rest.fine("DELETE", space)["metadata"]["resourceVersion"] == dying["metadata"]["resourceVersion"]
    code, said = rest("POST", maps, a_configmap("b"))
    why = f"unable to create new content in namespace {name} because it is being terminated"
    assert (code, said["reason"], said["message"]) == (403, "Forbidden", f'configmaps "b" is forbidden: {why}')
    assert said["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    assert rest.fine("PUT", f"{maps}/a", a_configmap("a", x="1"))["data"] == {"x": "1"}, "what is there may still change"
    rest.fine("PUT", f"{space}/finalize", {"metadata": {"name": name}, "spec": {"finalizers": []}})
    assert rest("GET", space)[0] == 404


def test_finalizers_hold_an_object_and_no_new_one_comes(rest: Rest, space: str) -> None:
    for path, item in ((f"{space}/configmaps", a_configmap("held")), (f"{space}/pods", a_pod("held"))):
        item["metadata"]["finalizers"] = ["example.com/hold"]
        rest.fine("POST", path, item)
        assert "deletionTimestamp" in rest.fine("DELETE", f"{path}/held")["metadata"]
        code, said = rest("PATCH", f"{path}/held", {"metadata": {"finalizers": ["example.com/hold", "example.com/late"]}}, MERGE)
        assert code == 422 and 'found new finalizers []string{"example.com/late"}' in said["message"]
        rest.fine("PATCH", f"{path}/held", {"metadata": {"finalizers": None}}, MERGE)
        assert rest("GET", f"{path}/held")[0] == 404


def test_what_nobody_should_send(rest: Rest, space: str) -> None:
    maps = f"{space}/configmaps"
    for raw in (b"{", b"[]", b"7", b"\xff\xfe", b'{"metadata": 7}', b'{"metadata": {"name": 7}}', b'{"data": NaN}', b""):
        code, said = rest("POST", maps, raw)
        assert code == 400 and said["kind"] == "Status", raw
    assert rest("POST", maps, b"[" * 100_000)[0] == rest("POST", maps, b'{"a":' * 500 + b"1" + b"}" * 500)[0] == 400
    assert rest("POST", maps, a_pod("p"))[0] == 400, "of another kind"
    for path in ("/api/v1/namespaces/../pods", f"{maps}/a%2Fb", f"{maps}/%00", "/api//v1/pods", f"{maps}/%2e%2e", f"{maps}/a/b/c", f"{maps}/%zz"):
        assert rest("GET", path)[0] == 404, path
    with rest.socket() as big:
        big.sendall(f"POST {maps} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n".encode())
        assert b" 413 " in big.recv(1000)
    with rest.socket() as slow:
        slow.sendall(f"POST {maps} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        assert rest("GET", maps)[0] == 200, "who is slow holds up nobody"
    with rest.socket() as strange:
        strange.sendall(b"no HTTP at all\r\n\r\n")
        assert b" 400 " in strange.recv(1000)
    assert rest("PUT", maps, {})[0] == 405
    assert rest.path.stat().st_mode & 0o777 == 0o600, "the unix socket is for its user alone"
    assert rest("GET", maps)[0] == 200


def test_nothing_acknowledged_is_lost_with_etcd(sandbox: Sandbox) -> None:
    master = Master(sandbox)
    master.start_apiserver()
    rest, acknowledged, refused, over = Rest(master.socket), dict[str, str](), list[int](), threading.Event()

    def write(writer: int) -> None:
        for number in count():
            if over.is_set():
                return
            name = f"w{writer}-{number}"
            code, said = rest("POST", "/api/v1/namespaces/default/configmaps", a_configmap(name, n=name))
            if code == 201:
                acknowledged[name] = said["metadata"]["uid"]
            else:
                refused.append(code)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(acknowledged) > 50, "the first writes")
        sandbox.stop_etcd()
        until(lambda: refused, "a refusal")
        assert rest("GET", "/api/v1/namespaces/default/configmaps")[0] == 200, "reads go on from the copy"
        before = len(acknowledged)
        sandbox.start_etcd()
        until(lambda: len(acknowledged) > before + 20, "writes after etcd's return")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert set(refused) == {503}
    stored = rest.fine("GET", "/api/v1/namespaces/default/configmaps")["items"]
    assert acknowledged.items() <= {item["metadata"]["name"]: item["metadata"]["uid"] for item in stored}.items()
    kept = sandbox.etcdctl("get --prefix --keys-only /registry/configmaps/default/").split()
    assert {f"/registry/configmaps/default/{name}" for name in acknowledged} <= set(kept)
    assert "Traceback" not in master.daemons["apiserver"].log.read_text()


def test_kubectl_creates_with_protobuf(master: Master, rest: Rest, space: str) -> None:
    name = space.rpartition("/")[2]

    def create(*words: str) -> str:
        return master.kubectl("-n", name, "create", *words)

    create("deployment", "web", "--image=nginx:1.9", "--replicas=2", "--port=80", "--", "sleep", "5")
    spec = rest.fine("GET", f"{apps(space)}/web")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert (spec["replicas"], container["image"], container["command"]) == (2, "nginx:1.9", ["sleep", "5"])
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    create("configmap", "cfg", "--from-literal=a=b")
    assert rest.fine("GET", f"{space}/configmaps/cfg")["data"] == {"a": "b"}
    create("service", "clusterip", "one", "--tcp=80:8080")
    assert rest.fine("GET", f"{space}/services/one")["spec"]["ports"][0]["targetPort"] == 8080
    create("service", "nodeport", "two", "--tcp=80:http", "--node-port=30123")
    ports = rest.fine("GET", f"{space}/services/two")["spec"]["ports"]
    assert (ports[0]["nodePort"], ports[0]["targetPort"]) == (30123, "http")
    create("serviceaccount", "me")
    assert rest("GET", f"{space}/serviceaccounts/me")[0] == 200
    create("namespace", f"{name}-more")
    assert rest("GET", f"{space}-more")[0] == 200
    assert rest("POST", f"{space}/configmaps", b"k8s\x00\xff", "application/vnd.kubernetes.protobuf")[0] == 400
    foreign = b"k8s\x00\n\x0f\n\x02v1\x12\tConfigMap\x12\x03\x9a\x06\x00"
    code, said = rest("POST", f"{space}/configmaps", foreign, "application/vnd.kubernetes.protobuf")
    assert code == 415 and "kubectl apply -f" in said["message"]
