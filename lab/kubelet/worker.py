"""One pod on its way from the apiserver's object to running containers, and back.

`sync` looks at what is wanted and what is there, does the next thing, and says when to look again. It is called by the kubelet's one loop
whenever something about the pod is new; nothing here waits.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from lab.errors import LabError, UsageError
from lab.kubelet import podspec, probes, restart, status
from lab.kubelet.life import NEVER, Json, Life
from lab.kubelet.podspec import Network
from lab.kubelet.probes import Kind, Probe, Tally
from lab.kubelet.records import PodRecord, Run
from lab.kubelet.reports import Events, Report
from lab.kubelet.runtimeclient import RuntimeClient

RETRY = 1.0
"""Seconds until the next try to make a pod that could not be made."""

DEFAULT_GRACE = 30.0

LOOK, SLOW_LOOK = 0.01, 0.5
"""Seconds between looks at the port of a container that is coming up, and of one that has had ten seconds for it."""


class Addresses(Protocol):
    """The node's pod addresses."""

    def take(self, wanted: IPv4Address | None, pod: str) -> IPv4Address:
        """One that nobody has. Raises LabError."""

    def release(self, address: IPv4Address) -> None:
        """Free one."""


@dataclass
class Tools:
    """What all workers of a node share. `clock`: seconds since the epoch; `network` fails with LabError while the node has no pod bridge."""

    runtime: RuntimeClient
    events: Events
    report: Callable[[Report], None]
    addresses: Addresses
    network: Callable[[], Network]
    lookup: Callable[[str, str], dict[str, str] | None]
    links: Callable[[Json], dict[str, str]]
    clock: Callable[[], float]
    node_ip: str
    log: Callable[[str], None]


