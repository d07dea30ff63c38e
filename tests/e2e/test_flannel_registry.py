"""The etcd client and flannel's registry against a real etcd on the loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from lab.errors import InputError
from lab.flannel.lease import Attrs, Lease, LeaseEvent, reservation
from lab.flannel.manager import SubnetManager
from lab.flannel.registry import ConfigMissing, Registry, Stop
from lab.master.etcdclient import EtcdClient, EtcdCompacted, EtcdError, EtcdUnreachable
from tests.e2e.flannel_sandbox import etcd_command
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.e2e

PREFIX = "/coreos.com/network"
SUBNET = IPv4Network("10.244.1.0/24")
ME = Attrs(IPv4Address("192.168.1.1"))
OTHER = Attrs(IPv4Address("192.168.1.2"))


class Etcd:
    """One etcd process on a port of its own, its data on a tmpfs; it dies with this process."""

    def __init__(self, port: int, directory: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, data: str = "data") -> None:
        command = ["setpriv", "--pdeathsig", "KILL", *etcd_command(self.url, f"{self.directory}/{data}")]
        with Path(self.directory, "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.answers, "etcd's start")

    def answers(self) -> bool:
        try:
            EtcdClient([self.url]).get("x")
        except EtcdError:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def compact(etcd: Etcd, revision: int) -> None:
    command = ["etcdctl", "--endpoints", etcd.url, "compact", str(revision)]
    subprocess.run(command, env=os.environ | {"ETCDCTL_API": "3"}, timeout=PATIENCE, check=True)


@pytest.fixture
def etcd() -> Iterator[Etcd]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        made = Etcd(free_port(), directory)
        made.start()
        try:
            yield made
        finally:
            made.kill()


@pytest.fixture
def client(etcd: Etcd) -> EtcdClient:
    return EtcdClient([etcd.url])


@pytest.fixture
def registry(client: EtcdClient) -> Registry:
    client.put(f"{PREFIX}/config", '{"Network":"10.244.0.0/16"}')
    return Registry(client, PREFIX)


class Follower:
    """Collects what a registry's watch tells, in a thread."""

    def __init__(self, registry: Registry) -> None:
        self.batches: list[tuple[LeaseEvent, ...]] = []
        self.stop = Stop()
        self.thread = threading.Thread(target=self._collect, args=(registry,))
        self.thread.start()
        until(lambda: self.batches, "the first list of leases")

    def _collect(self, registry: Registry) -> None:
        for events in registry.watch(self.stop):
            self.batches.append(events)

    def told(self) -> list[tuple[str, str, str]]:
        return [
            (event.kind, str(event.lease.subnet), str(event.lease.attrs.public_ip)) for batch in self.batches for event in batch
        ]

    def end(self) -> None:
        self.stop.request()
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture
def follow(registry: Registry) -> Iterator[Callable[[], Follower]]:
    followers: list[Follower] = []

    def begin() -> Follower:
        followers.append(Follower(registry))
        return followers[-1]

    yield begin
    for follower in followers:
        follower.end()


def test_keys_are_written_read_and_deleted(client: EtcdClient) -> None:
    first = client.put("/a/1", "one")
    assert client.put("/a/2", "zwei \udcff") == first + 1
    client.put("/b", "else")
    found = client.get("/a/1")
    assert found is not None
    assert (found.value, found.mod_revision, found.create_revision, found.version, found.lease) == ("one", first, first, 1, 0)
    snapshot = client.range("/a/", prefix=True)
    assert snapshot.revision == first + 2
    assert [(item.key, item.value) for item in snapshot.items] == [("/a/1", "one"), ("/a/2", "zwei \udcff")]
    assert client.range("/c", prefix=True).items == ()
    assert client.get("/c") is None
    assert client.delete("/a/", prefix=True) == 2
    assert client.delete("/a/1") == 0


def test_conditional_writes(client: EtcdClient) -> None:
    created = client.create("/k", "mine")
    assert created
    assert client.create("/k", "yours") == 0
    assert client.replace("/k", "yours", created + 7) == 0
    replaced = client.replace("/k", "new", created)
    assert replaced == created + 1
    assert client.delete_unchanged("/k", created) == 0
    assert client.delete_unchanged("/k", replaced)
    assert client.get("/k") is None


def test_leases(client: EtcdClient) -> None:
    lease = client.grant(100)
    client.put("/k", "v", lease)
    found = client.get("/k")
    assert found is not None
    assert found.lease == lease
    assert 0 < client.remaining(lease) <= 100
    assert client.keepalive(lease) == 100
    client.revoke(lease)
    client.revoke(lease)
    assert client.get("/k") is None
    assert client.keepalive(lease) == 0
    assert client.remaining(lease) == 0
    with pytest.raises(EtcdError, match="requested lease not found"):
        client.put("/k", "v", lease)


