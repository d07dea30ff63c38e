"""What the kubelet tells the apiserver about its pods: their status, their end, and events. Threads that outlast the apiserver's absence."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lab.kubelet.status import time_text
from lab.master.client import ApiClient, ApiError, Unreachable
from lab.master.resources import by_plural

Log = Callable[[str], None]

_PAUSE = (0.05, 1.0)
_MOST_EVENTS = 1000
_REMEMBERED = 500


@dataclass(frozen=True)
class Report:
    """A pod's status; `gone`: and then delete it, nothing of it is left here."""

    namespace: str
    name: str
    uid: str
    status: Mapping[str, Any]
    gone: bool = False


class Reporter:
    """Writes the newest status of each pod, oldest news first, one at a time; tries again while the apiserver does not answer."""

    def __init__(self, client: ApiClient, log: Log) -> None:
        self._client, self._log = client, log
        self._waiting: OrderedDict[str, Report] = OrderedDict()
        self._news = threading.Condition()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="status", daemon=True).start()

    def put(self, report: Report) -> None:
        """Tell this soon; an older report of the same pod that has not been told yet is dropped."""
        with self._news:
            self._waiting[report.uid] = report
            self._news.notify()

    def _run(self) -> None:
        pause = _PAUSE[0]
        while True:
            with self._news:
                while not self._waiting:
                    self._news.wait()
                _, report = self._waiting.popitem(last=False)
            try:
                self._tell(report)
                pause = _PAUSE[0]
            except ApiError as error:
                if error.code == 404:
                    continue
                if not isinstance(error, Unreachable) and error.code < 500 and error.code not in (409, 429):
                    self._log(f"pod {report.namespace}/{report.name}: its status was refused: {error}")
                    continue
                with self._news:
                    self._waiting.setdefault(report.uid, report)
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE[1])

    def _tell(self, report: Report) -> None:
        found = self._client.patch(
            "pods", report.name, report.namespace, {"metadata": {"uid": report.uid}, "status": report.status}, subresource="status"
        )
        if report.gone and found.get("metadata", {}).get("uid", report.uid) == report.uid:
            options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0, "preconditions": {"uid": report.uid}}
            self._client.request("DELETE", by_plural("pods").path(report.name, report.namespace), options)


class Events:
    """Makes Event objects; equal ones become one with a count, and the oldest are dropped while the apiserver is away for long."""

    def __init__(self, client: ApiClient, node: str, log: Log) -> None:
        self._client, self._node, self._log = client, node, log
        self._waiting: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._run, name="events", daemon=True).start()

    def about_pod(self, pod: Mapping[str, Any], reason: str, message: str, container: str = "", warning: bool = False) -> None:
        """Something happened to a pod, or to one of its containers."""
        metadata = pod["metadata"]
        subject = {"kind": "Pod", "apiVersion": "v1", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
        if container:
            subject["fieldPath"] = f"spec.containers{{{container}}}"
        self._put(metadata["namespace"], subject, reason, message, warning)

    def about_node(self, reason: str, message: str) -> None:
        """Something happened to the node."""
        subject = {"kind": "Node", "apiVersion": "v1", "name": self._node, "uid": self._node}
        self._put("default", subject, reason, message, False)

    def _put(self, namespace: str, subject: dict[str, str], reason: str, message: str, warning: bool) -> None:
        now = time_text(time.time())
        event = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": f"{subject['name']}.{secrets.token_hex(8)}", "namespace": namespace},
            "involvedObject": subject,
            "reason": reason,
            "message": message[:1024],
            "type": "Warning" if warning else "Normal",
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": "kubelet", "host": self._node},
        }
        with self._news:
            self._waiting = [*self._waiting[-_MOST_EVENTS:], event]
            self._news.notify()

    def _run(self) -> None:
        pause = _PAUSE[0]
        while True:
            with self._news:
                while not self._waiting:
                    self._news.wait()
                event = self._waiting[0]
            try:
                self._tell(event)
            except Unreachable:
                time.sleep(pause)
                pause = min(2 * pause, _PAUSE[1])
                continue
            except ApiError as error:
                self._log(f"the event {event['reason']} of {event['involvedObject']['name']} was refused: {error}")
            pause = _PAUSE[0]
            with self._news:
                self._waiting = [one for one in self._waiting if one is not event]

    def _tell(self, event: dict[str, Any]) -> None:
        key = json.dumps([event["involvedObject"], event["reason"], event["message"]], sort_keys=True)
        known = self._known.get(key)
        if known is not None:
            change = {"count": known["count"] + 1, "lastTimestamp": event["lastTimestamp"]}
            try:
                self._client.patch("events", known["metadata"]["name"], known["metadata"]["namespace"], change)
                self._known[key] = known | change
                return
            except ApiError as error:
                if error.code != 404:
                    raise
        self._client.create(event)
        self._known[key] = event
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
