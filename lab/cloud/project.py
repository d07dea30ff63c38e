"""A Google Compute Engine project with one network: its instances, routes and operations, as data that requests change. No clock, no socket.

An operation is accepted first and done later, as Google does it: `insert_route` and its like return a pending one, `work` does it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

from lab.cloud.routes import Instance, Machine, Row, blocks

PROJECT = "lab"
NETWORK = "default"
REGION = "us-central1"
ZONE = f"{REGION}-a"
PRIORITY = 1000
"""A route's, unless it says otherwise; the lower number wins."""

LIMIT = 100
"""How many routes a project takes."""

Json = dict[str, Any]


class Refused(Exception):
    """The API says no: HTTP status, Google's word for the reason, and a sentence."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        self.status, self.reason, self.text = status, reason, text
        super().__init__(text)


class Project:
    """The project. `base`: where the API is, `http://169.254.169.254/compute/v1`, for the links between its resources."""

    def __init__(self, machines: Sequence[Machine], base: str) -> None:
        self._base = f"{base}/projects/{PROJECT}"
        self.instances: dict[str, Json] = {}
        self.routes: dict[str, Json] = {}
        self.operations: dict[str, Json] = {}
        self._pending: list[tuple[Json, Callable[[], None]]] = []
        self._add_route(self._default("0.0.0.0/0", {"nextHopGateway": self._link("global/gateways/default-internet-gateway")}, PRIORITY))
        for block in blocks(machine.address.network for machine in machines):
            self._add_route(self._default(str(block), {"nextHopNetwork": self.network()["selfLink"]}, 0))
        for machine in machines:
            self._add_instance(described(machine))

    def network(self) -> Json:
        """The one network."""
        return self._resource("network", NETWORK, f"global/networks/{NETWORK}")

    def insert_route(self, body: Json) -> Json:
        """Begin to add a route. Raises Refused for one that exists, is incomplete or is one too many."""
        name, to = body.get("name"), body.get("destRange")
        if not isinstance(name, str) or not name or not _is_network(to):
            raise Refused(400, "required", "a route needs a name and a destRange such as 10.244.1.0/24")
        if name in self.routes:
            raise Refused(409, "alreadyExists", f"The resource 'projects/{PROJECT}/global/routes/{name}' already exists")
        if len(self.routes) >= LIMIT:
            raise Refused(403, "quotaExceeded", f"Quota 'ROUTES' exceeded.  Limit: {LIMIT}.0")
        return self._begin("insert", f"global/routes/{name}", lambda: self._add_route({"priority": PRIORITY} | body))

    def delete_route(self, name: str) -> Json:
        """Begin to delete a route. Raises Refused when there is none of that name."""
        _found(self.routes, name, "global/routes")
        return self._begin("delete", f"global/routes/{name}", lambda: _drop(self.routes, name))

    def insert_instance(self, body: Json) -> Json:
        """Begin to create an instance. Raises Refused for one that exists or has no address."""
        name = str(body.get("name", ""))
        if name in self.instances:
            raise Refused(409, "alreadyExists", f"The resource '{_zonal(name)}' already exists")
        try:
            IPv4Address(body["networkInterfaces"][0]["networkIP"])
        except (LookupError, TypeError, ValueError):
            raise Refused(400, "required", "an instance needs networkInterfaces[0].networkIP, an IPv4 address") from None
        return self._begin("insert", _zonal(name), lambda: self._add_instance(body))

    def update_instance(self, name: str, body: Json) -> Json:
        """Begin to change an instance's canIpForward. Raises Refused when there is no such instance."""
        instance = _found(self.instances, name, f"zones/{ZONE}/instances")
        change = {"canIpForward": bool(body.get("canIpForward", instance["canIpForward"]))}
        return self._begin("update", _zonal(name), lambda: instance.update(change))

    def delete_instance(self, name: str) -> Json:
        """Begin to delete an instance. Raises Refused when there is no such instance."""
        _found(self.instances, name, f"zones/{ZONE}/instances")
        return self._begin("delete", _zonal(name), lambda: _drop(self.instances, name))

    def work(self) -> bool:
        """Do the operations that are pending; whether there were any."""
        pending, self._pending = self._pending, []
        for operation, action in pending:
            action()
            operation.update(status="DONE", progress=100)
        return bool(pending)

    def rows(self) -> list[Row]:
        """The routes that lead to instances, the one that wins first."""
        links = {instance["selfLink"]: address_of(instance) for instance in self.instances.values()}
        ranked = sorted(self.routes.values(), key=lambda route: (route["priority"], route["name"]))
        return [Row(IPv4Network(route["destRange"]), links.get(route["nextHopInstance"])) for route in ranked if route.get("nextHopInstance")]

    def forwarding(self) -> list[Instance]:
        """Who may forward."""
        return [Instance(address_of(instance), instance["canIpForward"]) for instance in self.instances.values()]

    def _begin(self, verb: str, target: str, action: Callable[[], None]) -> Json:
        name = f"operation-{len(self.operations) + 1:04d}"
        path = f"zones/{ZONE}" if target.startswith("zones/") else "global"
        more = {"operationType": verb, "targetLink": self._link(target), "status": "RUNNING", "progress": 0}
        operation = self._resource("operation", name, f"{path}/operations/{name}") | more
        self.operations[name] = operation
        self._pending.append((operation, action))
        return dict(operation)

    def _default(self, to: str, hop: Json, priority: int) -> Json:
        name = f"default-route-{hashlib.sha256(to.encode()).hexdigest()[:16]}"
        return {"name": name, "network": self.network()["selfLink"], "destRange": to, "priority": priority} | hop

    def _add_route(self, body: Json) -> None:
        self.routes[body["name"]] = self._resource("route", body["name"], f"global/routes/{body['name']}") | body

    def _add_instance(self, body: Json) -> None:
        more = {"canIpForward": False, "status": "RUNNING", "zone": self._link(f"zones/{ZONE}")}
        self.instances[body["name"]] = self._resource("instance", body["name"], _zonal(body["name"])) | more | body

    def _resource(self, kind: str, name: str, path: str) -> Json:
        number = int(hashlib.sha256(path.encode()).hexdigest()[:15], 16)
        return {"kind": f"compute#{kind}", "id": str(number), "name": name, "selfLink": self._link(path)}

    def _link(self, path: str) -> str:
        return f"{self._base}/{path}"


def described(machine: Machine) -> Json:
    """The request that creates an instance. canIpForward has to be asked for; flannel's documentation tells its users to."""
    card = {"network": f"global/networks/{NETWORK}", "networkIP": str(machine.address.ip)}
    return {"name": machine.name, "canIpForward": True, "networkInterfaces": [card]}


def address_of(instance: Json) -> IPv4Address:
    """An instance's own address."""
    return IPv4Interface(instance["networkInterfaces"][0]["networkIP"]).ip


def _found(things: dict[str, Json], name: str, path: str) -> Json:
    if name not in things:
        raise Refused(404, "notFound", f"The resource 'projects/{PROJECT}/{path}/{name}' was not found")
    return things[name]


def _drop(things: dict[str, Json], name: str) -> None:
    things.pop(name, None)


def _zonal(name: str) -> str:
    return f"zones/{ZONE}/instances/{name}"


def _is_network(text: object) -> bool:
    try:
        return isinstance(text, str) and IPv4Network(text) is not None
    except ValueError:
        return False
