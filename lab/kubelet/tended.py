"""The containers of one pod: their probes, their hooks, and how they are ended. What lab.kubelet.worker decides by is kept here.

Called by the kubelet's one loop alone; nothing here waits.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from lab.kubelet import podspec, probes
from lab.kubelet.life import NEVER, Json, Life
from lab.kubelet.probes import Kind, Probe, Tally
from lab.kubelet.records import PodRecord, Run
from lab.kubelet.reports import Events, Report
from lab.kubelet.runtimeclient import RuntimeClient
from lab.kubelet.variables import Network
from lab.kubelet.volumefiles import VolumeFiles

RETRY = 1.0
"""Seconds until the next try to make a pod that could not be made."""

DEFAULT_GRACE = 30.0
LONGEST_HOOK = 60.0
"""Seconds that a postStart hook may take."""

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
    """What all workers of a node share. `clock`: seconds since the epoch; `network` fails with LabError while the node has no pod bridge.

    lookup   (namespace, kind, name) -> data of a ConfigMap or Secret, None when there is none
    links    the variables of services for a pod
    """

    runtime: RuntimeClient
    events: Events
    report: Callable[[Report], None]
    addresses: Addresses
    network: Callable[[], Network]
    lookup: Callable[[str, str, str], Mapping[str, bytes] | None]
    volumes: VolumeFiles
    links: Callable[[Json], dict[str, str]]
    clock: Callable[[], float]
    node_ip: str
    log: Callable[[str], None]


@dataclass(frozen=True)
class Hook:
    """A hook to be run: postStart or preStop, `detail` what the API says about it, `timeout` in seconds."""

    container: str
    kind: str
    detail: Json
    attempt: int
    timeout: float


class Tended:
    """One pod's containers. `item` is the newest object of the apiserver; `record` what the runtime has of it, None before it has been made.

    doomed    when the pod's grace period is over; NEVER while it is to live
    """

    def __init__(self, item: Json, tools: Tools, record: PodRecord | None = None) -> None:
        self.item, self.tools, self.record = item, tools, record
        self.removed = False
        self.gone = False
        self.lives: dict[str, Life] = {}
        for spec in item["spec"].get("initContainers") or ():
            asked = probes.of_container(spec) if spec.get("restartPolicy") == "Always" else {}
            self.lives[spec["name"]] = Life(spec, asked, 0, initial=True)
        for spec in item["spec"].get("containers") or ():
            asked = probes.of_container(spec)
            self.lives[spec["name"]] = Life(spec, asked, 0 if "readiness" in asked else podspec.served_port(item, spec))
        self.address = ""
        self.born = tools.clock()
        self.doomed = NEVER
        self._hooks: list[Hook] = []
        known = item.get("status") or {}
        before = {one["name"]: one for key in ("initContainerStatuses", "containerStatuses") for one in known.get(key) or ()}
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
                life.answers = life.greeted = True
                life.tallies = {kind: Tally(True) for kind in life.tallies}

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.item["metadata"]["namespace"], self.item["metadata"]["name"]

    @property
    def uid(self) -> str:
        """Tells it from other pods of its name."""
        return str(self.item["metadata"]["uid"])

    def lookup(self, kind: str, name: str) -> Mapping[str, bytes] | None:
        """The data of a ConfigMap or Secret of the pod's namespace; None when there is none."""
        return self.tools.lookup(self.key[0], kind, name)

    @property
    def policy(self) -> str:
        """Its restartPolicy."""
        return str(self.item["spec"].get("restartPolicy") or "Always")

    def run_of(self, name: str) -> Run | None:
        """The last life of a container."""
        runs = self.record.runs.get(name, ()) if self.record is not None else ()
        return runs[-1] if runs else None

    # Probes

    def due(self, now: float) -> list[tuple[str, Probe, Json]]:
        """The probes to be asked now; each is asked once until `answered`. A startup probe holds the others back."""
        found = []
        for name, life in self.lives.items():
            if self.gone or self.doomed != NEVER or not self._runs(name, life):
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
        return min(times, default=NEVER) if self.doomed == NEVER and not self.gone else NEVER

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
        if passed or self.doomed != NEVER:
            return
        self.tools.events.about_pod(self.item, "Unhealthy", f"{kind.capitalize()} probe failed: {text}", name, warning=True)
        if kind != "readiness" and probes.failed(tally, probe) and self._runs(name, life):
            self.kill(name, life, f"Container {name} failed {kind} probe, will be restarted", self.grace())

    # Hooks

    def greet(self, name: str, life: Life) -> None:
        """A container has started: its postStart hook is to be run."""
        if "postStart" in life.hooks:
            self._hooks.append(Hook(name, "postStart", life.hooks["postStart"], life.attempt, LONGEST_HOOK))

    def take_hooks(self) -> list[Hook]:
        """The hooks to be run now; each is run once until `hooked`."""
        taken, self._hooks = self._hooks, []
        return taken

    def hooked(self, hook: Hook, passed: bool, text: str) -> None:
        """A hook has come back. Counts for the life that it was run in."""
        life = self.lives[hook.container]
        if life.attempt != hook.attempt:
            return
        if not passed:
            kind = hook.kind[0].upper() + hook.kind[1:]
            self.tools.events.about_pod(self.item, f"Failed{kind}Hook", f"{kind}Hook failed: {text}", hook.container, warning=True)
        if hook.kind == "preStop":
            self.tools.runtime.signal(self.uid, hook.container, signal.SIGTERM)
            return
        life.greeted = True
        if not passed and self._runs(hook.container, life):
            self.kill(hook.container, life, f"Container {hook.container} failed its postStart hook, will be ended", self.grace())

    # Ends of containers

    def grace(self) -> float:
        """Seconds that containers have for their end."""
        wanted = self.item["spec"].get("terminationGracePeriodSeconds")
        return float(wanted) if isinstance(wanted, (int, float)) and wanted >= 0 else DEFAULT_GRACE

    def kill(self, name: str, life: Life, message: str, grace: float) -> None:
        """Have a container end: its preStop hook, SIGTERM, and SIGKILL when its grace is over."""
        life.kill_at = self.tools.clock() + grace
        self.tools.events.about_pod(self.item, "Killing", message, name)
        if "preStop" in life.hooks and grace > 0:
            self._hooks.append(Hook(name, "preStop", life.hooks["preStop"], life.attempt, grace))
        else:
            self.tools.runtime.signal(self.uid, name, signal.SIGTERM if grace > 0 else signal.SIGKILL)

    def kill_in_time(self, name: str, life: Life, now: float) -> float:
        """SIGKILL for a container that has not ended in its time; returns when to look again."""
        if life.kill_at <= now:
            self.tools.runtime.signal(self.uid, name, signal.SIGKILL)
            return now + RETRY
        return life.kill_at
