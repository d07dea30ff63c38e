"""The kubelet's one loop: news of pods, of the runtime and of probes come in, and each pod that they concern is looked after."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from ipaddress import IPv4Address

from lab.errors import LabError
from lab.kubelet import podspec, probing
from lab.kubelet.life import Json
from lab.kubelet.probes import Probe
from lab.kubelet.protocol import Message
from lab.kubelet.records import PodRecord
from lab.kubelet.tended import RETRY, Hook, Tools
from lab.kubelet.worker import Worker

LONGEST = 1.0
"""Seconds after which the loop looks around even without news."""

MOST_PROBES = 32
"""Probes that are asked at the same time."""

_CONNECT = 0.05


class Loop:
    """All pods of a node. Other threads tell it what is new by `tell` and may read `find`; everything else happens in `run`."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.workers: dict[str, Worker] = {}
        self.records: dict[str, PodRecord] = {}
        self._wake: dict[str, float] = {}
        self._dirty: set[str] = set()
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(MOST_PROBES, "probe")
        self._ended = False

    def tell(self, news: Callable[[], None]) -> None:
        """Have this done in the loop's thread."""
        self._inbox.put(news)

    def end(self) -> None:
        """Leave the loop; pods stay as they are."""
        self._ended = True
        self._inbox.put(lambda: None)

    def find(self, namespace: str, name: str) -> Worker | None:
        """The pod of this name that is not on its way out, or else the one that is."""
        found = [one for one in list(self.workers.values()) if one.key == (namespace, name) and not one.gone]
        return found[-1] if found else None

    # What other threads tell

    def pod_event(self, what: str, item: Json) -> None:
        """The apiserver's news: for the informer's handler."""
        self.tell(lambda: self._pod(what, item))

    def synced(self) -> None:
        """The first list has come in: pods that the runtime still has and the apiserver has not are removed."""
        self.tell(self._remove_strangers)

    def runtime_event(self, message: Message) -> None:
        """The runtime's news."""
        if message:
            self.tell(lambda: self._heard(PodRecord.of(message["record"])))

    # The loop

    def run(self) -> None:
        """Work until `end`."""
        while not self._ended:
            self._take(self._patience())
            self._look_at_ports()
            now = self.tools.clock()
            due = {uid for uid, moment in self._wake.items() if moment <= now} | self._dirty
            self._dirty = set()
            for worker in sorted((self.workers[uid] for uid in due if uid in self.workers), key=_rank):
                self._wake[worker.uid] = self.tools.clock() + RETRY
                self._guard(f"pod {worker.key[0]}/{worker.key[1]}", partial(self._sync, worker))
            self._ask_probes()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _patience(self) -> float:
        if self._dirty:
            return 0.0
        now, patience = self.tools.clock(), LONGEST
        for worker in self.workers.values():
            patience = min(patience, min(self._wake.get(worker.uid, LONGEST + now), worker.next_probe(), worker.next_look()) - now)
        return max(0.0, patience)

    def _take(self, patience: float) -> None:
        try:
            news = self._inbox.get(timeout=patience)
            while True:
                self._guard("news", news)
                news = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _guard(self, what: str, work: Callable[[], None]) -> None:
        """One pod that makes no sense must not be the end of the others."""
        try:
            work()
        except (LabError, LookupError, TypeError, ValueError, AttributeError) as error:
            self.tools.log(f"{what}: {error!r}")

    def _sync(self, worker: Worker) -> None:
        self._wake[worker.uid] = worker.sync()
        for hook in worker.take_hooks():
            self._pool.submit(self._run_hook, worker, hook, worker.lives[hook.container].spec)
        if worker.gone:
            del self.workers[worker.uid], self._wake[worker.uid]
            self._dirty |= {one.uid for one in self.workers.values() if one.record is None}  # its name and address are free now

    def _pod(self, what: str, item: Json) -> None:
        uid = item["metadata"]["uid"]
        worker = self.workers.get(uid)
        if what == "DELETED":
            if worker is not None:
                worker.removed = True
                self._dirty.add(uid)
            return
        if worker is None:
            self._replace(item)
            worker = self.workers[uid] = Worker(item, self.tools, self.records.pop(uid, None))
        worker.news(item)
        self._dirty.add(uid)

    def _replace(self, item: Json) -> None:
        """An object of the same name with another uid: the old one's end was missed."""
        for old in self.workers.values():
            if old.key == (item["metadata"]["namespace"], item["metadata"]["name"]):
                old.removed = True
                self._dirty.add(old.uid)

    def _remove_strangers(self) -> None:
        for uid, record in list(self.records.items()):
            self.tools.runtime.remove(uid)
            self.tools.volumes.remove(uid)
            address = record.sandbox.address.split("/")[0]
            if address:
                self.tools.addresses.release(IPv4Address(address))
            del self.records[uid]

    def _heard(self, record: PodRecord) -> None:
        worker = self.workers.get(record.sandbox.uid)
        if worker is not None:
            worker.heard(record)
            self._dirty.add(worker.uid)

    def _look_at_ports(self) -> None:
        for worker in self.workers.values():
            for name, port in worker.unanswered(self.tools.clock()):
                if not probing.refuses(worker.address, port, _CONNECT):
                    worker.answered_port(name)
                    self._dirty.add(worker.uid)

    def _ask_probes(self) -> None:
        now = self.tools.clock()
        for worker in self.workers.values():
            for name, probe, spec in worker.due(now):
                self._pool.submit(self._ask, worker, name, probe, spec, worker.lives[name].attempt)

    def _ask(self, worker: Worker, name: str, probe: Probe, spec: Json, attempt: int) -> None:
        passed, text = probing.ask(probe, spec, worker.address, worker.key, self.tools.runtime)
        self.tell(lambda: self._answered(worker, name, probe, attempt, passed, text))

    def _run_hook(self, worker: Worker, hook: Hook, spec: Json) -> None:
        passed, text = probing.hook(hook.detail, hook.timeout, spec, worker.address, worker.key, self.tools.runtime)
        self.tell(lambda: self._hooked(worker, hook, passed, text))

    def _hooked(self, worker: Worker, hook: Hook, passed: bool, text: str) -> None:
        worker.hooked(hook, passed, text)
        self._dirty.add(worker.uid)

    def _answered(self, worker: Worker, name: str, probe: Probe, attempt: int, passed: bool, text: str) -> None:
        worker.answered(name, probe.kind, attempt, passed, text)
        self._dirty.add(worker.uid)


def _rank(worker: Worker) -> tuple[bool, float]:
    """Pods that wish for an address first, so that no free choice takes it; then in the order in which they came."""
    wishes = podspec.PIN in (worker.item["metadata"].get("annotations") or {})
    return not wishes, worker.born


def clock() -> float:
    """Seconds since the epoch."""
    return time.time()
