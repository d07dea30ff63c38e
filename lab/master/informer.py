"""Keeps a copy of the objects of one resource up to date: a list, then a watch, as every Kubernetes client does.

An informer is a thread. It never gives up: cut off from the apiserver it keeps what it last knew and tries again, ever less often; when
the apiserver no longer knows the version it had seen (410 Gone) it lists anew and finds out itself what has changed meanwhile.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping

from lab.master.client import ApiClient, ApiError, Object

Key = tuple[str, str]
"""Namespace, empty for resources without one, and name."""

Handler = Callable[[str, Object], None]
"""Told of each change: ADDED, MODIFIED or DELETED, and the object as it is now or was last. Called in the informer's thread."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between tries while the apiserver does not answer: doubled each time. The real ones go up to 30 s."""

_GONE = 410
_KEPT = ("namespace", "name", "resourceVersion")


def key_of(item: Object) -> Key:
    """Where an object belongs."""
    metadata = item["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def only_metadata(item: Object) -> Object:
    """The least that an informer has to keep of an object."""
    metadata = item["metadata"]
    return {"metadata": {name: metadata[name] for name in _KEPT if name in metadata}}


class Digest:
    """Stands for a set of objects in exactly their resourceVersions: who has the same digest knows the same.

    A sum of hashes, whatever the order: one object that changes costs one object's work, however many there are.
    """

    _MODULUS = 1 << 256

    def __init__(self) -> None:
        self._sum = 0

    def add(self, key: Key, version: str) -> None:
        """An object is there, in this version."""
        self._sum = (self._sum + _hash(key, version)) % self._MODULUS

    def remove(self, key: Key, version: str) -> None:
        """An object that was added in this version is gone, or about to be added in another."""
        self._sum = (self._sum - _hash(key, version)) % self._MODULUS

    def __str__(self) -> str:
        return f"{self._sum:064x}"


def _hash(key: Key, version: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{key[0]}/{key[1]}@{version}".encode()).digest(), "big")


def digest(versions: Mapping[Key, str]) -> str:
    """The `Digest` of all these."""
    whole = Digest()
    for key, version in versions.items():
        whole.add(key, version)
    return str(whole)


class Informer:
    """The objects of one resource, as the apiserver last told.

    handler   told of each change, with `items` brought up to date before
    on_sync   called after the first list has come in; `synced` is set then
    fields    a field selector, such as spec.nodeName=zenlinnode1
    log       told when the apiserver is lost, and when it is back
    brief     what of an object is kept: its metadata's namespace, name and resourceVersion must be. The handler is told of whole objects,
              except of one that is found gone after the apiserver was lost. Must not change what it is given
    """

    def __init__(
        self,
        client: ApiClient,
        plural: str,
        handler: Handler | None = None,
        on_sync: Callable[[], None] | None = None,
        fields: str = "",
        log: Callable[[str], None] = lambda text: None,
        brief: Callable[[Object], Object] = lambda item: item,
    ) -> None:
        self.client, self.plural, self.fields = client, plural, fields
        self.synced = threading.Event()
        self._handler, self._on_sync, self._log, self._brief = handler, on_sync, log, brief
        self._items: dict[Key, Object] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._version = ""
        self._lost = False

    def start(self) -> Informer:
        """Begin; returns itself."""
        threading.Thread(target=self.run, name=f"informer-{self.plural}", daemon=True).start()
        return self

    def stop(self) -> None:
        """End after what it is doing now."""
        self._stopped.set()

    @property
    def items(self) -> list[Object]:
        """All objects, sorted by namespace and name. They are shared: copy before changing one."""
        with self._lock:
            return [self._items[key] for key in sorted(self._items)]

    def get(self, name: str, namespace: str = "") -> Object | None:
        """One object, None when there is none."""
        with self._lock:
            return self._items.get((namespace, name))

    def run(self) -> None:
        """List and watch until `stop`."""
        pause = FIRST_PAUSE
        while not self._stopped.is_set():
            try:
                if not self._version:
                    self._relist()
                    self._found()
                    pause = FIRST_PAUSE
                if self._watch():
                    pause = FIRST_PAUSE
                self._stopped.wait(FIRST_PAUSE)
            except ApiError as error:
                if error.code == _GONE:
                    self._version = ""
                    continue
                if not self._lost:
                    self._lost = True
                    self._log(f"{self.plural}: {error}")
                self._stopped.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _found(self) -> None:
        if self._lost:
            self._lost = False
            self._log(f"{self.plural}: the apiserver answers again")

    def _relist(self) -> None:
        answer = self.client.list(self.plural, fields=self.fields)
        kind = answer.get("kind", "").removesuffix("List")
        now = {key_of(item): {"kind": kind, "apiVersion": answer.get("apiVersion", "")} | item for item in answer["items"]}
        with self._lock:
            before, self._items = self._items, {key: self._brief(item) for key, item in now.items()}
        for key, item in before.items():
            if key not in now:
                self._tell("DELETED", item)
        for key, item in now.items():
            old = before.get(key)
            if old is None or old["metadata"].get("resourceVersion") != item["metadata"].get("resourceVersion"):
                self._tell("MODIFIED" if old else "ADDED", item)
        self._version = answer["metadata"]["resourceVersion"]
        if not self.synced.is_set():
            self.synced.set()
            if self._on_sync is not None:
                self._on_sync()

    def _watch(self) -> bool:
        """Follow the changes; whether the apiserver told of any before the watch ended."""
        told = False
        for what, item in self.client.watch(self.plural, self._version, fields=self.fields):
            if self._stopped.is_set():
                break
            told = True
            self._found()
            self._version = item["metadata"]["resourceVersion"]
            if what == "BOOKMARK":
                continue
            with self._lock:
                if what == "DELETED":
                    self._items.pop(key_of(item), None)
                else:
                    self._items[key_of(item)] = self._brief(item)
            self._tell(what, item)
        self._found()
        return told

    def _tell(self, what: str, item: Object) -> None:
        if self._handler is not None:
            self._handler(what, item)
