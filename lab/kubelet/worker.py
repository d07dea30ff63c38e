"""One pod on its way from the apiserver's object to running containers, and back.

`sync` looks at what is wanted and what is there, does the next thing, and says when to look again. It is called by the kubelet's one loop
whenever something about the pod is new; nothing here waits.
"""

from __future__ import annotations

from ipaddress import IPv4Address

from lab.errors import LabError, UsageError
from lab.kubelet import podspec, refusals, restart, status, variables
from lab.kubelet.life import NEVER, Json, Life
from lab.kubelet.records import PodRecord, Run
from lab.kubelet.reports import Report
from lab.kubelet.tended import RETRY, Tended, Tools

FIRST_RETRY = 0.02
"""Seconds until the first next try to make the volumes: what is missing at a cluster's start comes in a moment."""

CONFIG_ERROR = "CreateContainerConfigError"
"""Why a container waits whose spec asks for what is not there, or not done."""


class Worker(Tended):
    """One pod."""

    def __init__(self, item: Json, tools: Tools, record: PodRecord | None = None) -> None:
        super().__init__(item, tools, record)
        self._last: Json | None = None
        self._compare_at = NEVER
        self._volumes_at = 0.0
        self._has_volumes = False
        self._missing_since = NEVER
        """Whether its volumes have been made, when to look at them again, and since when something for them is missing."""

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
        if not self._set_up():
            self._report()
            return self._volumes_at
        wake = min((self._tend(name, self.lives[name]) for name in self._turn()), default=NEVER)
        if status.finished(self.policy, self.facts()):
            self._report()
            self.heard(self.tools.runtime.stop(self.uid))
            self._release()
            return NEVER
        self._report()
        return min(wake, self._compare_at, self._volumes_at)

    def _set_up(self) -> bool:
        """Make the pod's volumes, or bring them up to date. False, with an event, while they cannot be made."""
        tools, now = self.tools, self.tools.clock()
        if now < self._volumes_at:
            return self._has_volumes
        try:
            refusals.check(self.item, {})
        except UsageError as error:
            self._volumes_at = now + RETRY
            for life in self.lives.values():
                life.waiting = (CONFIG_ERROR, str(error))
            tools.events.about_pod(self.item, "Failed", f"Error: {error}", warning=True)
            return False
        try:
            self._volumes_at = tools.volumes.set_up(self.item, tools.network(), self.address)
            self._has_volumes = True
            self._missing_since = NEVER
        except (LabError, OSError) as error:
            self._missing_since = min(self._missing_since, now)
            waited = now - self._missing_since
            self._volumes_at = now + min(RETRY, max(FIRST_RETRY, waited))
            if waited >= RETRY:
                tools.events.about_pod(self.item, "FailedMount", str(error), warning=True)
        return self._has_volumes

    def _turn(self) -> list[str]:
        """The containers whose turn it is: the init containers in their order, each when the one before it is through, then all others."""
        turn = []
        for name, life in self.lives.items():
            if not life.initial:
                turn.append(name)
                continue
            if self._is_through(name, life) and not life.is_sidecar:
                continue
            turn.append(name)
            if not self._is_through(name, life):
                break
        return turn

    def _is_through(self, name: str, life: Life) -> bool:
        run = self.run_of(name)
        if life.is_sidecar:
            return run is not None and life.attempt >= 0 and life.started
        return run is not None and bool(run.finished) and run.status == 0 and not run.trouble

    def _policy(self, life: Life) -> str:
        """The restartPolicy that holds for a container."""
        if life.is_sidecar:
            return "Always"
        return "OnFailure" if life.initial and self.policy == "Always" else self.policy

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

    def _tend(self, name: str, life: Life) -> float:
        """Look after one container; returns when to look again."""
        now, run = self.tools.clock(), self.run_of(name)
        if run is not None and not run.finished:
            return self.kill_in_time(name, life, now)
        if run is not None and life.counted < run.attempt:
            self._count_end(name, life, run)
        if not restart.wanted(self._policy(life), run) or podspec.image_trouble(life.spec):
            return self._refuse(name, life, now, run)
        if now < life.start_at:
            return life.start_at
        return self._start(name, life, now, life.first if run is None else run.attempt + 1)

    def _count_end(self, name: str, life: Life, run: Run) -> None:
        life.counted = run.attempt
        life.crashes = restart.crashes(life.crashes, run)
        if run.trouble:
            self.tools.events.about_pod(self.item, "Failed", f"Error: {run.trouble}", name, warning=True)
        if not restart.wanted(self._policy(life), run):
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
            links = tools.links(self.item)
            values = variables.of_container(self.item, life.spec, tools.network(), self.address, self.lookup, links)
            mounts = tools.volumes.mounts(self.item, life.spec, values)
            program = podspec.program(self.item, life.spec, attempt, tools.network(), self.address, values, mounts)
        except UsageError as error:
            life.waiting, life.start_at = (CONFIG_ERROR, str(error)), now + RETRY
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
        self.greet(name, life)
        return NEVER

    # Ending

    def _terminate(self) -> float:
        """SIGTERM, the grace period, SIGKILL; then take the pod away and have its object deleted."""
        now = self.tools.clock()
        if self.record is not None and not self.record.stopped:
            grace = self.item["metadata"].get("deletionGracePeriodSeconds")
            seconds = 0.0 if self.removed else float(grace) if isinstance(grace, (int, float)) else self.grace()
            if self.doomed == NEVER:
                for name in self.record.running():
                    if name in self.lives:
                        self.kill(name, self.lives[name], f"Stopping container {name}", seconds)
                self._report()
            self.doomed = min(self.doomed, now + seconds)
            if self.record.running() and now < self.doomed:
                return self.doomed
            self.heard(self.tools.runtime.stop(self.uid))
        self.doomed = min(self.doomed, now)
        last = self._status()
        if self.record is not None:
            self.tools.runtime.remove(self.uid)
        self.tools.volumes.remove(self.uid)
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
            waiting = life.waiting
            if not runs and not waiting[0] and any(one.initial for one in self.lives.values()):
                waiting = ("PodInitializing", "")
            if life.initial and not life.is_sidecar:
                ready = self._is_through(name, life)
            made = status.Facts(name, life.spec.get("image", ""), runs, waiting, ready, running and life.started, life.initial, life.is_sidecar)
            found.append(made)
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
