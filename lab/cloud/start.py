"""Starts the cloud that a topology's flannel backend needs, and tells it of machines that come and go."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import socket
import time

from lab.cloud import daemon, gce, project, web
from lab.cloud.ec2 import Ec2
from lab.cloud.routes import Machine
from lab.errors import CommandError
from lab.fabric import daemon as daemons
from lab.fabric import process
from lab.fabric.namespace import Namespace
from lab.flannel.backends import awsvpc
from lab.flannel.backends import gce as gce_backend
from lab.flannel.metadata import HOST
from lab.model.topology import Node, Topology

_NOWHERE = "/dev/null"


def environment(kind: str) -> dict[str, str]:
    """The variables that lead a client to the lab's cloud. Amazon's also keep its library from looking for anything elsewhere."""
    if kind == "gce":
        return {gce_backend.ENDPOINT: f"http://{HOST}{gce.API}/"}
    return {
        awsvpc.ENDPOINT: f"http://{HOST}",
        "AWS_ACCESS_KEY_ID": "lab",
        "AWS_SECRET_ACCESS_KEY": "lab",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": _NOWHERE,
        "AWS_SHARED_CREDENTIALS_FILE": _NOWHERE,
    }


class Cloud:
    """The running cloud. `running` is its daemon in the router's namespace."""

    def __init__(self, topology: Topology, router: Namespace) -> None:
        self._kind = topology.flannel.backend.type
        self._router = router
        machines = [_machine(node) for node in topology.nodes]
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(environment(self._kind))
        process.announce(environment(self._kind))
        self.running = daemons.fork(router, "cloud", functools.partial(daemon.run, self._kind, machines))

    def wait(self) -> None:
        """Return when it answers. The wait is used to import what every flanneld will need. Raises BootError."""
        if self._kind == "aws-vpc":
            _warm()
        self.running.wait_until(self._answers, f"answer on port {web.PORT}")

    def launch(self, node: Node) -> None:
        """A node has joined: make it an instance. Raises LabError when the cloud refuses."""
        if self._kind == "aws-vpc":
            ec2 = Ec2(functools.partial(self._request, "POST", "/"))
            ec2.launch(_machine(node), ec2.vpc())
            return
        self._google("POST", "instances", project.described(_machine(node)))

    def terminate(self, name: str) -> None:
        """A node has left: its instance goes, the rows that lead to it stay. Raises LabError when the cloud refuses."""
        if self._kind == "aws-vpc":
            Ec2(functools.partial(self._request, "POST", "/")).terminate(name)
        else:
            self._google("DELETE", f"instances/{name}")

    def _google(self, method: str, path: str, body: project.Json | None = None) -> None:
        """Begin an operation and wait until it is done."""
        operation = self._zonal(method, path, body)
        deadline = time.monotonic() + daemons.READY_TIMEOUT
        while operation["status"] != "DONE":
            if time.monotonic() > deadline:
                raise CommandError(f"{self._router.name}: the cloud's operation {operation['name']} is not done after {daemons.READY_TIMEOUT:g} s")
            time.sleep(0.002)
            operation = self._zonal("GET", f"operations/{operation['name']}")

    def _zonal(self, method: str, path: str, body: project.Json | None = None) -> project.Json:
        where = f"{gce.API}/projects/{project.PROJECT}/zones/{project.ZONE}/{path}"
        status, answer = self._request(method, where, b"" if body is None else json.dumps(body).encode())
        if status >= 300:
            raise CommandError(f"{self._router.name}: the cloud refuses {method} {where}: {answer.decode('utf-8', 'replace')}")
        told: project.Json = json.loads(answer)
        return told

    def _request(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        with self._router.entered():
            connection = http.client.HTTPConnection(HOST, web.PORT, timeout=daemons.READY_TIMEOUT)
            try:
                connection.request(method, path, body)
                response = connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                raise CommandError(f"{self._router.name}: the cloud does not answer: {error}\n{self.running.last_words()}") from error
            finally:
                connection.close()

    def _answers(self) -> bool:
        with self._router.entered():
            probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with probe, contextlib.suppress(OSError):
            probe.settimeout(0.5)
            return probe.connect_ex((HOST, web.PORT)) == 0
        return False


def _machine(node: Node) -> Machine:
    return Machine(node.name, node.address)


def _warm() -> None:
    """Import boto3 and read its description of EC2 once, for every process that is forked from this one."""
    awsvpc.client("us-east-1")
