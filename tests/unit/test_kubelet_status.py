from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.kubelet import restart, status
from lab.kubelet.records import Run
from lab.kubelet.status import Facts

NOW = 1499767200.0
LIVES = Run(0, NOW, 7)
DONE = Run(0, NOW, 7, NOW + 5, 0)
FAILED = Run(0, NOW, 7, NOW + 5, 3)


def facts(*runs: Run, waiting: str = "", ready: bool = False) -> Facts:
    return Facts("web", "nginx:1.8", runs, (waiting, "why" if waiting else ""), ready, bool(runs) and not runs[-1].finished)


@pytest.mark.parametrize(
    ("policy", "containers", "expected"),
    [
        ("Always", [facts()], "Pending"),
        ("Always", [facts(LIVES), facts(waiting="ErrImagePull")], "Pending"),
        ("Always", [facts(LIVES)], "Running"),
        ("Always", [facts(FAILED, waiting="CrashLoopBackOff")], "Running"),
        ("Always", [facts(DONE)], "Running"),
        ("OnFailure", [facts(DONE)], "Succeeded"),
        ("OnFailure", [facts(FAILED)], "Running"),
        ("Never", [facts(DONE), facts(DONE)], "Succeeded"),
        ("Never", [facts(DONE), facts(FAILED)], "Failed"),
        ("Never", [facts(DONE), facts(LIVES)], "Running"),
    ],
)
def test_the_phase_is_that_of_kubelets_get_phase(policy: str, containers: list[Facts], expected: str) -> None:
    assert status.phase(policy, containers) == expected


def test_a_container_that_runs() -> None:
    shown = status.container_status(facts(FAILED, Run(1, NOW + 9, 8), ready=True))
    assert (shown["ready"], shown["restartCount"], shown["state"]) == (True, 1, {"running": {"startedAt": "2017-07-11T10:00:09Z"}})
    assert shown["lastState"]["terminated"]["exitCode"] == 3


def test_a_container_that_waits_for_its_restart_says_why_and_how_it_ended() -> None:
    shown = status.container_status(facts(FAILED, waiting="CrashLoopBackOff"))
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "why"}}
    assert (shown["lastState"]["terminated"]["reason"], shown["restartCount"]) == ("Error", 0)


def test_a_killed_container_has_the_exit_code_of_a_shell() -> None:
    ended = status.container_status(facts(Run(0, NOW, 7, NOW + 1, -9)))["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")


def test_a_program_that_cannot_be_executed() -> None:
    ended = status.container_status(facts(Run(0, NOW, 0, NOW, 128, "no such file")))["state"]["terminated"]
    assert (ended["reason"], ended["message"]) == ("ContainerCannotRun", "no such file")


def test_before_its_first_start_a_container_is_being_created() -> None:
    assert status.container_status(facts())["state"] == {"waiting": {"reason": "ContainerCreating"}}


def conditions_of(pod: dict[str, Any], *containers: Facts, now: float = NOW) -> dict[str, dict[str, Any]]:
    made = status.pod_status(pod, containers, "10.244.1.2", "10.9.0.1", NOW, now)
    return {one["type"]: one for one in made["conditions"]}


def test_conditions_name_the_containers_that_are_not_ready_and_keep_their_times() -> None:
    first = status.pod_status({"spec": {}}, [facts(LIVES)], "10.244.1.2", "10.9.0.1", NOW, NOW)
    again = conditions_of({"spec": {}, "status": first}, facts(LIVES), now=NOW + 60)
    assert again["Ready"]["message"] == "containers with unready status: [web]"
    assert again["Ready"]["lastTransitionTime"] == "2017-07-11T10:00:00Z"
    ready = conditions_of({"spec": {}, "status": first}, facts(LIVES, ready=True), now=NOW + 60)
    assert (ready["Ready"]["status"], ready["Ready"]["lastTransitionTime"]) == ("True", "2017-07-11T10:01:00Z")
    assert ready["Initialized"]["lastTransitionTime"] == "2017-07-11T10:00:00Z"


def test_what_others_say_about_a_pod_stays() -> None:
    theirs = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "x"}, {"type": "Own/It", "status": "?"}]
    pod = {"spec": {}, "status": {"conditions": theirs}}
    kept = conditions_of(pod, facts(LIVES))
    assert kept["PodScheduled"]["lastTransitionTime"] == "x" and kept["Own/It"]["status"] == "?"


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}, "Burstable"),
    ],
)
def test_quality_of_service(resources: dict[str, Any], expected: str) -> None:
    assert status.qos({"spec": {"containers": [{"name": "web", "resources": resources}]}}) == expected


@pytest.mark.parametrize(
    ("policy", "run", "expected"),
    [("Always", DONE, True), ("OnFailure", DONE, False), ("OnFailure", FAILED, True), ("Never", FAILED, False), ("Never", None, True)],
)
def test_who_is_started_again(policy: str, run: Run | None, expected: bool) -> None:
    assert restart.wanted(policy, run) is expected


def test_the_first_restart_is_immediate_and_the_others_wait_ever_longer() -> None:
    assert [restart.delay(count) for count in range(1, 9)] == [0, 1, 2, 4, 8, 16, 30, 30]


@given(st.lists(st.booleans(), max_size=40))
def test_a_long_life_is_forgiven(lives: list[bool]) -> None:
    count = 0
    for healthy in lives:
        before, count = count, restart.crashes(count, Run(0, NOW, 1, NOW + (restart.FORGET if healthy else 1), 1))
        assert count == (1 if healthy else before + 1)
        assert 0 <= restart.delay(count) <= restart.LONGEST
