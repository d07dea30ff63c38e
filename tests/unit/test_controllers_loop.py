"""The loop that drives controllers, against an apiserver made of dicts and queues."""

from __future__ import annotations

import copy
import queue
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from lab.master.client import ApiClient, ApiError, Unreachable
from lab.master.controllers import deployment, endpoints, loop, replicaset
from lab.master.controllers.actions import Action, Again, Tell
from lab.master.controllers.loop import Loop
from lab.master.controllers.world import Controller, World, itself
from lab.master.informer import Key
from lab.master.resources import by_kind
from lab.master.scheduler.choose import scheduler
from tests.unit.small_cluster import a_deployment, a_node, a_pod, a_service, merged
from tests.waiting import until

Object = dict[str, Any]


class FakeApi:
    """As much of ApiClient as the loop and its informers use. `refuse` makes the next writes fail."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, str], Object] = {}
        self.version = 0
        self.watches: list[tuple[str, queue.SimpleQueue[tuple[str, Object]]]] = []
        self.refuse: list[ApiError] = []
        self.writes: list[str] = []
        self.pods_are_told = threading.Event()
        self.pods_are_told.set()
        self.lock = threading.RLock()

    def _changed(self, what: str, plural: str, item: Object) -> Object:
        self.version += 1
        item = copy.deepcopy(item)
        item["metadata"]["resourceVersion"] = str(self.version)
        item["metadata"].setdefault("uid", f"u{self.version}")
        place = (plural, item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if what == "DELETED":
            del self.items[place]
        else:
            self.items[place] = item
        for wanted, news in self.watches:
            if wanted == plural:
                news.put((what, item))
        return item

    def _judge(self, what: str) -> None:
        self.writes.append(what)
        if self.refuse:
            raise self.refuse.pop(0)

    def list(self, plural: str, fields: str = "") -> Object:
        with self.lock:
            found = [item for place, item in self.items.items() if place[0] == plural]
            return {"kind": "List", "items": copy.deepcopy(found), "metadata": {"resourceVersion": str(self.version)}}

    def watch(self, plural: str, version: str, fields: str = "") -> Iterator[tuple[str, Object]]:
        news: queue.SimpleQueue[tuple[str, Object]] = queue.SimpleQueue()
        with self.lock:
            self.watches.append((plural, news))
            late = [item for place, item in self.items.items() if place[0] == plural]
            for item in late:
                if int(item["metadata"]["resourceVersion"]) > int(version):
                    news.put(("ADDED", item))
        while True:
            told = news.get()
            if plural == "pods":
                self.pods_are_told.wait()
            yield told

    def create(self, item: Object, subresource: str = "") -> Object:
        with self.lock:
            metadata = item["metadata"]
            self._judge(f"create {item['kind']}")
            if subresource:
                pod = self.items["pods", metadata["namespace"], metadata["name"]]
                self._changed("MODIFIED", "pods", merged(pod, {"spec": {"nodeName": item["target"]["name"]}}))
                return {"kind": "Status"}
            place = (by_kind(item["kind"]).plural, metadata.get("namespace", ""), metadata["name"])
            if place in self.items:
                raise ApiError(409, "already exists")
            return self._changed("ADDED", place[0], item)

    def get(self, plural: str, name: str, namespace: str = "") -> Object:
        with self.lock:
            if (plural, namespace, name) not in self.items:
                raise ApiError(404, "not found")
            return copy.deepcopy(self.items[plural, namespace, name])

    def find(self, plural: str, name: str, namespace: str = "") -> Object | None:
        with self.lock:
            return self.items.get((plural, namespace, name))

    def patch(self, plural: str, name: str, namespace: str, patch: Object, how: str = "merge", subresource: str = "") -> Object:
        with self.lock:
            self._judge(f"patch {plural}")
            return self._changed("MODIFIED", plural, merged(self.get(plural, name, namespace), patch))

    def request(self, method: str, path: str, body: Object) -> Object:
        *_, namespace, plural, name = path.split("/")
        with self.lock:
            self._judge(f"{method} {plural}")
            if (plural, namespace, name) in self.items:
                self._changed("DELETED", plural, self.items[plural, namespace, name])
            return {"kind": "Status"}

    def all(self, plural: str) -> list[Object]:
        with self.lock:
            return [item for place, item in self.items.items() if place[0] == plural]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


class Running:
    """A loop in a thread of its own. A context manager."""

    def __init__(self, api: FakeApi, *controllers: Controller) -> None:
        self.said: list[str] = []
        self.loop = Loop(cast(ApiClient, api), controllers, log=self.said.append)
        self._thread = threading.Thread(target=self.loop.run)

    def __enter__(self) -> Running:
        self._thread.start()
        until(lambda: "all objects have been listed" in self.said, "the lists")
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.stop()
        self._thread.join(5)
        assert not self._thread.is_alive()


ALL = (endpoints.CONTROLLER, replicaset.CONTROLLER, deployment.CONTROLLER, scheduler())


def test_a_deployment_becomes_scheduled_pods_and_their_events(api: FakeApi) -> None:
    api.create(a_node("n1"))
    with Running(api, *ALL):
        api.create(a_deployment(replicas=3))
        until(lambda: [one["spec"].get("nodeName") for one in api.all("pods")] == ["n1"] * 3, "the pods")
        until(lambda: {one["reason"] for one in api.all("events")} == {"ScalingReplicaSet", "SuccessfulCreate", "Scheduled"}, "the events")


def test_a_late_watch_makes_no_second_pod(api: FakeApi) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}
    spec = {"replicas": 25, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    api.pods_are_told.clear()
    with Running(api, replicaset.CONTROLLER):
        api.create({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "default"}, "spec": spec})
        for wanted in (25, 40):
            api.patch("replicasets", "web", "default", {"spec": {"replicas": wanted}})
            until(lambda wanted=wanted: (api.all("replicasets")[0].get("status") or {}).get("replicas") == wanted, "the status")
            assert len(api.all("pods")) == wanted
        api.pods_are_told.set()


class ServicesComeLate(FakeApi):
    """Nobody is told of services, but who asks for one by name gets it: so it is between a list and the watch after it."""

    def list(self, plural: str, fields: str = "") -> Object:
        return super().list(plural, fields) | ({"items": []} if plural == "services" else {})

    def watch(self, plural: str, version: str, fields: str = "") -> Iterator[tuple[str, Object]]:
        return super().watch("nothing" if plural == "services" else plural, version, fields)


def test_endpoints_that_are_known_before_their_service_stay() -> None:
    """As those of `kubernetes`, which the apiserver makes while the controllers list what there is."""
    api = ServicesComeLate()
    api.create(a_service("kubernetes", selector={}))
    for name in ("kubernetes", "left"):
        api.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": name, "namespace": "default"}, "subsets": []})
    with Running(api, endpoints.CONTROLLER):
        until(lambda: len(api.all("endpoints")) == 1, "the end of endpoints whose service is not there")
        assert [one["metadata"]["name"] for one in api.all("endpoints")] == ["kubernetes"]
    assert api.writes.count("DELETE endpoints") == 1


def test_conflicts_are_tried_again_without_a_word_other_refusals_are_said(api: FakeApi) -> None:
    with Running(api, endpoints.CONTROLLER) as running:
        with api.lock:
            api.create(a_service())
            api.refuse = [ApiError(409, "conflict"), ApiError(409, "conflict"), ApiError(500, "no space"), Unreachable("away")]
        until(lambda: api.all("endpoints"), "the endpoints")
        assert api.writes.count("create Endpoints") == 5
        assert [one for one in running.said if "no space" in one] == ["endpoint-controller default/web: no space"]
        assert not [one for one in running.said if "conflict" in one]
        assert running.loop.world.cut_off_at > 0


def test_what_makes_no_sense_is_said_and_stops_nobody(api: FakeApi) -> None:
    with Running(api, *ALL) as running:
        api.create(a_service("bad", ports=[7]))
        api.create({"kind": "Pod", "metadata": {"name": "bare", "namespace": "default"}, "spec": None})
        api.create({"kind": "Pod", "metadata": {"name": "odd", "namespace": "default", "labels": 7}, "status": {"podIP": "10.244.1.3"}})
        api.create(a_pod("a", ip="10.244.1.2"))
        api.create(a_service())
        until(lambda: api.all("endpoints"), "the endpoints of the other service")
        until(lambda: [one for one in running.said if "default/bad: passed over" in one], "the line about it")


def test_an_object_that_is_gone_meanwhile_is_no_error(api: FakeApi) -> None:
    calls: list[Key] = []

    def reconcile(key: Key, world: World) -> list[Action]:
        calls.append(key)
        found = world.get("services", *reversed(key))
        return [] if found is None else [loop.Patch("services", key[1], key[0], {"x": 1}), loop.Delete("services", key[1], key[0], "u")]

    ghost = a_service("ghost")
    with Running(api, Controller("c", {"services": itself}, reconcile)) as running:
        running.loop._news.put(("ADDED", "services", ghost | {"metadata": ghost["metadata"] | {"uid": "u", "resourceVersion": "1"}}))
        until(lambda: len(calls) == 2, "the second look, after which it is known to be gone")
        assert running.said == ["all objects have been listed"]


def test_a_deadline_brings_an_object_back_and_the_earliest_counts(api: FakeApi) -> None:
    calls: list[float] = []

    def reconcile(key: Key, world: World) -> list[Action]:
        calls.append(world.now)
        return [Again(30.0), Again(0.01), Again(60.0), Tell(a_pod("p"), "Again", "and again")] if len(calls) < 4 else []

    api.create(a_service())
    with Running(api, Controller("c", {"services": itself}, reconcile)):
        until(lambda: len(calls) == 4, "the deadlines")
        until(lambda: [one["count"] for one in api.all("events")] == [3], "one event, said three times")
    assert calls == sorted(calls)


def test_the_informers_loss_of_the_apiserver_is_said_once_and_kept_in_mind(api: FakeApi) -> None:
    with Running(api, endpoints.CONTROLLER) as running:
        for plural in ("endpoints", "pods", "services"):
            running.loop._note(plural, f"{plural}: away")
        until(lambda: running.loop.world.cut_off_at > 0, "the note")
        assert running.said[1:] == ["endpoints: away"]
