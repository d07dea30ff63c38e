"""From nothing to a scenario's running pods in a namespace of their own, and back to nothing, however the run ends."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from lab.errors import BootError, ClusterError, LabError, UsageError
from lab.model.manifests import Objects
from lab.model.names import label_trouble
from lab.model.pins import Pin
from lab.remote import images, manifests, waiting
from lab.remote.api import PLURALS, Api, Json
from lab.remote.connect import Connection, Refused
from lab.remote.facade import RemoteCluster

Progress = Callable[[str, float | None], None]

READY_SECONDS = 180.0
"""Until all pods are ready: images have to be pulled."""

ACCOUNT_SECONDS = 15.0
"""Until a new namespace has its service account, without which it takes no pods."""

PATIENCE_SECONDS, GONE_SECONDS = 3.0, 120.0
"""Until somebody who waits for the end of a deletion is told so, and until it is given up."""

POLL_SECONDS = 0.25
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def require_namespace(name: str) -> None:
    """Raises UsageError for what can be no namespace's name."""
    if trouble := label_trouble(name):
        raise UsageError(f"--namespace {name}: it {trouble}" if trouble.startswith("has") else f"--namespace: {trouble}")


@dataclass(frozen=True)
class Wanted:
    """What a run wants of a cluster.

    scenario    its name
    nodes       the names of its topology's nodes, in order
    namespace   to run in; empty: one made for it
    images      in place of lab.remote.images' own
    seconds     until the pods must be ready
    keep        leave everything there afterwards
    """

    scenario: str
    objects: Objects
    pins: tuple[Pin, ...] = ()
    nodes: tuple[str, ...] = ()
    namespace: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    seconds: float = READY_SECONDS
    node_access: bool = False
    keep: bool = False