class Worker:
    """One pod. `item` is the newest object of the apiserver; `record` what the runtime has of it, None before it has been made."""

    def __init__(self, item: Json, tools: Tools, record: PodRecord | None = None) -> None:
        self.item, self.tools, self.record = item, tools, record
        self.removed = False
        self.gone = False
        self.lives: dict[str, Life] = {}
        for spec in item["spec"].get("containers") or ():
            asked = probes.of_container(spec)
            self.lives[spec["name"]] = Life(spec, asked, 0 if "readiness" in asked else podspec.served_port(item, spec))
        self.address = ""
        self.born = tools.clock()
        self._doomed = NEVER
        self._last: Json | None = None
        self._compare_at = NEVER
        before = {one["name"]: one for one in (item.get("status") or {}).get("containerStatuses") or ()}
        for name, life in self.lives.items():
            if before.get(name, {}).get("containerID"):  # it ran, before the machine's last start
                life.first = int(before[name].get("restartCount") or 0) + 1
        if record is not None:
            self._adopt(record, before)

    def _adopt(self, record: PodRecord, before: dict[str, Json]) -> None:
        """Take over a pod that ran before this kubelet did: who was ready still is."""
        self.address = record.sandbox.address.split("/")[0]
        for name, life in self.lives.items():
            runs = record.runs.get(name, ())
            if not runs:
                continue
            life.begin(runs[-1].attempt, self.tools.clock())
            life.counted = runs[-1].attempt - 1
            if not runs[-1].finished and before.get(name, {}).get("ready") and before[name].get("containerID") == runs[-1].id:
                life.answers = True
                life.tallies = {kind: Tally(True) for kind in life.tallies}

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.item["metadata"]["namespace"], self.item["metadata"]["name"]

    @property
    def uid(self) -> str:
        """Tells it from other pods of its name."""
        return str(self.item["metadata"]["uid"])

    @property
    def policy(self) -> str:
        """Its restartPolicy."""
        return str(self.item["spec"].get("restartPolicy") or "Always")

    def news(self, item: Json) -> None:
        """The apiserver has told of it. Whether it still has the status that it was told is looked at when that has had time to arrive."""
        self.item = item
        self._compare_at = self.tools.clock() + RETRY

    def heard(self, record: PodRecord) -> None:
        """The runtime has told of it."""
        if self.record is None or record.version > self.record.version:
            self.record = record

    def sync(self) -> float:
        """Do what is to be done now; returns the time at which to look again without news. Never raises LabError."""
        if self.gone:
            return NEVER
        try:
            if self.removed or self.item["metadata"].get("deletionTimestamp"):
                return self._terminate()
            return self._live()
        except LabError as error:
            self.tools.events.about_pod(self.item, "FailedSync", f"Error syncing pod: {error}", warning=True)
            return self.tools.clock() + RETRY

    # Living

    def _live(self) -> float:
        old = (self.item.get("status") or {}).get("phase")
        if old in ("Succeeded", "Failed") and self.record is None:
            return NEVER  # it ended under another kubelet, and nothing of it is left here
        if self.record is None and not self._make():
            self._report()
            return self.tools.clock() + RETRY
        assert self.record is not None
        if self.record.stopped:
            self._report()
            return NEVER
        wake = min((self._tend(name, life) for name, life in self.lives.items()), default=NEVER)
        if status.finished(self.policy, self.facts()):
            self._report()
            self.heard(self.tools.runtime.stop(self.uid))
            self._release()
            return NEVER
        self._report()
        return min(wake, self._compare_at)

    def _make(self) -> bool:
        """Give the pod its address and its namespaces. False, with an event, when that cannot be."""
        tools = self.tools
        try:
            network = tools.network()
            if podspec.uses_host_network(self.item):
                self.address = network.node_ip
            else:
                self.address = str(tools.addresses.take(podspec.pinned(self.item), self.key[1]))
            self.heard(tools.runtime.create(podspec.sandbox(self.item, network, self.address)))
            return True
        except LabError as error:
            self._release()
            self.address = ""
            tools.events.about_pod(self.item, "FailedCreatePodSandBox", f"Failed create pod sandbox: {error}", warning=True)
            return False

    def _release(self) -> None:
        if self.address and not podspec.uses_host_network(self.item):
            self.tools.addresses.release(IPv4Address(self.address))

    def run_of(self, name: str) -> Run | None:
        """The last life of a container."""
        runs = self.record.runs.get(name, ()) if self.record is not None else ()
        return runs[-1] if runs else None

    def _tend(self, name: str, life: Life) -> float:
        """Look after one container; returns when to look again."""
        now, run = self.tools.clock(), self.run_of(name)
        if run is not None and not run.finished:
            return self._kill_in_time(name, life, now)
        if run is not None and life.counted < run.attempt:
            self._count_end(name, life, run)
        if not restart.wanted(self.policy, run) or podspec.image_trouble(life.spec):
            return self._refuse(name, life, now, run)
        if now < life.start_at:
            return life.start_at
        return self._start(name, life, now, life.first if run is None else run.attempt + 1)

    def _count_end(self, name: str, life: Life, run: Run) -> None:
        life.counted = run.attempt
        life.crashes = restart.crashes(life.crashes, run)
        if run.trouble:
            self.tools.events.about_pod(self.item, "Failed", f"Error: {run.trouble}", name, warning=True)
        if not restart.wanted(self.policy, run):
            return
        wait = restart.delay(life.crashes)
        life.start_at = self.tools.clock() + wait
        if wait:
            namespace, pod = self.key
            text = f"back-off {wait:g}s restarting failed container={name} pod={pod}_{namespace}({self.uid})"
            life.waiting = ("CrashLoopBackOff", text)
            message = f"Back-off restarting failed container {name} in pod {pod}_{namespace}({self.uid}): {wait:g}s ({restart.SHORTENED})"
            self.tools.events.about_pod(self.item, "BackOff", message, name, warning=True)

    def _refuse(self, name: str, life: Life, now: float, run: Run | None) -> float:
        """An image that the lab does not know: said as a failed pull is, first as such and then as waiting for the next try."""
        trouble = podspec.image_trouble(life.spec)
        if run is not None or not trouble:
            return NEVER
        image = life.spec.get("image", "")
        if not life.waiting[0]:
            life.waiting, life.start_at = ("ErrImagePull", trouble), now + RETRY
            self.tools.events.about_pod(self.item, "Failed", f'Failed to pull image "{image}": {trouble}', name, warning=True)
            self.tools.events.about_pod(self.item, "Failed", "Error: ErrImagePull", name, warning=True)
            return life.start_at
        if now < life.start_at:
            return life.start_at
        if life.waiting[0] == "ErrImagePull":
            life.waiting = ("ImagePullBackOff", f'Back-off pulling image "{image}": {trouble}')
            self.tools.events.about_pod(self.item, "BackOff", f'Back-off pulling image "{image}"', name)
        return NEVER

    def _start(self, name: str, life: Life, now: float, attempt: int) -> float:
        tools = self.tools
        try:
            lookup = lambda config: tools.lookup(self.key[0], config)  # noqa: E731
            program = podspec.program(self.item, life.spec, attempt, tools.network(), self.address, lookup, tools.links(self.item))
        except UsageError as error:
            life.waiting, life.start_at = ("CreateContainerConfigError", str(error)), now + RETRY
            tools.events.about_pod(self.item, "Failed", f"Error: {error}", name, warning=True)
            return life.start_at
        life.begin(attempt, now)
        self.heard(tools.runtime.start(self.uid, program))
        run = self.run_of(name)
        if run is not None and run.trouble:
            return self._tend(name, life)
        image = life.spec.get("image", "")
        tools.events.about_pod(self.item, "Pulled", f'Container image "{image}" needs no pull: the lab runs the machine\'s own program', name)
        tools.events.about_pod(self.item, "Created", f"Created container {name}", name)
        tools.events.about_pod(self.item, "Started", f"Started container {name}", name)
        return NEVER

    # Probes

    def due(self, now: float) -> list[tuple[str, Probe, Json]]:
        """The probes to be asked now; each is asked once until `answered`. A startup probe holds the others back."""
        found = []
        for name, life in self.lives.items():
            if self.gone or self._doomed != NEVER or not self._runs(name, life):
                continue
            for kind, probe in life.probes.items():
                blocked = kind != "startup" and not life.started or kind == "startup" and life.started
                if not blocked and kind not in life.asking and life.next_look[kind] <= now:
                    life.asking.add(kind)
                    found.append((name, probe, life.spec))
        return found

    def next_probe(self) -> float:
        """When the next probe is due."""
        times = [
            life.next_look[kind]
            for name, life in self.lives.items()
            for kind in life.probes
            if kind not in life.asking and (kind == "startup") != life.started and self._runs(name, life)
        ]
        return min(times, default=NEVER) if self._doomed == NEVER and not self.gone else NEVER

    def _runs(self, name: str, life: Life) -> bool:
        run = self.run_of(name)
        return run is not None and not run.finished and life.attempt == run.attempt and life.kill_at == NEVER

    def unanswered(self, now: float) -> list[tuple[str, int]]:
        """Containers to be looked at now: they run, no readinessProbe says when they are ready, and they have not answered on their image's port."""
        found = []
        for name, life in self.lives.items():
            if life.port and not life.answers and life.look_at <= now and self._runs(name, life):
                run = self.run_of(name)
                life.look_at = now + (LOOK if run is not None and now - run.started < probes.FAST_FOR else SLOW_LOOK)
                found.append((name, life.port))
        return found

    def next_look(self) -> float:
        """When `unanswered` is to be asked again."""
        times = [life.look_at for name, life in self.lives.items() if life.port and not life.answers and self._runs(name, life)]
        return min(times, default=NEVER)

    def answered_port(self, name: str) -> None:
        """A container answers on its port."""
        self.lives[name].answers = True

    def answered(self, name: str, kind: Kind, attempt: int, passed: bool, text: str) -> None:
        """A probe has come back. Counts for the life that it was asked in."""
        life, now = self.lives[name], self.tools.clock()
        if life.attempt != attempt or kind not in life.probes:
            return
        run, probe = self.run_of(name), life.probes[kind]
        life.asking.discard(kind)
        tally = life.tallies[kind] = probes.after(life.tallies[kind], probe, passed)
        life.next_look[kind] = now + probes.pause(probe, tally, now - (run.started if run is not None else now))
        if passed or self._doomed != NEVER:
            return
        self.tools.events.about_pod(self.item, "Unhealthy", f"{kind.capitalize()} probe failed: {text}", name, warning=True)
        if kind != "readiness" and probes.failed(tally, probe) and self._runs(name, life):
            self._kill(name, life, f"Container {name} failed {kind} probe, will be restarted", self._grace())

    def _grace(self) -> float:
        wanted = self.item["spec"].get("terminationGracePeriodSeconds")
        return float(wanted) if isinstance(wanted, (int, float)) and wanted >= 0 else DEFAULT_GRACE

    def _kill(self, name: str, life: Life, message: str, grace: float) -> None:
        life.kill_at = self.tools.clock() + grace
        self.tools.events.about_pod(self.item, "Killing", message, name)
        self.tools.runtime.signal(self.uid, name, signal.SIGTERM if grace > 0 else signal.SIGKILL)

    def _kill_in_time(self, name: str, life: Life, now: float) -> float:
        if life.kill_at <= now:
            self.tools.runtime.signal(self.uid, name, signal.SIGKILL)
            return now + RETRY
        return life.kill_at

    # Ending

    def _terminate(self) -> float:
        """SIGTERM, the grace period, SIGKILL; then take the pod away and have its object deleted."""
        now = self.tools.clock()
        if self.record is not None and not self.record.stopped:
            grace = self.item["metadata"].get("deletionGracePeriodSeconds")
            seconds = 0.0 if self.removed else float(grace) if isinstance(grace, (int, float)) else self._grace()
            if self._doomed == NEVER:
                for name in self.record.running():
                    if name in self.lives:
                        self._kill(name, self.lives[name], f"Stopping container {name}", seconds)
                self._report()
            self._doomed = min(self._doomed, now + seconds)
            if self.record.running() and now < self._doomed:
                return self._doomed
            self.heard(self.tools.runtime.stop(self.uid))
        self._doomed = min(self._doomed, now)
        last = self._status()
        if self.record is not None:
            self.tools.runtime.remove(self.uid)
        self._release()
        self.gone = True
        if not self.removed:
            self.tools.report(Report(*self.key, self.uid, last, gone=True))
        return NEVER

    def facts(self) -> list[status.Facts]:
        """What is known of the containers."""
        found = []
        for name, life in self.lives.items():
            runs = self.record.runs.get(name, ()) if self.record is not None else ()
            running = bool(runs) and not runs[-1].finished
            ready = running and life.ready
            found.append(status.Facts(name, life.spec.get("image", ""), runs, life.waiting, ready, running and life.started))
        return found

    def _status(self) -> Json:
        return status.pod_status(self.item, self.facts(), self.address, self.tools.node_ip, self.born, self.tools.clock())

    def _report(self) -> None:
        """Tell the apiserver, if anything is new."""
        now = self._status()
        if self._compare_at <= self.tools.clock():
            self._compare_at = NEVER
            if status.essence(self.item.get("status") or {}) != status.essence(now):
                self._last = None  # somebody else has written it, as the node controller does while a node is cut off
        if now != self._last:
            self._last = now
            self.item = self.item | {"status": (self.item.get("status") or {}) | now}
            self.tools.report(Report(*self.key, self.uid, now))
