"""The gce backend: a route of the Google Compute Engine project leads to the node's subnet, and Google's network carries the packets.

As with aws-vpc everything is done once, at the start.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network
from typing import Any, Literal

from lab.errors import BootError, UsageError
from lab.flannel import metadata
from lab.flannel.backends.alloc import AllocNetwork
from lab.flannel.backends.base import Acquire, Log
from lab.flannel.config import Config
from lab.flannel.interface import External
from lab.flannel.lease import Attrs
from lab.flannel.metadata import HttpError

ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"
"""gcloud's variable with the address of the Compute Engine API, http://.../compute/v1/. Without it nothing is asked."""

PRIORITY = 1000
POLLS = 100
POLL_SECONDS = 1.0
_TOLD_EVERY = 5


class GceBackend:
    """See lab.flannel.backends.base.Backend.

    about    where the metadata service is
    wait     seconds before the second look at an operation, twice as long before each further one, up to flannel's 1 s
    """

    def __init__(
        self,
        external: External,
        acquire: Acquire,
        log: Log,
        about: str = f"http://{metadata.HOST}/computeMetadata/v1",
        wait: float = 0.02,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._external = external
        self._acquire = acquire
        self._log = log
        self._about = about
        self._wait = wait
        self._sleep = sleep

    def register_network(self, config: Config) -> GceNetwork:
        """Acquire the subnet, then let the project's routes lead to this instance for it."""
        lease = self._acquire(config, Attrs(self._external.public_ip))
        api = self._api()
        instance = _json("GET", f"{api}/{self._instance()}", "error getting instance from compute service")
        network = f"global/networks/{self._last('instance/network-interfaces/0/network', 'error getting network metadata')}"
        wanted = route(lease.subnet, instance, _json("GET", f"{api}/{network}", "error getting network from compute service"))
        what = self._look(api, wanted)
        if what == "keep":
            self._log("Exact pre-existing route found")
        if what == "replace":
            self._log("Deleting conflicting route")
            name = f"{api}/global/routes/{wanted['name']}"
            self._finish(api, _json("DELETE", name, "error deleting conflicting route"), "delete operation failed")
        if what != "keep":
            self._log(f"Inserting route for subnet: {lease.subnet}")
            begun = _json("POST", f"{api}/global/routes", "error inserting route", wanted)
            self._finish(api, begun, "insert operation failed")
        return GceNetwork(lease, self._external.mtu)

    def _api(self) -> str:
        """The project's place in the API."""
        endpoint = os.environ.get(ENDPOINT)
        if not endpoint:
            text = f"the variable {ENDPOINT} does not say where the Compute Engine API is"
            raise UsageError(f"{text}; in a lab it is http://{metadata.HOST}/compute/v1/")
        return f"{endpoint.rstrip('/')}/projects/{self._ask('project/project-id', 'error getting project')}"

    def _instance(self) -> str:
        zone = self._last("instance/zone", "error getting instance zone")
        return f"zones/{zone}/instances/{self._ask('instance/name', 'error getting instance name')}"

    def _last(self, path: str, trouble: str) -> str:
        """The last part of projects/NUMBER/zones/ZONE, which is how the metadata name things."""
        return self._ask(path, trouble).rpartition("/")[2]

    def _ask(self, path: str, trouble: str) -> str:
        try:
            return metadata.call("GET", f"{self._about}/{path}", headers={"Metadata-Flavor": "Google"})
        except BootError as error:
            raise BootError(f"{trouble}: {error}; gce works on Compute Engine instances, and in a lab whose topology asks for it") from error

    def _look(self, api: str, wanted: Mapping[str, Any]) -> Literal["keep", "replace", "insert"]:
        try:
            found = metadata.call("GET", f"{api}/global/routes/{wanted['name']}")
        except HttpError as error:
            if error.code != 404:
                raise BootError(f"error getting the route: {error}") from error
            return "insert"
        return "keep" if is_same(json.loads(found), wanted) else "replace"

    def _finish(self, api: str, operation: Mapping[str, Any], trouble: str) -> None:
        """Look at an operation until it is done."""
        for number in range(POLLS):
            now = _json("GET", f"{api}/global/operations/{operation['name']}", f"{trouble}: error fetching operation status")
            if now.get("error"):
                raise BootError(f"{trouble}: error running operation: {json.dumps(now['error'])}")
            if number % _TOLD_EVERY == 0:
                self._log(f"{now['operationType']} operation status: {now['status']} waiting for completion...")
            if now["status"] == "DONE":
                return
            self._sleep(min(self._wait * 2**number, POLL_SECONDS))
        raise BootError(f"{trouble}: timeout waiting for operation to finish")


class GceNetwork(AllocNetwork):
    """See lab.flannel.backends.base.Network."""

    def stats(self) -> str:
        """There is nothing to count here."""
        return "gce forwards nothing itself: the project's routes do"


def route_name(subnet: IPv4Network) -> str:
    """flannel's name for a route: letters, digits and dashes are all that Google allows in one."""
    return f"flannel-{str(subnet).replace('.', '-').replace('/', '-')}"


def route(subnet: IPv4Network, instance: Mapping[str, Any], network: Mapping[str, Any]) -> dict[str, Any]:
    """The route that leads to a subnet's node."""
    return {
        "name": route_name(subnet),
        "destRange": str(subnet),
        "network": network["selfLink"],
        "nextHopInstance": instance["selfLink"],
        "priority": PRIORITY,
        "tags": [],
    }


def is_same(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a route of that name can stay. Only the next hop is looked at, as flannel does."""
    return bool(found.get("nextHopInstance") == wanted["nextHopInstance"])


def _json(method: str, url: str, trouble: str, body: Any = None) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(metadata.call(method, url, body))
    except BootError as error:
        raise BootError(f"{trouble}: {error}") from error
    return answer
