"""The loop that wakes controllers: informers tell of changes, cores decide, and what they decide is carried out, one object at a time."""

from __future__ import annotations

import heapq
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab.master.client import ApiClient, ApiError, Object, Unreachable
from lab.master.controllers.actions import Action, Again, Bind, Create, Delete, Finalize, Patch, Tell
from lab.master.controllers.events import Recorder
from lab.master.controllers.world import Concerned, Controller, World
from lab.master.informer import Informer, Key, key_of
from lab.master.resources import by_kind, by_plural

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 2.0
"""Seconds before an object is looked at again after a failure: doubled each time. The real ones begin with 5 ms and end with 1000 s."""

UNWATCHED = ("events", "leases")
"""What may be in a namespace without any controller's knowing: it goes last."""

_NOT_FOUND, _CONFLICT = 404, 409

_NONSENSE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What cores raise over an object that makes no sense, written into etcd past the apiserver's checks: it must not stop the others."""


@dataclass
class _Work:
    """What is to be looked at for one controller, in the order in which it was wanted."""

    controller: Controller
    keys: dict[Key, None] = field(default_factory=dict)
    failures: dict[Key, int] = field(default_factory=dict)


class Loop:
    """Runs controllers against an apiserver.

    controllers   the first one's objects come first whenever several wait: endpoints before new pods
    log           told what is worth a line: writes that fail, and the apiserver's absence
    """

    def __init__(
        self,
        client: ApiClient,
        controllers: Sequence[Controller],
        world: World | None = None,
        log: Callable[[str], None] = lambda text: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client, self.world, self._log, self._clock = client, world or World(), log, clock
        self._works = [_Work(one) for one in controllers]
        self._plurals = sorted({plural for one in controllers for plural in one.watches})
        self._news: queue.SimpleQueue[tuple[str, str, Object | None]] = queue.SimpleQueue()
        self._due: list[tuple[float, int, Key]] = []
        self._deadlines: dict[tuple[int, Key], float] = {}
        self._recorder = Recorder(client)
        self._informers: list[Informer] = []
        self._ended = False

    def run(self) -> None:
        """Work until `stop`."""
        self._recorder.start()
        for plural in self._plurals:
            self._informers.append(self._informer(plural).start())
        unsynced = set(self._plurals)
        while unsynced and not self._ended:
            what, plural, item = self._news.get()
            self._take(what, plural, item)
            if what == "SYNCED":
                unsynced.discard(plural)
        for number, work in enumerate(self._works):
            for key in work.controller.startup(self.world):
                self._want(number, key)
        if not self._ended:
            self._log("all objects have been listed")
        while not self._ended:
            self._step()
        for informer in self._informers:
            informer.stop()
        self._recorder.stop()

    def stop(self) -> None:
        """End soon. May be called from a signal handler or another thread."""
        self._ended = True
        self._news.put(("STOP", "", None))

    def _informer(self, plural: str) -> Informer:
        return Informer(
            self.client,
            plural,
            lambda what, item: self._news.put((what, plural, item)),
            on_sync=lambda: self._news.put(("SYNCED", plural, None)),
            log=lambda text: self._note(plural, text),
        )

    def _note(self, plural: str, text: str) -> None:
        """An informer has lost the apiserver, or has it back: said once, not by every informer."""
        self._news.put(("CUT", plural, None))
        if plural == self._plurals[0]:
            self._log(text)

    def _step(self) -> None:
        """Take in all news, then look at one object."""
        now = self._clock()
        while self._due and self._due[0][0] <= now:
            when, number, key = heapq.heappop(self._due)
            if self._deadlines.get((number, key)) == when:
                del self._deadlines[number, key]
                self._want(number, key)
        busy = any(work.keys for work in self._works)
        wait = 0.0 if busy else max(0.0, self._due[0][0] - now) if self._due else None
        try:
            self._take(*self._news.get(timeout=wait) if wait != 0.0 else self._news.get_nowait())
            while True:
                self._take(*self._news.get_nowait())
        except queue.Empty:
            pass
        for number, work in enumerate(self._works):
            if work.keys and not self._ended:
                key = next(iter(work.keys))
                del work.keys[key]
                self._reconcile(number, key)
                return

    def _take(self, what: str, plural: str, item: Object | None) -> None:
        if what == "CUT":
            self.world.cut_off_at = self._clock()
        elif item is not None:
            self._learn(plural, item, what == "DELETED")

    def _learn(self, plural: str, item: Object, is_gone: bool = False) -> None:
        """Take in a state of an object, and note whom it concerns."""
        item = _shaped(item)
        metadata = item["metadata"]
        before = self.world.get(plural, metadata["name"], metadata.get("namespace", ""))
        if not (self.world.remove(plural, item) if is_gone else self.world.put(plural, item)):
            return
        states = [item] if before is None or is_gone else [before, item]
        for number, work in enumerate(self._works):
            concerned = work.controller.watches.get(plural)
            if concerned is not None:
                for state in states:
                    self._note_concerned(number, concerned, state)

    def _note_concerned(self, number: int, concerned: Concerned, state: Object) -> None:
        try:
            for key in concerned(self.world, state):
                self._want(number, key)
        except _NONSENSE as error:
            self._log(f"{self._works[number].controller.name} {'/'.join(filter(None, key_of(state)))}: passed over, it makes no sense: {error!r}")

    def _want(self, number: int, key: Key) -> None:
        self._works[number].keys.setdefault(key)

    def _later(self, number: int, key: Key, seconds: float) -> None:
        """Look at an object again after some time, or earlier if that was wanted already."""
        when = self._clock() + seconds
        if self._deadlines.get((number, key), float("inf")) > when:
            self._deadlines[number, key] = when
            heapq.heappush(self._due, (when, number, key))

    def _reconcile(self, number: int, key: Key) -> None:
        work = self._works[number]
        self.world.now = self._clock()
        try:
            for action in work.controller.reconcile(key, self.world):
                if isinstance(action, Again):
                    self._later(number, key, action.seconds)
                else:
                    self._perform(action, work.controller.name)
        except ApiError as error:
            failures = work.failures[key] = work.failures.get(key, 0) + 1
            if isinstance(error, Unreachable):
                self.world.cut_off_at = self._clock()
            elif error.code != _CONFLICT or failures > 3:
                self._log(f"{work.controller.name} {'/'.join(filter(None, key))}: {error}")
            self._later(number, key, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 16)))
        except _NONSENSE as error:
            self._log(f"{work.controller.name} {'/'.join(filter(None, key))}: passed over, it makes no sense: {error!r}")
        else:
            work.failures.pop(key, None)

    def _perform(self, action: Action, component: str) -> None:
        if isinstance(action, Tell):
            self._recorder.say(action, component, self._clock())
        elif isinstance(action, Create):
            self._learn(by_kind(action.item["kind"]).plural, _like(action.item, self.client.create(action.item)))
        elif isinstance(action, Patch):
            self._patch(action)
        elif isinstance(action, Delete):
            self._delete(action)
        elif isinstance(action, Bind):
            self._bind(action)
        elif isinstance(action, Finalize):
            self._finalize(action)

    def _patch(self, action: Patch) -> None:
        known = self.world.get(action.plural, action.name, action.namespace)
        try:
            answer = self.client.patch(action.plural, action.name, action.namespace, action.patch, subresource=action.subresource)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            if known is not None:
                self._learn(action.plural, known, is_gone=True)
            return
        self._learn_answer(action.plural, answer if known is None else _like(known, answer))

    def _learn_answer(self, plural: str, answer: Object) -> None:
        """An object whose last finalizer has gone may have gone with it: then the watch says so, and the answer is not taken in."""
        metadata = answer["metadata"]
        if not (metadata.get("deletionTimestamp") and not metadata.get("finalizers") and plural not in ("pods", "namespaces")):
            self._learn(plural, answer)

    def _delete(self, action: Delete) -> None:
        for plural, namespace, name, uid in action.owners:
            owner = self.client.find(plural, name, namespace)
            if owner is not None and uid in ("", owner["metadata"].get("uid")):
                self._learn(plural, owner)
                return
        path = by_plural(action.plural).path(action.name, action.namespace)
        options: Object = {"kind": "DeleteOptions", "apiVersion": "v1"}
        options |= {"preconditions": {"uid": action.uid}} if action.uid else {}
        options |= {"propagationPolicy": action.policy} if action.policy else {}
        options |= {} if action.grace is None else {"gracePeriodSeconds": action.grace}
        known = self.world.get(action.plural, action.name, action.namespace)
        try:
            answer = self.client.request("DELETE", path, options)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise
            answer = {}
        if known is None:
            return
        stays = answer.get("kind") == known.get("kind") and (answer.get("metadata") or {}).get("deletionTimestamp")
        if stays and action.grace != 0:
            self._learn(action.plural, answer)
        else:
            self._learn(action.plural, known, is_gone=True)

    def _bind(self, action: Bind) -> None:
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": action.name, "namespace": action.namespace} | ({"uid": action.uid} if action.uid else {}),
            "target": {"apiVersion": "v1", "kind": "Node", "name": action.node},
        }
        self.client.create(binding, "binding")
        pod = self.world.get("pods", action.name, action.namespace)
        if pod is not None:  # the watch will say it too, with a newer version; until then the pod counts where it is bound to
            self.world.assume("pods", {**pod, "spec": {**pod["spec"], "nodeName": action.node}})

    def _finalize(self, action: Finalize) -> None:
        for plural in UNWATCHED:
            self.client.request("DELETE", by_plural(plural).path("", action.name))
        namespace = self.client.get("namespaces", action.name)
        namespace["spec"] = {**(namespace.get("spec") or {}), "finalizers": []}
        path = by_plural("namespaces").path(action.name, "", "finalize")
        self.client.request("PUT", path, namespace)


def _like(model: Object, answer: Object) -> Object:
    """An answer with kind and apiVersion, should the apiserver have left them out."""
    return {"kind": model.get("kind", ""), "apiVersion": model.get("apiVersion", "")} | answer


def _shaped(item: Object) -> Object:
    """An object whose spec and status are there and mappings, as cores may take for granted."""
    parts: Object = {name: {} for name in ("spec", "status") if not isinstance(item.get(name), dict)}
    return item | parts if parts else item