def test_the_next_endpoint_is_asked_when_one_is_silent(etcd: Etcd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        dead = f"http://127.0.0.1:{free_port()}"
        client = EtcdClient([dead, f"http://127.0.0.1:{mute.getsockname()[1]}", etcd.url], timeout=0.3)
        assert client.put("/k", "v")
        assert client.get("/k") is not None
        with pytest.raises(EtcdUnreachable, match=r"etcd does not answer: 127.0.0.1:\d+: .*refused; 127.0.0.1:\d+: timed out"):
            EtcdClient([dead, f"http://127.0.0.1:{mute.getsockname()[1]}"], timeout=0.3).get("/k")


def test_an_answer_that_is_no_etcds(etcd: Etcd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(EtcdError, match="not JSON"):
            EtcdClient([f"http://127.0.0.1:{server.getsockname()[1]}"]).get("/k")
        thread.join(PATIENCE)


def test_a_watch_tells_every_change_in_order(client: EtcdClient) -> None:
    start = client.put("/w/1", "a")
    client.put("/w/1", "b")
    client.delete("/w/1")
    watch = client.watch("/w/", prefix=True, start=start)
    client.put("/elsewhere", "x")
    client.put("/w/2", "c")
    seen: list[tuple[bool, str, str]] = []
    while len(seen) < 4:
        seen += [(change.deleted, change.item.key, change.item.value) for change in next(watch).changes]
    assert seen == [(False, "/w/1", "a"), (False, "/w/1", "b"), (True, "/w/1", ""), (False, "/w/2", "c")]
    watch.close()


def test_a_watch_ends_when_another_thread_closes_it(client: EtcdClient) -> None:
    watch = client.watch("/w/", prefix=True)
    ended: list[str] = []

    def consume() -> None:
        try:
            for _ in watch:
                ended.append("message")
        except EtcdUnreachable:
            pass
        ended.append("end")

    thread = threading.Thread(target=consume)
    thread.start()
    watch.close()
    thread.join(PATIENCE)
    assert ended == ["end"]


def test_a_watch_of_the_compacted_past_or_of_the_future_is_refused(client: EtcdClient, etcd: Etcd) -> None:
    for number in range(5):
        revision = client.put("/k", str(number))
    compact(etcd, revision)
    with pytest.raises(EtcdCompacted, match=f"up to revision {revision}"):
        next(client.watch("/k", start=2))
    with pytest.raises(EtcdCompacted, match="its data is not what it was"):
        client.watch("/k", start=revision + 100)
    client.watch("/k", start=revision + 1).close()


def test_the_configuration(client: EtcdClient) -> None:
    registry = Registry(client, PREFIX)
    with pytest.raises(ConfigMissing, match="key /coreos.com/network/config not found"):
        registry.config()
    client.put(f"{PREFIX}/config", "{}")
    with pytest.raises(InputError, match="etcd key /coreos.com/network/config: Network: is missing"):
        registry.config()
    client.put(f"{PREFIX}/config", '{"Network":"10.244.0.0/16"}')
    assert registry.config().subnet_len == 24


def test_a_lease_from_birth_to_death(registry: Registry, client: EtcdClient) -> None:
    lease = registry.create(SUBNET, ME)
    assert lease is not None
    assert registry.create(SUBNET, OTHER) is None
    assert registry.leases().leases == (lease,)
    assert client.remaining(lease.etcd_lease) > 86000
    assert registry.renew(lease) == 86400
    again = registry.refresh(lease, ME)
    assert again is not None
    assert again.etcd_lease != lease.etcd_lease
    assert registry.refresh(lease, OTHER) is None, "somebody changed it in the meantime"
    assert not registry.delete(lease)
    assert registry.delete(again)
    assert registry.leases().leases == ()


def test_a_reservation_keeps_its_eternal_life(registry: Registry, client: EtcdClient) -> None:
    client.put(*reservation(SUBNET, ME.public_ip))
    (reserved,) = registry.leases().leases
    assert reserved.reserved
    taken = registry.refresh(reserved, ME)
    assert taken is not None
    assert taken.reserved
    assert client.get(f"{PREFIX}/subnets/10.244.1.0-24").lease == 0  # type: ignore[union-attr]


def test_bad_keys_are_skipped_with_a_warning(client: EtcdClient) -> None:
    warnings: list[str] = []
    client.put(f"{PREFIX}/subnets/10.244.1.0-99", '{"PublicIP":"192.168.1.2"}')
    client.put(f"{PREFIX}/subnets/10.244.2.0-24", "rubbish")
    client.put(f"{PREFIX}/subnets/10.244.3.0-24", '{"PublicIP":"192.168.1.2"}')
    (lease,) = Registry(client, PREFIX, warn=warnings.append).leases().leases
    assert str(lease.subnet) == "10.244.3.0/24"
    assert [line.rsplit("/", 1)[1] for line in warnings] == ["10.244.1.0-99", "10.244.2.0-24"]


def test_sixty_nodes_at_the_same_instant_get_sixty_subnets(registry: Registry, etcd: Etcd) -> None:
    config = registry.config()
    barrier = threading.Barrier(60)
    leases: list[Lease] = []

    def acquire(number: int) -> None:
        mine = SubnetManager(Registry(EtcdClient([etcd.url]), PREFIX), None, lambda line: None)
        barrier.wait(PATIENCE)
        leases.append(mine.acquire(config, Attrs(IPv4Address(0xC0A80000 + number))))

    threads = [threading.Thread(target=acquire, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(leases) == 60
    assert len({lease.subnet for lease in leases}) == 60
    assert {lease.subnet for lease in registry.leases().leases} == {lease.subnet for lease in leases}


def test_the_loser_of_a_race_takes_another_subnet(registry: Registry) -> None:
    """The other node takes the subnet between the look and the write."""
    raced: list[IPv4Network] = []

    def pick(free: object) -> IPv4Network:
        assert isinstance(free, list)
        if not raced:
            raced.append(free[0])
            assert registry.create(free[0], OTHER)
        return IPv4Network(free[0])

    lease = SubnetManager(registry, None, lambda line: None, pick).acquire(registry.config(), ME)
    assert raced == [SUBNET]
    assert str(lease.subnet) == "10.244.2.0/24"


def test_a_lease_that_no_longer_fits_is_replaced(registry: Registry, client: EtcdClient) -> None:
    assert registry.create(IPv4Network("10.99.1.0/24"), ME)
    lines: list[str] = []
    lease = SubnetManager(registry, None, lines.append).acquire(registry.config(), ME)
    assert lease.subnet.subnet_of(IPv4Network("10.244.0.0/16"))
    assert "Found lease (10.99.1.0/24) for current IP (192.168.1.1) but not compatible with current config, deleting" in lines
    assert len(registry.leases().leases) == 1


def test_the_watch_tells_what_is_and_what_comes_and_goes(registry: Registry, follow: Callable[[], Follower]) -> None:
    registry.create(SUBNET, OTHER)
    follower = follow()
    assert follower.told() == [("added", "10.244.1.0/24", "192.168.1.2")]
    lease = registry.create(IPv4Network("10.244.2.0/24"), ME)
    assert lease is not None
    registry.delete(lease)
    until(lambda: len(follower.told()) == 3, "the events")
    assert follower.told()[1:] == [("added", "10.244.2.0/24", "192.168.1.1"), ("removed", "10.244.2.0/24", "192.168.1.1")]


def test_the_watch_of_an_empty_registry_begins_with_an_empty_batch(follow: Callable[[], Follower]) -> None:
    assert follow().batches == [()]


def test_an_expired_lease_is_told_as_removed(client: EtcdClient, registry: Registry, follow: Callable[[], Follower]) -> None:
    follower = follow()
    Registry(client, PREFIX, ttl=1).create(SUBNET, OTHER)
    until(lambda: len(follower.told()) == 2, "the expiry")
    assert follower.told()[1] == ("removed", "10.244.1.0/24", "192.168.1.2")


def test_the_watch_goes_on_where_it_was_after_etcds_restart(
    etcd: Etcd, registry: Registry, follow: Callable[[], Follower]
) -> None:
    registry.create(SUBNET, OTHER)
    follower = follow()
    registry.create(IPv4Network("10.244.2.0/24"), OTHER)
    until(lambda: len(follower.told()) == 2, "the event before")
    etcd.kill()
    etcd.start()
    registry.create(IPv4Network("10.244.3.0/24"), OTHER)
    until(lambda: ("added", "10.244.3.0/24", "192.168.1.2") in follower.told(), "the event after")
    assert [subnet for _, subnet, _ in follower.told()] == ["10.244.1.0/24", "10.244.2.0/24", "10.244.3.0/24"]


@pytest.mark.parametrize("data", ["data", "other-data"], ids=["compacted", "lost"])
def test_when_history_is_missing_the_watch_tells_the_difference(
    etcd: Etcd, registry: Registry, follow: Callable[[], Follower], data: str
) -> None:
    for number in (1, 2, 3):
        registry.create(IPv4Network(f"10.244.{number}.0/24"), OTHER)
    follower = follow()
    etcd.kill()
    elsewhere = Etcd(free_port(), etcd.directory)
    elsewhere.start(data)
    client = EtcdClient([elsewhere.url])
    client.delete(f"{PREFIX}/subnets/", prefix=True)
    client.put(f"{PREFIX}/subnets/10.244.3.0-24", json.dumps({"PublicIP": "192.168.1.2"}))
    revision = client.put(f"{PREFIX}/subnets/10.244.4.0-24", json.dumps({"PublicIP": "192.168.1.2"}))
    compact(elsewhere, revision)
    elsewhere.kill()
    etcd.start(data)
    until(lambda: len(follower.told()) == 6, "the difference")
    assert [(kind, subnet) for kind, subnet, _ in follower.told()[3:]] == [
        ("removed", "10.244.1.0/24"),
        ("removed", "10.244.2.0/24"),
        ("added", "10.244.4.0/24"),
    ]
