"""What a stranger in the lab's network writes: into etcd, to the apiserver and the kubelet, to flanneld's port. Daemons go on, without tracebacks.

One lab for all of it. After each flood the same questions: does every daemon live under its old process id, has none printed a traceback, and do
pods still reach each other, and a new one start.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.fabric.logfiles import LOGS
from lab.master.etcdclient import EtcdClient
from tests.sandboxed import together
from tests.survival.world import MANIFEST, NODE, booted
from tests.waiting import until

pytestmark = pytest.mark.e2e

CANARY = "/tmp/lab-escaped-canary"
SHORT, FULL = 200, 3000
PLAIN = (
    *("", " ", "null", "0", "-1", "true", '""', "[]", "{}", "[[]]", '{"a":'),
    *("\x00", "\ufffd", "x" * 5000, "[" * 3000, '{"metadata": null}', '{"kind": 7}'),
)
ATOMS = (
    *(None, True, 0, -1, 2**70, 1.5, "", "x", "../../../../.." + CANARY, "a/b", "$(id)"),
    *("10.244.300.0/99", "\n", "٣", [], {}, [None], {"name": {}}),
)


class World:
    """The lab, and what it looked like before anybody wrote anything."""

    def __init__(self, seed: int, examples: int) -> None:
        self.lab = booted()
        self.dice, self.examples = random.Random(seed), examples
        self.etcd = EtcdClient(["http://127.0.0.1:2379"])
        self.pids = {(machine, name): one.pid for machine, daemons in self.lab.daemons.items() for name, one in daemons.items()}
        self.born = 0
        self.is_well()

    def put(self, key: str, value: str) -> None:
        with self.lab.master.namespace.entered():
            self.etcd.put(key, value)

    def delete(self, key: str) -> None:
        with self.lab.master.namespace.entered():
            self.etcd.delete(key)

    def values(self, prefix: str) -> dict[str, str]:
        with self.lab.master.namespace.entered():
            return {item.key: item.value for item in self.etcd.range(prefix, prefix=True).items}

    def is_well(self) -> None:
        """The questions of after each flood."""
        ended = {f"{where} {name}": one.last_words() for (where, name), one in self._daemons() if one.ended() is not None}
        assert not ended, f"ended: {ended}"
        shouting = {path.name: _traceback(path) for path in LOGS.glob("*.log") if "Traceback" in path.read_text(errors="replace")}
        assert not shouting, "\n".join(f"{name}:\n{text}" for name, text in shouting.items())
        assert {place: one.pid for place, one in self._daemons()} == self.pids
        assert not os.path.lexists(CANARY)
        self.restore()
        caller = self.lab.pod("caller")
        try:
            until(lambda: caller.run("curl -s -m 2 10.96.1.1").status == 0, "traffic to the service")
        except AssertionError as error:
            there = [self.lab.api.find(plural, "far", "default") for plural in ("services", "endpoints", "pods")]
            raise AssertionError(f"{error}; there are {json.dumps(there)}; on the node: {caller.run('ip route').stdout}") from error
        self.born += 1
        name = f"born-{self.born}"
        container = {"name": "c", "image": "ubuntu"}
        self.lab.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}})
        until(lambda: self.lab.api.get("pods", name, "default")["status"].get("phase") == "Running", f"the start of {name}")
        self.lab.api.delete("pods", name, "default", grace=0)

    def restore(self) -> None:
        """Create what somebody has deleted, which everybody may here, and wait until it is there."""
        for item in yaml.safe_load_all(MANIFEST):
            plural, name = item["kind"].lower() + "s", item["metadata"]["name"]
            found = self.lab.api.find(plural, name, "default")
            if found and any(found["metadata"].get(key) != item["metadata"].get(key) for key in ("labels", "finalizers")):
                self.lab.api.patch(plural, name, "default", {"metadata": {"finalizers": None}})
                self.lab.api.delete(plural, name, "default", grace=0)
            until(lambda plural=plural, name=name: not _ending(self.lab.api.find(plural, name, "default")), f"the end of {name}")  # type: ignore[misc]
            if self.lab.api.find(plural, name, "default") is None:
                self.lab.api.create(item)
        for name in ("far", "caller"):
            until(lambda name=name: _running(self.lab.api.get("pods", name, "default")), f"{name} to run")  # type: ignore[misc]

    def _daemons(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for machine, daemons in self.lab.daemons.items():
            for name, one in daemons.items():
                yield (machine, name), one

    def spoilt(self, text: str) -> str:
        """A JSON value in which something is something else; or anything."""
        if self.dice.random() < 0.2:
            return self.dice.choice(PLAIN)
        tree = json.loads(text)
        for _ in range(self.dice.randint(1, 3)):
            _spoil(tree, self.dice)
        return json.dumps(tree)


def _ending(item: dict[str, Any] | None) -> bool:
    return item is not None and "deletionTimestamp" in item["metadata"]


def _running(item: dict[str, Any]) -> bool:
    return item["status"].get("phase") == "Running" and not _ending(item)


def _traceback(path: Path) -> str:
    text = path.read_text(errors="replace")
    begin = text.index("Traceback")
    return text[begin : begin + 3000]


def _spoil(tree: Any, dice: random.Random) -> None:
    """Exchange one value, at any depth, for one that does not belong there."""
    while True:
        places = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not places:
            return
        place = dice.choice(places)
        below = tree[place]
        if not isinstance(below, dict | list) or not below or dice.random() < 0.3:
            tree[place] = copy.deepcopy(dice.choice(ATOMS))
            return
        tree = below


ODD_LEASES = ("10.244.77.0-24", "10.244.77.0-99", "x", "", "10.244.0.0-8", "..", "10.244.78.0-24/deeper")


def flannels_keys(world: World) -> None:
    """Leases that are none, keys that are none, and a configuration that changes into nonsense while everybody runs."""
    prefix = "/coreos.com/network"
    leases = world.values(f"{prefix}/subnets/")
    for number in range(world.examples):
        key = world.dice.choice([*ODD_LEASES, f"10.9.{number % 256}.0-24"])
        value = world.spoilt(world.dice.choice(list(leases.values())))
        world.put(f"{prefix}/subnets/{key}", value)
        if world.dice.random() < 0.5:
            world.delete(f"{prefix}/subnets/{key}")
    config = world.values(f"{prefix}/config")[f"{prefix}/config"]
    for value in (*PLAIN, '{"Network": "x"}', '{"Network": "10.244.0.0/16", "Backend": {"Type": 7}}'):
        world.put(f"{prefix}/config", value)
    world.put(f"{prefix}/config", config)
    for key in set(world.values(f"{prefix}/subnets/")) - set(leases):
        world.delete(key)
    world.is_well()


def the_apiservers_keys(world: World) -> None:
    """Objects that no apiserver would have written, under names that it would have refused, and those that are there spoilt and put right."""
    there = world.values("/registry/")
    assert len(there) > 10
    made = []
    for number in range(world.examples):
        key = world.dice.choice(sorted(there))
        name = world.dice.choice([f"stranger-{number}", "..", "a/b", "", "../../x", "x" * 400, "ü", "%2e%2e"])
        strange = f"{key.rpartition('/')[0]}/{name}"
        if strange not in there:
            made.append(strange)
            world.put(strange, world.spoilt(there[key]))
    world.put("/registry/gizmos/default/x", "{}")
    world.put("/registry/pods/x", "{}")
    escaping = json.loads(next(value for key, value in there.items() if key.endswith("/pods/default/caller")))
    up = "../../../../../../.." + CANARY
    for name, namespace, uid in ((up, "default", "u1"), ("escaping", up, "u2"), ("escaping", "default", up)):
        pod = json.loads(json.dumps(escaping))
        pod["metadata"] |= {"name": name, "namespace": namespace, "uid": uid}
        made.append(f"/registry/pods/{namespace}/{name}")
        world.put(made[-1], json.dumps(pod))
    world.lab.api.list("pods")
    for key in [*made, "/registry/gizmos/default/x", "/registry/pods/x"]:
        world.delete(key)
    for key, value in there.items():
        if key.startswith("/registry/services/") or "/pods/" in key or "/nodes/" in key:
            world.put(key, value)
    world.is_well()


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "")
DEFAULT = "/api/v1/namespaces/default"
PATHS = (
    *("/", "//", "*", "x", "http://elsewhere/", "/%00", "/../../etc/passwd", "/api", "/apis", "/version", "/healthz", "/metrics"),
    *("/openapi/v2", "/api/v1"),
    *(f"{DEFAULT}/pods", f"{DEFAULT}/pods/far", f"{DEFAULT}/pods/far/log", f"{DEFAULT}/pods/far/exec?command=id"),
    *(f"{DEFAULT}/pods/..%2f..%2fx/log",),
    *(f"{DEFAULT}/services", f"{DEFAULT}/services/far/proxy/", "/api/v1/nodes/zenlin/proxy/x", "/apis/apps/v1/namespaces/default/deployments"),
    *("/apis/extensions/v1beta1/x", "/api/v1/pods", "/api/v1/pods?watch=1&resourceVersion=x&timeoutSeconds=1", "/api/v1/pods?limit=-1&continue=%ff"),
    *("/api/v1/pods?labelSelector=((", "/api/v1/pods?fieldSelector=a==b,,=c", "/pods", "/exec/a/b/c", "/containerLogs/x/y/z"),
)
JSON = "Content-Type: application/json"
HEADERS = (
    *(JSON, f"{JSON}-patch+json", "Content-Type: application/vnd.kubernetes.protobuf"),
    *("Content-Type: application/apply-patch+yaml", "Accept: */*;q=x"),
    *("Content-Length: -1", "Content-Length: 99999999999"),
    *( "Transfer-Encoding: chunked", "Upgrade: websocket", "Upgrade: SPDY/3.1"),
    *("Connection: Upgrade",),
    *("Authorization: Bearer x", "Authorization: Basic %%%", "Content-Encoding: gzip", "X: " + "y" * 20000, "broken", ": x"),
)


def _requests(world: World, host: str, port: int) -> None:
    """Write requests of all sorts, take what comes, and close at any moment."""
    pod = json.dumps(world.lab.api.get("pods", "far", "default"))
    for _ in range(world.examples):
        body = world.dice.choice([world.spoilt(pod), world.dice.choice(PLAIN), "k8s\x00\xff\xff", "- op: x"]).encode("utf-8", "replace")
        headers = "".join(f"{line}\r\n" for line in world.dice.sample(HEADERS, world.dice.randint(0, 3)))
        length = f"Content-Length: {len(body)}\r\n" if "Length" not in headers and "Transfer" not in headers else ""
        head = f"{world.dice.choice(METHODS)} {world.dice.choice(PATHS)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}{length}\r\n"
        with contextlib.suppress(OSError), world.lab.master.namespace.entered(), socket.create_connection((host, port), 5) as door:
            door.settimeout(0.3)
            door.sendall(head.encode() + body)
            door.recv(4096)


def requests_to_the_apiserver(world: World) -> None:
    _requests(world, "127.0.0.1", 8080)
    world.is_well()


def requests_to_the_kubelet(world: World) -> None:
    _requests(world, str(world.lab.topology.node(NODE).address.ip), 10250)
    world.is_well()


def datagrams_to_flanneld(world: World) -> None:
    """From another node's address, and from a client outside: rubbish, half packets, packets that lie about their length, whole ones."""
    target = (str(world.lab.topology.node(NODE).address.ip), 8285)
    header = bytes.fromhex("45000054000040000401000001020304") + socket.inet_aton("10.244.1.2")
    for host in (world.lab.master, world.lab.client()):
        with host.namespace.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
            for _ in range(world.examples * 10):
                piece = bytearray(header + world.dice.randbytes(world.dice.choice([0, 1, 64, 1400])))
                for _ in range(world.dice.randint(0, 4)):
                    piece[world.dice.randrange(len(piece))] = world.dice.randrange(256)
                with contextlib.suppress(OSError):
                    door.sendto(bytes(piece[: world.dice.choice([0, 1, 19, 20, 21, len(piece)])]), target)
    world.is_well()


CHECKS: tuple[Callable[[World], None], ...] = (
    datagrams_to_flanneld,
    flannels_keys,
    requests_to_the_kubelet,
    requests_to_the_apiserver,
    the_apiservers_keys,
)


@pytest.fixture(name="results", scope="module")
def _results(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> dict[str, str]:
    place = tmp_path_factory.mktemp("strangers")
    seed = int(os.environ.get("LAB_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"LAB_SEED={seed}")
    examples = FULL if request.config.getoption("--full") else SHORT
    return together(place / "results.json", partial(World, seed, examples), CHECKS)


@pytest.mark.parametrize("check", [check.__name__ for check in CHECKS])
def test_strangers(results: dict[str, str], check: str) -> None:
    assert not results[check], results[check]
