"""When a container that has ended starts again. Pure.

Kubernetes waits 10 s before the second restart, doubles that up to 5 minutes, and forgets after a life of 10 minutes. The lab waits a tenth.
"""

from __future__ import annotations

from lab.kubelet.records import Run

FIRST, LONGEST, FORGET = 1.0, 30.0, 60.0
"""Seconds: the first wait, the longest, and the life after which a container counts as healthy again."""

SHORTENED = "the lab waits a tenth of the time that Kubernetes does: 1s, doubled up to 30s"


def wanted(policy: str, run: Run | None) -> bool:
    """Whether a container that does not run is to be started, by the pod's restartPolicy. `run`: its last life."""
    if run is None or policy == "Always":
        return True
    return policy == "OnFailure" and run.status != 0


def crashes(before: int, run: Run) -> int:
    """How often a container has ended in a row, after this life."""
    return 1 if run.finished - run.started >= FORGET else before + 1


def delay(count: int) -> float:
    """Seconds to wait before the next start, after so many ends in a row: the first restart is immediate."""
    return 0.0 if count <= 1 else min(FIRST * 2.0 ** min(count - 2, 10), LONGEST)
