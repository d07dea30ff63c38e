"""What the kubelet remembers of a container beside the runtime's record: its probes and what they said, its back-off, its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.kubelet import probes
from lab.kubelet.probes import Kind, Probe, Tally

NEVER = float("inf")

Json = dict[str, Any]


@dataclass
class Life:
    """One container of a pod. Times in seconds since the epoch.

    port      a TCP port that answers once it is ready, where no readinessProbe says so; 0: none is known. `answers`: it did
    crashes   how often it has ended in a row; `counted` the last life whose end counts in it
    waiting   (reason, message): why it does not run
    first     the number of its first life under this runtime
    initial   it comes before the pod's containers, one after the other
    greeted   its postStart hook, if it has one, is over
    """

    spec: Json
    probes: dict[Kind, Probe]
    port: int
    tallies: dict[Kind, Tally] = field(default_factory=dict)
    next_look: dict[Kind, float] = field(default_factory=dict)
    asking: set[Kind] = field(default_factory=set)
    attempt: int = -1
    crashes: int = 0
    start_at: float = 0.0
    waiting: tuple[str, str] = ("", "")
    answers: bool = False
    look_at: float = 0.0
    kill_at: float = NEVER
    counted: int = -1
    first: int = 0
    initial: bool = False
    greeted: bool = False

    def begin(self, attempt: int, now: float) -> None:
        """A new life of the container: nothing has been asked yet."""
        self.attempt, self.waiting, self.kill_at, self.answers = attempt, ("", ""), NEVER, False
        self.greeted = "postStart" not in self.hooks
        self.tallies = {kind: probes.begin(probe) for kind, probe in self.probes.items()}
        self.next_look = {kind: now + probe.initial_delay for kind, probe in self.probes.items()}
        self.asking = set()

    @property
    def hooks(self) -> Json:
        """postStart and preStop, as the API says them."""
        return {name: hook for name, hook in (self.spec.get("lifecycle") or {}).items() if hook}

    @property
    def is_sidecar(self) -> bool:
        """Whether it comes first and then stays."""
        return self.initial and self.spec.get("restartPolicy") == "Always"

    @property
    def started(self) -> bool:
        """Whether its postStart hook is over, and its startup probe, if it has one, is content."""
        return self.greeted and ("startup" not in self.tallies or self.tallies["startup"].verdict)

    @property
    def ready(self) -> bool:
        """Whether it is ready, given that it runs."""
        if not self.started:
            return False
        return self.tallies["readiness"].verdict if "readiness" in self.tallies else self.answers or not self.port
