"""Events as `kubectl describe` shows them: written by a thread of their own, so that no controller waits for them."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict

from lab.master.client import ApiClient, ApiError, Object
from lab.master.controllers.actions import Tell
from lab.master.controllers.objects import stamp

_REMEMBERED = 4096
"""Events of which the recorder knows that they have been said before."""

_QUEUED = 1000
"""Events that may wait while the apiserver is away; later ones are lost, as the real recorder loses them."""

_Same = tuple[str, str, str, str]


def event_of(tell: Tell, component: str, now: float, count: int = 1, first: float | None = None) -> Object:
    """The Event object of something said about an object. Pure."""
    about = tell.about["metadata"]
    namespace = about.get("namespace") or "default"
    involved = {"kind": tell.about.get("kind", ""), "apiVersion": tell.about.get("apiVersion", ""), "name": about["name"]}
    involved |= {key: about[key] for key in ("namespace", "uid", "resourceVersion") if about.get(key)}
    began = now if first is None else first
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name']}.{int(began * 1e9):x}", "namespace": namespace},
        "involvedObject": involved,
        "reason": tell.reason,
        "message": tell.message,
        "type": tell.kind,
        "source": {"component": component},
        "firstTimestamp": stamp(began),
        "lastTimestamp": stamp(now),
        "count": count,
    }


class Recorder:
    """Writes events; what is said again about the same object counts up the event that is there."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._queue: queue.Queue[tuple[Tell, str, float] | None] = queue.Queue(_QUEUED)
        self._said: OrderedDict[_Same, tuple[str, float, int]] = OrderedDict()
        self._last = 0.0

    def start(self) -> Recorder:
        """Begin; returns itself."""
        threading.Thread(target=self._run, name="events", daemon=True).start()
        return self

    def say(self, tell: Tell, component: str, now: float) -> None:
        """Record an event soon. Never waits, never fails."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait((tell, component, now))

    def stop(self) -> None:
        """End after what has been said."""
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)

    def _run(self) -> None:
        while (said := self._queue.get()) is not None:
            with contextlib.suppress(ApiError):
                self._write(*said)

    def _write(self, tell: Tell, component: str, now: float) -> None:
        about = tell.about["metadata"]
        same = (str(about.get("uid") or about["name"]), tell.reason, tell.message, component)
        namespace = about.get("namespace") or "default"
        if same in self._said:
            name, first, count = self._said[same]
            patch = {"count": count + 1, "lastTimestamp": stamp(now)}
            try:
                self._client.patch("events", name, namespace, patch)
                self._said[same] = (name, first, count + 1)
                return
            except ApiError as error:
                if error.code != 404:
                    raise
        now = self._last = max(now, self._last + 1e-6)  # the time makes the name
        event = event_of(tell, component, now)
        self._client.create(event)
        self._said[same] = (event["metadata"]["name"], now, 1)
        if len(self._said) > _REMEMBERED:
            self._said.popitem(last=False)
