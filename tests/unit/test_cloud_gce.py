"""The stand-in of the Compute Engine API, and the gce backend talking to it over loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from lab.cloud import project, web
from lab.cloud.gce import Gce
from lab.cloud.project import Project, Refused
from lab.cloud.routes import Instance, Machine, Row
from lab.cloud.web import Request
from lab.errors import BootError, UsageError
from lab.flannel.backends.gce import ENDPOINT, GceBackend
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs, Lease
from tests.waiting import until

BASE = "http://api/compute/v1"
MACHINES = [Machine("node1", IPv4Interface("10.0.0.1/24")), Machine("node2", IPv4Interface("10.0.0.2/24"))]
SUBNET = IPv4Network("10.244.1.0/24")


def route(name: str = "flannel-10-244-1-0-24", to: str = "10.244.1.0/24", node: str = "node1", **more: Any) -> dict[str, Any]:
    return {"name": name, "destRange": to, "nextHopInstance": f"{BASE}/projects/lab/zones/us-central1-a/instances/{node}"} | more


def done(begun: Project, operation: dict[str, Any]) -> dict[str, Any]:
    begun.work()
    return begun.operations[operation["name"]]


def test_a_project_begins_with_the_routes_that_each_has() -> None:
    begun = Project(MACHINES, BASE)
    assert sorted((one["destRange"], one["priority"]) for one in begun.routes.values()) == [("0.0.0.0/0", 1000), ("10.0.0.0/24", 0)]
    assert begun.rows() == [], "they lead to no instance"
    assert begun.forwarding() == [Instance(IPv4Address("10.0.0.1"), True), Instance(IPv4Address("10.0.0.2"), True)]


def test_an_operation_is_accepted_first_and_done_later() -> None:
    begun = Project(MACHINES, BASE)
    operation = begun.insert_route(route())
    assert operation["status"] == "RUNNING" and begun.rows() == []
    assert done(begun, operation)["status"] == "DONE"
    assert begun.rows() == [Row(SUBNET, IPv4Address("10.0.0.1"))]
    assert begun.routes["flannel-10-244-1-0-24"]["priority"] == 1000
    assert begun.work() is False, "there is nothing left to do"
    done(begun, begun.delete_route("flannel-10-244-1-0-24"))
    assert begun.rows() == []


def test_the_lower_priority_number_wins() -> None:
    begun = Project(MACHINES, BASE)
    begun.insert_route(route())
    begun.insert_route(route("better", node="node2", priority=10))
    begun.work()
    assert begun.rows()[0] == Row(SUBNET, IPv4Address("10.0.0.2"))


def test_a_route_outlives_its_instance() -> None:
    begun = Project(MACHINES, BASE)
    begun.insert_route(route())
    begun.delete_instance("node1")
    begun.work()
    assert begun.rows() == [Row(SUBNET, None)]
    begun.insert_instance(project.described(MACHINES[0]))
    begun.work()
    assert begun.rows() == [Row(SUBNET, IPv4Address("10.0.0.1"))]


def test_forwarding_has_to_be_asked_for() -> None:
    begun = Project(MACHINES, BASE)
    begun.insert_instance({"name": "n", "networkInterfaces": [{"networkIP": "10.0.0.9"}]})
    begun.update_instance("node1", {"canIpForward": False})
    begun.work()
    assert [one.forwards for one in begun.forwarding()] == [False, True, False]


def test_refusals() -> None:
    begun = Project(MACHINES, BASE)
    begun.insert_route(route())
    begun.work()
    refused = {
        409: lambda: begun.insert_route(route()),
        404: lambda: begun.delete_route("nothing"),
        400: lambda: begun.insert_route({"name": "x", "destRange": "10.244.1.5/24"}),
    }
    for status, call in refused.items():
        with pytest.raises(Refused) as caught:
            call()
        assert caught.value.status == status
    for number in range(project.LIMIT - len(begun.routes)):
        begun.insert_route(route(f"r{number}", f"10.1.{number}.0/24"))
        begun.work()
    with pytest.raises(Refused, match="Limit: 100") as caught:
        begun.insert_route(route("one-too-many"))
    assert (caught.value.status, caught.value.reason) == (403, "quotaExceeded")


class FakeRouter:
    """Takes what it is told to follow."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def follow(self, rows: Sequence[Row], instances: Sequence[Instance]) -> None:
        self.rows = list(rows)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Gce, FakeRouter, str]]:
    """The application with an instance at 127.0.0.1, its router, and where it listens."""
    router = FakeRouter()
    app = Gce([Machine("node1", IPv4Interface("127.0.0.1/8")), Machine("node2", IPv4Interface("127.0.0.2/8"))], router)  # type: ignore[arg-type]
    server = web.server(app, lambda line: None, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv(ENDPOINT, f"{address}/compute/v1/")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield app, router, address
    server.shutdown()
    thread.join()
    server.server_close()


def backend(address: str, log: list[str]) -> GceBackend:
    external = External("eth0", 1500, IPv4Address("127.0.0.1"), IPv4Address("127.0.0.1"))

    def acquire(config: Config, attrs: Attrs) -> Lease:
        return Lease(SUBNET, attrs)

    return GceBackend(external, acquire, log.append, about=f"{address}/computeMetadata/v1", wait=0.001)


CONFIG = Config(IPv4Network("10.244.0.0/16"), 24, IPv4Address("10.244.1.0"), IPv4Address("10.244.255.0"), "gce")
HERE = Row(SUBNET, IPv4Address("127.0.0.1"))


def test_the_backend_inserts_keeps_and_replaces(cloud: tuple[Gce, FakeRouter, str]) -> None:
    app, router, address = cloud
    log: list[str] = []
    network = backend(address, log).register_network(CONFIG)
    assert (network.lease.subnet, network.mtu) == (SUBNET, 1500)
    assert router.rows == [HERE], "the operation is done when the network is registered"
    assert log[0] == "Inserting route for subnet: 10.244.1.0/24"
    assert log[1].startswith("insert operation status: ")

    log.clear()
    backend(address, log).register_network(CONFIG)
    assert log == ["Exact pre-existing route found"]

    name = "/compute/v1/projects/lab/global/routes"
    other = json.loads(app(Request("GET", f"{name}/flannel-10-244-1-0-24")).body) | {"nextHopInstance": _link(app, "node2")}
    app(Request("DELETE", f"{name}/flannel-10-244-1-0-24"))
    until(lambda: router.rows == [], "the route's end")
    app(Request("POST", name, body=json.dumps(other).encode()))
    until(lambda: router.rows == [Row(SUBNET, IPv4Address("127.0.0.2"))], "the wrong route")
    log.clear()
    backend(address, log).register_network(CONFIG)
    assert [line for line in log if "status" not in line] == ["Deleting conflicting route", "Inserting route for subnet: 10.244.1.0/24"]
    assert router.rows == [HERE]


def _link(app: Gce, name: str) -> str:
    link: str = json.loads(app(Request("GET", f"/compute/v1/projects/lab/zones/us-central1-a/instances/{name}")).body)["selfLink"]
    return link


def test_metadata_want_their_header_and_know_who_asks(cloud: tuple[Gce, FakeRouter, str]) -> None:
    app, _, _ = cloud
    path, flavor = "/computeMetadata/v1/instance/name", {"metadata-flavor": "Google"}
    assert app(Request("GET", path)).status == 403
    assert app(Request("GET", path, headers=flavor, source=IPv4Address("127.0.0.2"))).body == b"node2"
    assert app(Request("GET", path, headers=flavor, source=IPv4Address("127.0.0.3"))).status == 404


def test_wrong_requests_get_googles_kind_of_answer(cloud: tuple[Gce, FakeRouter, str]) -> None:
    app, _, _ = cloud
    routes = "/compute/v1/projects/lab/global/routes"
    assert app(Request("GET", f"{routes}/nothing")).status == 404
    assert app(Request("PATCH", routes)).status == 405
    assert app(Request("POST", routes, body=b"{")).status == 400
    assert json.loads(app(Request("GET", "/compute/v1/projects/other/global/routes")).body)["error"]["code"] == 404


def test_without_an_api_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENDPOINT, raising=False)
    with pytest.raises(UsageError, match=ENDPOINT):
        backend("http://127.0.0.1:1", []).register_network(CONFIG)


def test_without_a_metadata_service_it_says_what_gce_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1/compute/v1/")
    with pytest.raises(BootError, match="no answer from http://127.0.0.1:1/.*gce works on Compute Engine instances"):
        backend("http://127.0.0.1:1", []).register_network(CONFIG)