class Run:
    """One run: what it has made so far."""

    def __init__(self, connection: Connection, want: Wanted, progress: Progress) -> None:
        self.id = f"{want.scenario[:40].strip('-')}-" + "".join(random.SystemRandom().choice(_LETTERS) for _ in range(5))
        self.want = want
        self.progress = progress
        self.namespace = want.namespace or f"lab-{self.id}"
        self.api = Api(connection, self.namespace)
        self.made: list[Json] = []
        self.owns_namespace = False

    def begin(self) -> RemoteCluster:
        """Make everything and wait until it runs. Raises ClusterError, BootError; what was made is in `made` even then."""
        want = self.want
        with self._stage("the cluster answers"):
            self._look()
        with self._stage("a namespace of its own"):
            self._take_namespace()
        with self._stage("services, deployments, pods"):
            documents = manifests.documents(want.objects, self.id, want.images)
            for item in [*documents, manifests.caller(self.id, want.images)]:
                self._create(item)
        with self._stage("pods ready"):
            waiting.until_ready(self.api, self.made, want.seconds)
        starter = self._start_pod if want.node_access else None
        cluster = RemoteCluster(self.api, self.id, want.nodes, want.images, starter)
        cluster.call(self._pairs(cluster))
        return cluster

    def end(self) -> None:
        """Have deleted what the run made; nothing else. Raises ClusterError where that is refused."""
        if self.owns_namespace:
            self.api.delete("namespaces", self.namespace)
            return
        for item in reversed(self.made):
            self.api.delete(PLURALS[item["kind"]], item["metadata"]["name"], item["metadata"].get("uid", ""))

    @contextlib.contextmanager
    def _stage(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        self.progress(what, None)
        yield
        self.progress(what, time.monotonic() - begun)

    def _look(self) -> None:
        """One harmless question first: whether anybody answers, and knows us."""
        try:
            self.api.raw_get("namespaces", self.want.namespace or "default")
        except Refused as error:
            if error.code not in (403, 404):
                raise

    def _take_namespace(self) -> None:
        level = "privileged" if self.want.node_access else "baseline"
        marks = {**manifests.labels(self.id), "pod-security.kubernetes.io/enforce": level}
        item = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace, "labels": marks}}
        try:
            self.api.create(item)
        except Refused as error:
            if error.code == 409 and self.want.namespace:
                return
            if error.code == 403 and self.want.namespace:
                return  # whoever may use a namespace often may not make one; whether it is there, the first object will tell
            if error.code == 403:
                raise ClusterError(f"{error}; name a namespace that you may use by --namespace") from error
            raise
        self.owns_namespace = True

    def _create(self, item: Json) -> None:
        deadline = time.monotonic() + ACCOUNT_SECONDS
        while not self._created(item, time.monotonic() > deadline):
            time.sleep(POLL_SECONDS)

    def _created(self, item: Json, last: bool) -> bool:
        """Whether the object is made now. False where a new namespace has no service account yet, unless this is the `last` try."""
        try:
            self.made.append(item | self.api.create(item))
            return True
        except Refused as error:
            if error.code == 403 and "serviceaccount" in str(error).replace(" ", "") and self.owns_namespace and not last:
                return False
            if error.reason == "AlreadyExists":
                text = f"the namespace {self.namespace} has a {item['kind']} named {item['metadata']['name']} already"
                raise UsageError(f"{text}; name another by --namespace, or none for one of its own") from error
            raise

    def _start_pod(self, item: Json) -> None:
        self._create(item)
        waiting.until_ready(self.api, [item], self.want.seconds)

    def _pairs(self, cluster: RemoteCluster) -> Iterable[tuple[str, str]]:
        """The scenario's words and the cluster's."""
        wish = manifests.wish(self.want.objects, self.want.pins)
        services = {one["metadata"]["name"]: one["spec"] for one in self.api.raw_list("services")["items"]}
        yield from waiting.pod_pairs(wish.pods, cluster.own_pods)
        for name, written in wish.services:
            yield written, str(services[name].get("clusterIP", ""))
        for name, number, written_port in wish.ports:
            real = next((one.get("nodePort") for one in services[name].get("ports") or () if one["port"] == number), None)
            yield str(written_port), str(real or "")
        for name in (one.name for one in self.want.objects.services if one.namespace == "default"):
            yield f"{name}.default", f"{name}.{self.namespace}"
            yield f"default/{name}", f"{self.namespace}/{name}"
        yield "default.svc", f"{self.namespace}.svc"
        yield from images.words(self.want.images)
        yield "/var/log/nginx/access.log", images.LOG
        yield from self._dns_pairs()

    def _dns_pairs(self) -> Iterable[tuple[str, str]]:
        """The cluster's own DNS service takes the place of the one that a scenario brings along, and its domain that of cluster.local."""
        brought = [one for one in self.want.objects.services if (one.namespace, one.name) == ("kube-system", "kube-dns")]
        with contextlib.suppress(LabError):
            real = self.api.raw_get("services", "kube-dns", "kube-system")["spec"].get("clusterIP", "")
            yield from ((str(one.cluster_ip), real) for one in brought)
        with contextlib.suppress(LabError):
            words = self.api.execute(manifests.CALLER, "tools", ["cat", "/etc/resolv.conf"], 10.0, manifests.CALLER).stdout.split()
            yield "cluster.local", waiting.domain(words, self.namespace)

    def until_gone(self, tell: Callable[[str], None]) -> None:
        """Wait until what is being deleted is gone. Raises BootError where that takes too long."""
        begun = time.monotonic()
        told = False
        while not self._is_gone():
            waited = time.monotonic() - begun
            if waited > GONE_SECONDS:
                text = f"what the run made in the namespace {self.namespace} is still going after {GONE_SECONDS:g} s"
                raise BootError(f"{text}; look at it with kubectl")
            if waited > PATIENCE_SECONDS and not told:
                told = True
                tell(f"waiting until everything in the namespace {self.namespace} is gone; Ctrl-C stops the waiting, not the deletion")
            time.sleep(POLL_SECONDS)

    def _is_gone(self) -> bool:
        try:
            if self.owns_namespace:
                self.api.raw_get("namespaces", self.namespace)
                return False
            return not self.api.raw_list("pods", labels=f"{manifests.RUN}={self.id}")["items"]
        except Refused as error:
            if error.code in (403, 404):
                return True
            raise


@contextlib.contextmanager
def on(connection: Connection, want: Wanted, progress: Progress, tell: Callable[[str], None]) -> Iterator[RemoteCluster]:
    """The scenario's cluster for as long as the block lasts. tell: says to people what stays behind, and why."""
    run = Run(connection, want, progress)
    try:
        yield run.begin()
    finally:
        _finish(run, want.keep, tell)


def _finish(run: Run, keep: bool, tell: Callable[[str], None]) -> None:
    """Ctrl-C, again, only ends the waiting: what is to be deleted has been told to the cluster by then."""
    if not run.made and not run.owns_namespace:
        return
    how = f"kubectl --context {run.api.connection.context} delete "
    how += f"namespace {run.namespace}" if run.owns_namespace else f"all --namespace {run.namespace} -l {manifests.RUN}={run.id}"
    if keep:
        tell(f"everything stays in the namespace {run.namespace}; take it away with `{how}`")
        return
    try:
        with _undisturbed():
            run.end()
        run.until_gone(tell)
    except LabError as error:
        tell(f"not everything could be deleted: {error}; `{how}`")
    except (KeyboardInterrupt, SystemExit):
        tell(f"the cluster is still deleting what the run made in the namespace {run.namespace}")


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end a run wait until the block is over."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
